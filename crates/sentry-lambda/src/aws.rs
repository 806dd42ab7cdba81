//! Configuration of the AWS SDK.

use std::error::Error;
use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, SdkConfig};
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;
use aws_smithy_runtime_api::client::http::SharedHttpClient;
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;

/// The lifetime of a client's connections after a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Connections {
    /// The connection is kept for the next call, for up to 90 seconds.
    Kept,
    /// The connection is closed. Use this for calls that are not retried. A service can close a kept connection while
    /// Lambda has frozen the environment, and a call on such a connection is lost.
    Closed,
}

/// A client for HTTP and HTTPS that uses ring for TLS.
#[must_use]
pub fn http_client(connections: Connections) -> SharedHttpClient {
    let mut builder = Builder::new();
    builder.set_pool_max_idle_per_host(match connections {
        Connections::Kept => None,
        Connections::Closed => Some(0),
    });
    builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).build_https()
}

/// The SDK configuration of this environment: up to three attempts with jittered backoff. `attempt` is the timeout of
/// each attempt, and `operation` is the timeout of all attempts together.
///
/// The SDK reads `AWS_ENDPOINT_URL_<SERVICE>` as usual.
pub async fn aws_config(attempt: Duration, operation: Duration) -> SdkConfig {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(attempt).operation_timeout(operation);
    aws_config::defaults(BehaviorVersion::latest())
        .http_client(http_client(Connections::Kept))
        .retry_config(RetryConfig::standard().with_max_attempts(3).with_initial_backoff(Duration::from_millis(100)))
        .timeout_config(timeouts.build())
        .load()
        .await
}

/// The text of `error` and of all its causes, for a log line. The SDK's own `Display` says only "service error".
pub fn cause(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// Removes the prefix `sync-` that `StartSyncExecution` adds to the host. Only AWS's own hosts have it, and it would make
/// an unknown host of another one.
pub fn without_sync_prefix(request: &mut HttpRequest) {
    let uri = request.uri().to_owned();
    if let Some((scheme, host)) = uri.split_once("://sync-")
        && !(host.contains(".amazonaws.") || host.contains(".api.aws"))
    {
        // The result has a host, so it is valid.
        let _ = request.set_uri(format!("{scheme}://{host}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_hosts_of_aws_keep_the_prefix() {
        let cases = [
            ("http://sync-127.0.0.1:4566/", "http://127.0.0.1:4566/"),
            ("https://sync-states.us-east-1.amazonaws.com/", "https://sync-states.us-east-1.amazonaws.com/"),
            ("https://sync-states.us-east-1.api.aws/", "https://sync-states.us-east-1.api.aws/"),
            ("http://localhost:4566/", "http://localhost:4566/"),
        ];
        for (sent, expected) in cases {
            let mut request = HttpRequest::empty();
            request.set_uri(sent).unwrap();
            without_sync_prefix(&mut request);
            assert_eq!(request.uri(), expected);
        }
    }
}
