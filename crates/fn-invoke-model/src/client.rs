//! The SDK client for calls that may have to be paid.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::Builder;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use sentry_lambda::{Connections, SdkConfig, http_client};

/// A client that makes each call once, on a connection of its own.
///
/// The SDK would repeat calls that may have been paid; the invoker knows which are safe. Of a call that is lost on an old connection nobody
/// knows what it cost, and a new connection takes far less time than any answer of a model.
#[must_use]
pub fn client(config: &SdkConfig) -> Client {
    let config = Builder::from(config).http_client(http_client(Connections::Closed));
    Client::from_conf(config.retry_config(RetryConfig::disabled()).build())
}
