//! What goes over the wire to CountTokens, what comes back, and what follows from it.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::Builder;
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use aws_smithy_types::body::SdkBody;
use sentry_contract::states::CountTokensInput;
use sentry_lambda::offline_config;
use sentry_models::Catalogue;
use serde_json::{Value, json};

use crate::TokenCounter;

const HAIKU: &str = "us.anthropic.claude-3-5-haiku-20241022-v1:0";
const UNSUPPORTED: &str = "The provided model doesn't support counting tokens.";

/// One HTTP answer of Bedrock.
fn http(status: u16, error: &str, body: &Value) -> ReplayEvent {
    let request = http_1x::Request::builder().uri("http://localhost").body(SdkBody::empty()).unwrap();
    let response = http_1x::Response::builder().status(status).header("x-amzn-errortype", error);
    ReplayEvent::new(request, response.body(SdkBody::from(body.to_string())).unwrap())
}

fn counted(tokens: u64) -> ReplayEvent {
    http(200, "", &json!({"inputTokens": tokens}))
}

fn refused(message: &str) -> ReplayEvent {
    http(400, "ValidationException", &json!({"message": message}))
}

fn counter(answers: Vec<ReplayEvent>) -> (TokenCounter, StaticReplayClient) {
    let wire = StaticReplayClient::new(answers);
    let client = Client::from_conf(Builder::from(&offline_config(wire.clone())).build());
    (TokenCounter::new(client, Catalogue::bundled().unwrap()), wire)
}

fn input(model_id: &str, family: &str) -> CountTokensInput {
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One."},
        {"role": "user", "content": "Two."},
        {"role": "assistant", "content": "Three"}
    ]);
    // The state machine passes the whole model and prompt of the request.
    let model = json!({"requested": "x", "modelId": model_id, "modelMetric": model_id, "family": family});
    let prompt = json!({"messages": messages, "parameters": {"max_tokens": 9, "top_k": 5}});
    serde_json::from_value(json!({"model": model, "prompt": prompt})).unwrap()
}

async fn answer(counter: &TokenCounter, model_id: &str, family: &str) -> Value {
    serde_json::to_value(counter.count(&input(model_id, family)).await).unwrap()
}

#[tokio::test]
async fn the_conversation_is_sent_as_converse_sends_it_to_the_foundation_model() {
    let (counter, wire) = counter(vec![counted(21)]);
    assert_eq!(answer(&counter, HAIKU, "anthropic").await, json!({"inputTokens": 21}));
    let request = wire.actual_requests().next().unwrap();
    assert_eq!(
        request.uri().split("amazonaws.com").last().unwrap(),
        "/model/anthropic.claude-3-5-haiku-20241022-v1%3A0/count-tokens"
    );
    let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
    let converse = json!({
        "system": [{"text": "Be brief."}],
        "messages": [
            {"role": "user", "content": [{"text": "One."}, {"text": "Two."}]},
            {"role": "assistant", "content": [{"text": "Three"}]}
        ]
    });
    assert_eq!((request.method(), body), ("POST", json!({"input": {"converse": converse}})));
}

#[tokio::test]
async fn nothing_is_asked_about_models_that_are_not_counted() {
    let (counter, wire) = counter(vec![counted(21)]);
    for (model_id, family) in [
        ("anthropic.claude-3-haiku-20240307-v1:0", "anthropic"),
        ("anthropic.claude-v2:0", "anthropic-text"),
        ("amazon.nova-lite-v1:0", "nova"),
        ("meta.llama3-3-70b-instruct-v1:0", "converse"),
        ("arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/p1", "anthropic"),
    ] {
        assert_eq!(answer(&counter, model_id, family).await, json!({}), "{model_id}");
    }
    assert_eq!(wire.actual_requests().count(), 0);
}

#[tokio::test]
async fn a_model_that_turns_out_not_to_be_counted_is_asked_about_once() {
    for message in [UNSUPPORTED, "The provided model identifier is invalid."] {
        let (counter, wire) = counter(vec![refused(message), counted(7)]);
        for _ in 0..3 {
            assert_eq!(answer(&counter, HAIKU, "anthropic").await, json!({}));
        }
        // The same foundation model under another Region group.
        assert_eq!(answer(&counter, &HAIKU.replace("us.", "eu."), "anthropic").await, json!({}));
        assert_eq!(wire.actual_requests().count(), 1);
        let other = "us.anthropic.claude-sonnet-4-20250514-v1:0";
        assert_eq!(answer(&counter, other, "anthropic").await, json!({"inputTokens": 7}));
    }
}

#[tokio::test]
async fn a_call_that_fails_gives_no_count_and_the_next_one_may() {
    let failures = [
        http(429, "ThrottlingException", &json!({"message": "slow down"})),
        http(403, "AccessDeniedException", &json!({"message": "no"})),
        http(500, "InternalServerException", &json!({"message": "?"})),
        refused("messages.1: a rule that this prompt breaks"),
        http(200, "", &json!("not an object")),
        http(200, "", &json!({})),
        http(200, "", &json!({"inputTokens": 0})),
        http(200, "", &json!({"inputTokens": -1})),
    ];
    let calls = failures.len() + 1;
    let (counter, wire) = counter(failures.into_iter().chain([counted(21)]).collect());
    for _ in 1..calls {
        assert_eq!(answer(&counter, HAIKU, "anthropic").await, json!({}));
    }
    assert_eq!(answer(&counter, HAIKU, "anthropic").await, json!({"inputTokens": 21}));
    assert_eq!(wire.actual_requests().count(), calls);
}

#[tokio::test]
async fn tools_system_and_blocks_are_counted_too() {
    let (counter, wire) = counter(vec![counted(21)]);
    let image = json!({"image": {"format": "png", "source": {"bytes": "YQ=="}}});
    let tools = json!([{"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object"}}}}]);
    let prompt = json!({
        "system": "Be brief.", "messages": [{"role": "user", "content": [{"text": "Look"}, image]}], "tools": tools,
        "toolChoice": {"any": {}}, "guardrail": {"identifier": "abc", "version": "1"}, "serviceTier": "flex"
    });
    let input = json!({"model": {"modelId": HAIKU, "family": "anthropic"}, "prompt": prompt});
    assert_eq!(counter.count(&serde_json::from_value(input).unwrap()).await.input_tokens, Some(21));
    let request = wire.actual_requests().next().unwrap();
    let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
    let converse = json!({
        "system": [{"text": "Be brief."}], "messages": [{"role": "user", "content": [{"text": "Look"}, image]}],
        "toolConfig": {"tools": tools, "toolChoice": {"any": {}}}
    });
    assert_eq!(body, json!({"input": {"converse": converse}}));
}
