//! The SDK client for calls that may have to be paid.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::Builder;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use sentry_lambda::{Connections, SdkConfig, http_client};

/// A client that makes each call once, on a new connection.
///
/// The SDK would retry calls that may have been paid for. Only the invoker knows which calls are safe to retry. If a
/// call is lost on an old connection, its cost is unknown. A new connection takes far less time than an answer of a
/// model.
#[must_use]
pub fn client(config: &SdkConfig) -> Client {
    let config = Builder::from(config).http_client(http_client(Connections::Closed));
    Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
}
