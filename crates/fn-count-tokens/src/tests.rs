//! The requests to `CountTokens`, its answers, and their results.

use std::time::{Duration, Instant};

use aws_sdk_bedrockruntime::Client;
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use sentry_contract::Sealed;
use sentry_contract::states::CountTokensInput;
use serde_json::{Value, json};
use test_support::{http_answer, offline_config};

use crate::TokenCounter;

const HAIKU: &str = "anthropic.claude-haiku-4-5-20251001-v1:0";
const SONNET: &str = "anthropic.claude-sonnet-4-6";
const UNSUPPORTED: &str = "The provided model doesn't support counting tokens.";

/// One HTTP answer of Bedrock.
fn http(status: u16, error: &str, body: &Value) -> ReplayEvent {
    http_answer(status, &[("x-amzn-errortype", error)], &body.to_string())
}

fn counted(tokens: u64) -> ReplayEvent {
    http(200, "", &json!({"inputTokens": tokens}))
}

fn refused(message: &str) -> ReplayEvent {
    http(400, "ValidationException", &json!({"message": message}))
}

fn counter(answers: Vec<ReplayEvent>) -> (TokenCounter, StaticReplayClient) {
    let wire = StaticReplayClient::new(answers);
    (TokenCounter::new(Client::new(&offline_config(wire.clone()))), wire)
}

fn input(counted_as: &str) -> CountTokensInput {
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One."},
        {"role": "user", "content": "Two."},
        {"role": "assistant", "content": "Three"}
    ]);
    let prompt = json!({"messages": messages, "parameters": {"max_tokens": 9, "top_k": 5}});
    serde_json::from_value(json!({"countedAs": counted_as, "prompt": Sealed::new(&prompt).unwrap()})).unwrap()
}

async fn answer_at(counter: &TokenCounter, counted_as: &str, now: Instant) -> Value {
    serde_json::to_value(counter.count(&input(counted_as), now).await).unwrap()
}

async fn answer(counter: &TokenCounter, counted_as: &str) -> Value {
    answer_at(counter, counted_as, Instant::now()).await
}

#[tokio::test]
async fn the_conversation_is_sent_as_converse_sends_it_and_a_margin_is_added_to_the_count() {
    let (counter, wire) = counter(vec![counted(21)]);
    assert_eq!(answer(&counter, HAIKU).await, json!({"inputTokens": 21 + 16}));
    let request = wire.actual_requests().next().unwrap();
    assert_eq!(
        request.uri().split("amazonaws.com").last().unwrap(),
        "/model/anthropic.claude-haiku-4-5-20251001-v1%3A0/count-tokens"
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
async fn a_model_that_turns_out_not_to_be_counted_is_asked_about_once() {
    for message in [UNSUPPORTED, "The provided model identifier is invalid."] {
        let (counter, wire) = counter(vec![refused(message), counted(7)]);
        let start = Instant::now();
        for hour in 0..3 {
            assert_eq!(answer_at(&counter, HAIKU, start + Duration::from_secs(hour * 3_600)).await, json!({}));
        }
        assert_eq!(wire.actual_requests().count(), 1);
        assert_eq!(answer(&counter, SONNET).await, json!({"inputTokens": 7 + 16}));
    }
}

#[tokio::test]
async fn a_model_that_the_role_may_not_count_for_is_asked_about_again_after_a_minute() {
    let denied = http(403, "AccessDeniedException", &json!({"message": "no"}));
    let (counter, wire) = counter(vec![denied, counted(21)]);
    let start = Instant::now();
    for (seconds, requests, expected) in
        [(0, 1, json!({})), (1, 1, json!({})), (59, 1, json!({})), (60, 2, json!({"inputTokens": 37}))]
    {
        assert_eq!(answer_at(&counter, HAIKU, start + Duration::from_secs(seconds)).await, expected, "{seconds} s");
        assert_eq!(wire.actual_requests().count(), requests, "{seconds} s");
    }
}

#[tokio::test]
async fn a_call_that_fails_gives_no_count_and_the_next_one_may() {
    let failures = [
        http(429, "ThrottlingException", &json!({"message": "slow down"})),
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
        assert_eq!(answer(&counter, HAIKU).await, json!({}));
    }
    assert_eq!(answer(&counter, HAIKU).await, json!({"inputTokens": 21 + 16}));
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
    let input = serde_json::from_value(json!({"countedAs": HAIKU, "prompt": Sealed::new(&prompt).unwrap()})).unwrap();
    assert_eq!(counter.count(&input, Instant::now()).await.input_tokens, Some(21 + 16));
    let request = wire.actual_requests().next().unwrap();
    let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
    let converse = json!({
        "system": [{"text": "Be brief."}], "messages": [{"role": "user", "content": [{"text": "Look"}, image]}],
        "toolConfig": {"tools": tools, "toolChoice": {"any": {}}}
    });
    assert_eq!(body, json!({"input": {"converse": converse}}));
}

#[tokio::test]
async fn thoughts_and_cache_points_are_counted_as_they_are_sent_and_how_much_to_think_is_left_out() {
    let (counter, wire) = counter(vec![counted(21)]);
    let messages = json!([
        {"role": "user", "content": [{"text": "Hi"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]},
        {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "EqQB"}}},
                                          {"reasoningContent": {"redactedContent": "YQ=="}}, {"text": "Yes?"}]},
        {"role": "user", "content": [{"guardContent": {"text": {"text": "Is it safe?", "qualifiers": ["query"]}}}]}
    ]);
    let system = json!([{"text": "Be brief."}, {"cachePoint": {"type": "default"}}]);
    let spec = json!({"name": "find", "inputSchema": {"json": {"type": "object"}}, "strict": true});
    let tools = json!([{"toolSpec": spec}, {"cachePoint": {"type": "default"}}]);
    let prompt = json!({"messages": messages, "system": system, "tools": tools, "reasoning": {"effort": "low"}});
    let input = json!({"countedAs": HAIKU, "prompt": Sealed::new(&prompt).unwrap()});
    let answer = counter.count(&serde_json::from_value(input).unwrap(), Instant::now()).await;
    assert_eq!(serde_json::to_value(answer).unwrap(), json!({"inputTokens": 21 + 16}));
    let request = wire.actual_requests().next().unwrap();
    let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
    let converse = json!({"system": system, "messages": messages, "toolConfig": {"tools": tools}});
    assert_eq!(body, json!({"input": {"converse": converse}}));
}

#[tokio::test]
async fn a_prompt_whose_answer_has_a_form_is_not_counted_because_the_model_reads_the_schema_as_well() {
    let (counter, wire) = counter(vec![counted(21)]);
    let prompt = json!({"messages": [{"role": "user", "content": "Hi"}],
                        "outputFormat": {"jsonSchema": {"name": "place", "schema": {"type": "object"}}}});
    let input = json!({"countedAs": HAIKU, "prompt": Sealed::new(&prompt).unwrap()});
    let answer = counter.count(&serde_json::from_value(input).unwrap(), Instant::now()).await;
    assert_eq!((serde_json::to_value(answer).unwrap(), wire.actual_requests().count()), (json!({}), 0));
    assert_eq!(
        answer_at(&counter, HAIKU, Instant::now()).await,
        json!({"inputTokens": 21 + 16}),
        "the model is still counted for"
    );
}
