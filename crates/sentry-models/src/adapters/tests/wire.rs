//! Answers of Bedrock as bytes, which the SDK reads.

use aws_sdk_bedrockruntime::Client;
use aws_smithy_http_client::test_util::StaticReplayClient;
use test_support::{http_answer, offline_config};

/// A client that receives one answer with the status `status` and the error name `error`, and a record of its requests.
pub fn client(status: u16, error: &str, body: &str) -> (Client, StaticReplayClient) {
    let wire = StaticReplayClient::new(vec![http_answer(status, &[("x-amzn-errortype", error)], body)]);
    (Client::new(&offline_config(wire.clone())), wire)
}
