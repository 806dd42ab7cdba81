//! AWS clients without a network.

use aws_config::retry::RetryConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_http_client::test_util::ReplayEvent;
use aws_smithy_mocks::{MockResponseInterceptor, Rule, RuleMode};
use aws_smithy_runtime_api::client::http::HttpClient;
use aws_smithy_types::body::SdkBody;

/// An SDK configuration that uses `http_client` instead of a network, made-up credentials, and a single attempt.
pub fn offline_config(http_client: impl HttpClient + 'static) -> SdkConfig {
    let credentials = Credentials::new("test", "test", None, None, "offline");
    SdkConfig::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .http_client(http_client)
        .retry_config(RetryConfig::disabled())
        .build()
}

/// An interceptor that answers by `rules`.
#[must_use]
pub fn interceptor(mode: RuleMode, rules: &[&Rule]) -> MockResponseInterceptor {
    rules.iter().fold(MockResponseInterceptor::new().rule_mode(mode), |all, rule| all.with_rule(rule))
}

/// A client of the SDK crate `$service` that answers by rules. With `MatchAny`, the first rule that matches answers.
///
/// ```ignore
/// mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&reads, &writes])
/// ```
///
/// The macro of the same name in `aws_smithy_mocks` needs a feature of each service crate. This one does not.
#[macro_export]
macro_rules! mock_client {
    ($service:ident, $mode:expr, $rules:expr) => {
        $service::Client::from_conf(
            $service::config::Builder::from(&$crate::offline_config($crate::create_mock_http_client()))
                .interceptor($crate::interceptor($mode, $rules))
                .build(),
        )
    };
}

/// An answer with this status, these headers and this body. A `StaticReplayClient` gives it to any request.
///
/// # Panics
/// If this is no HTTP.
#[must_use]
pub fn http_answer(status: u16, headers: &[(&str, &str)], body: &str) -> ReplayEvent {
    let request = http_1x::Request::builder().uri("http://localhost").body(SdkBody::empty()).unwrap();
    let answer = http_1x::Response::builder().status(status);
    let answer = headers.iter().fold(answer, |answer, (name, value)| answer.header(*name, *value));
    ReplayEvent::new(request, answer.body(SdkBody::from(body)).unwrap())
}
