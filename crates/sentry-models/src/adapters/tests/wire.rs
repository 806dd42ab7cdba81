//! Answers of Bedrock as bytes, which the SDK reads.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::Builder;
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_types::body::SdkBody;
use sentry_lambda::offline_config;

/// A client that receives one answer with the status `status` and the error name `error`, and a record of its requests.
pub fn client(status: u16, error: &str, body: &str) -> (Client, StaticReplayClient) {
    let request = http_1x::Request::builder().uri("http://localhost").body(SdkBody::empty()).unwrap();
    let response = http_1x::Response::builder().status(status).header("x-amzn-errortype", error);
    let wire = StaticReplayClient::new(vec![ReplayEvent::new(request, response.body(SdkBody::from(body)).unwrap())]);
    (Client::from_conf(Builder::from(&offline_config(wire.clone())).build()), wire)
}
