//! The complete output of the function.

use aws_sdk_dynamodb::error::ErrorMetadata;
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_smithy_mocks::{RuleMode, mock};
use sentry_models::Catalogue;
use test_support::mock_client;

use super::*;
use crate::Resolver;

/// The output with its prompt opened, where a state machine has it sealed.
fn output(document: &Value) -> Value {
    let mut output = validate(document);
    if output["valid"] == true {
        output["prompt"] = output["request"].as_object_mut().unwrap().remove("prompt").unwrap();
    }
    output
}

/// A prompt with everything that a thinking Claude accepts.
fn rich() -> Value {
    let image = json!({"image": picture::tests::image(ImageFormat::Png, 640, 480)});
    let thought = json!({"reasoningContent": {"reasoningText": {"text": "A harbor.", "signature": "EqQB"}}});
    let asked = json!({"toolUse": {"toolUseId": "t1", "name": "find", "input": {"place": "harbor", "id": 9_007_199_254_740_993_u64}}});
    let found = json!({"toolResult": {"toolUseId": "t1", "content": [{"json": {"found": true}}], "status": "success"}});
    let checked = json!({"guardContent": {"text": {"text": "Is it safe?", "qualifiers": ["query"]}}});
    let schema = json!({"type": "object", "properties": {"place": {"type": "string"}}});
    json!({
        "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
        "messages": [
            {"role": "user", "content": [{"text": "What is in it?"}, image, checked]},
            {"role": "assistant", "content": [thought, asked]},
            {"role": "user", "content": [found]}
        ],
        "parameters": {"max_tokens": 4_000, "stop_sequences": ["END"]},
        "tools": [{"toolSpec": {"name": "find", "description": "Finds a place.", "inputSchema": {"json": schema}}},
                  {"cachePoint": {"type": "default", "ttl": "1h"}}],
        "toolChoice": {"auto": {}},
        "reasoning": {"effort": "medium"},
        "guardrail": {"identifier": "abc123", "version": "1"}
    })
}

#[test]
fn a_request_goes_on_with_its_tags_its_model_its_price_and_its_bounds() {
    insta::assert_json_snapshot!("plain", output(&request()));
    let mut document = with("/model", json!("claude-sonnet-4-5"));
    document["prompt"] = rich();
    document["tags"]["userId"] = json!("jo");
    document["tags"]["requestId"] = json!("order-7");
    insta::assert_json_snapshot!("rich", output(&document));
}

#[test]
fn a_refusal_is_the_final_document_and_names_the_place() {
    let mut picture = with("/model", json!("nova-micro"));
    picture["prompt"]["messages"] = json!([{"role": "user", "content": [{"text": "Hi"}, {"image": picture::tests::image(ImageFormat::Png, 1, 1)}]}]);
    let cases = [
        ("refused_field", with("/prompt/parameters/temprature", json!(1))),
        ("refused_role", with("/prompt/messages/0/role", json!("robot"))),
        ("refused_max_tokens", with("/prompt/parameters/max_tokens", json!(64_001))),
        ("refused_part_of_the_model", picture),
        ("refused_tag", with("/tags/costCenter", json!("a\u{7}"))),
        ("refused_unknown_model", with("/model", json!("gpt-4"))),
        ("refused_retired_model", with("/model", json!("claude-3-7-sonnet"))),
        ("refused_model_of_another_region", with("/model", json!("eu.amazon.nova-lite-v1:0"))),
    ];
    for (name, document) in cases {
        insta::assert_json_snapshot!(name, output(&document));
    }
}

#[tokio::test]
async fn a_request_whose_model_cannot_be_looked_up_is_denied() {
    let broken = mock!(aws_sdk_dynamodb::Client::get_item)
        .then_error(|| GetItemError::generic(ErrorMetadata::builder().code("Gone").build()));
    let resolver = Resolver::new(
        Catalogue::bundled().unwrap(),
        mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&broken]),
        "catalogue".to_owned(),
        mock_client!(aws_sdk_bedrock, RuleMode::MatchAny, &[]),
        "us-east-1".to_owned(),
    );
    let document = to_raw_value(&with("/model", json!("gpt-4"))).unwrap();
    let now = "2026-11-21T05:00:00.123456Z".parse().unwrap();
    let validated = validate_and_tag(&document, &resolver, now, Instant::now(), Uuid::nil()).await;
    insta::assert_json_snapshot!("denied_without_a_look_up", validated);
}
