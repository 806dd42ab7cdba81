//! The requests to Bedrock, its answers, and their results.

use std::time::Duration;

use aws_sdk_bedrockruntime::Client;
use aws_smithy_http_client::test_util::{ReplayEvent, StaticReplayClient};
use sentry_models::Catalogue;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};
use test_support::{http_answer, offline_config};

use crate::Invoker;

fn converse(content: &str) -> ReplayEvent {
    let body = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": content}]}},
        "stopReason": "end_turn",
        "usage": {"inputTokens": 21, "outputTokens": 143, "totalTokens": 164},
        "metrics": {"latencyMs": 1}
    });
    http_answer(200, &[], &body.to_string())
}

fn error(status: u16, name: &str) -> ReplayEvent {
    http_answer(
        status,
        &[("x-amzn-errortype", name), ("x-amzn-requestid", "r-1")],
        r#"{"message": "quotes the secret prompt"}"#,
    )
}

fn input(model_id: &str, family: &str, messages: Value, parameters: Value) -> Value {
    json!({"model": {"modelId": model_id, "family": family, "requested": "x"},
           "prompt": {"messages": messages, "parameters": parameters},
           "tags": {"applicationId": "helper", "note": "what (?)", "requestId": "r-7"}})
}

fn plain() -> Value {
    input(
        "us.anthropic.claude-3-5-haiku-20241022-v1:0",
        "anthropic",
        json!([{"role": "user", "content": "Hi"}]),
        json!({}),
    )
}

/// The invoker's answer, and the requests that it sent.
async fn invoke(input: &Value, answers: Vec<ReplayEvent>) -> (Value, Vec<Value>) {
    invoke_in("us-east-1", input, answers).await
}

async fn invoke_in(region: &str, input: &Value, answers: Vec<ReplayEvent>) -> (Value, Vec<Value>) {
    let wire = StaticReplayClient::new(answers);
    let client = Client::new(&offline_config(wire.clone()));
    let invoker = Invoker::new(client, Catalogue::bundled().unwrap(), region.to_owned(), Duration::from_secs(240));
    let answer = serde_json::to_value(invoker.invoke(to_raw_value(input).unwrap()).await).unwrap();
    let sent = wire.actual_requests().map(|request| {
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap()).unwrap();
        json!({"path": request.uri().split("amazonaws.com").last().unwrap(), "body": body})
    });
    (answer, sent.collect())
}

#[tokio::test]
async fn claude_and_nova_go_through_converse_with_every_parameter() {
    let messages = json!([
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "One."},
        {"role": "user", "content": "Two."},
        {"role": "assistant", "content": "Three"}
    ]);
    let parameters =
        json!({"max_tokens": 2000, "temperature": 0.5, "top_p": 0.25, "top_k": 50, "stop_sequences": ["END"]});
    let cases = [
        ("us.anthropic.claude-3-5-haiku-20241022-v1:0", "anthropic", json!({"top_k": 50})),
        ("amazon.nova-lite-v1:0", "nova", json!({"inferenceConfig": {"topK": 50}})),
        ("arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/p1", "anthropic", json!({"top_k": 50})),
    ];
    for (model_id, family, additional) in cases {
        let (answer, sent) =
            invoke(&input(model_id, family, messages.clone(), parameters.clone()), vec![converse("S3")]).await;
        let path = model_id.replace(':', "%3A").replace('/', "%2F");
        let body = json!({
            "system": [{"text": "Be brief."}],
            "messages": [
                {"role": "user", "content": [{"text": "One."}, {"text": "Two."}]},
                {"role": "assistant", "content": [{"text": "Three"}]}
            ],
            "inferenceConfig": {"maxTokens": 2000, "temperature": 0.5, "topP": 0.25, "stopSequences": ["END"]},
            "additionalModelRequestFields": additional,
            "requestMetadata": {"applicationId": "helper", "requestId": "r-7"}
        });
        assert_eq!(sent, [json!({"path": format!("/model/{path}/converse"), "body": body})]);
        assert_eq!(
            answer["answer"]["output"],
            json!({"message": {"role": "assistant", "content": "S3"}, "stopReason": "end_turn"})
        );
    }
}

#[tokio::test]
async fn usage_and_cost_are_exact_and_an_unpriced_model_says_so() {
    let (answer, sent) = invoke(&plain(), vec![converse("S3")]).await;
    let usage = json!({"inputTokens": 21, "outputTokens": 143, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0, "totalTokens": 164});
    assert_eq!(answer["answer"]["usage"], usage);
    assert_eq!(answer["answer"]["cost"], json!({"usd": "0.000588800", "priced": true}));
    assert_eq!(sent[0]["body"]["inferenceConfig"], json!({"maxTokens": 2048}));
    let unpriced =
        input("writer.of-no-known-price-v1:0", "converse", json!([{"role": "user", "content": "Hi"}]), json!({}));
    assert_eq!(invoke(&unpriced, vec![converse("S3")]).await.0["answer"]["cost"], json!({"priced": false}));
    let elsewhere = invoke_in("eu-west-1", &plain(), vec![converse("S3")]).await.0;
    assert_eq!(elsewhere["answer"]["cost"], json!({"priced": false}));
}

#[tokio::test(start_paused = true)]
async fn a_part_that_cannot_be_sent_is_refused_by_name_and_never_sent() {
    let mut request = input("qwen.qwen3-32b-v1:0", "qwen", json!([{"role": "user", "content": "Hi"}]), json!({}));
    request["prompt"]["reasoning"] = json!({"effort": "low"});
    let (answer, sent) = invoke(&request, vec![converse("never asked")]).await;
    let failure = &answer["failure"];
    assert_eq!(failure["error"]["code"], "ModelRejectedRequest");
    assert_eq!(
        (&failure["error"]["details"], &failure["statusCode"]),
        (&json!({"parameter": "reasoning"}), &json!(502))
    );
    assert_eq!(failure["nothingSpent"], true);
    assert!(sent.is_empty());
}

#[tokio::test(start_paused = true)]
async fn each_error_of_bedrock_has_its_code_and_only_safe_ones_are_repeated() {
    let cases = [
        (429, "ThrottlingException", "ModelThrottled", 429, 4, true),
        (503, "ServiceUnavailableException", "ModelUnavailable", 503, 4, true),
        (429, "ModelNotReadyException", "ModelUnavailable", 503, 4, true),
        (400, "ServiceQuotaExceededException", "ModelThrottled", 429, 1, true),
        (500, "InternalServerException", "ModelUnavailable", 503, 1, false),
        (408, "ModelTimeoutException", "ModelTimeout", 504, 1, false),
        (424, "ModelErrorException", "ModelError", 502, 1, false),
        (403, "AccessDeniedException", "ModelAccessDenied", 502, 1, true),
        (403, "UnrecognizedClientException", "ModelAccessDenied", 502, 1, true),
        (400, "ValidationException", "ModelRejectedRequest", 502, 1, true),
        (404, "ResourceNotFoundException", "ModelRejectedRequest", 502, 1, true),
        (408, "SomethingNew", "ModelTimeout", 504, 1, false),
        (422, "SomethingNew", "ModelRejectedRequest", 502, 1, false),
        (424, "SomethingNew", "ModelError", 502, 1, false),
        (500, "SomethingNew", "ModelUnavailable", 503, 1, false),
    ];
    for (status, name, code, status_code, attempts, nothing_spent) in cases {
        let (answer, sent) = invoke(&plain(), (0..5).map(|_| error(status, name)).collect()).await;
        let failure = &answer["failure"];
        assert_eq!((&failure["error"]["code"], &failure["statusCode"]), (&json!(code), &json!(status_code)), "{name}");
        assert_eq!(failure["error"]["details"], json!({"bedrockError": name, "bedrockRequestId": "r-1"}));
        assert_eq!(failure.get("nothingSpent"), nothing_spent.then_some(&json!(true)), "{status} {name}");
        assert_eq!(sent.len(), attempts, "{name}");
        assert!(!answer.to_string().contains("secret"), "{answer}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_may_have_cost_something_counts_after_a_free_one() {
    let answers = vec![error(429, "ThrottlingException"), error(500, "InternalServerException")];
    let (answer, sent) = invoke(&plain(), answers).await;
    assert_eq!((&answer["failure"]["error"]["code"], sent.len()), (&json!("ModelUnavailable"), 2));
    assert!(answer["failure"].get("nothingSpent").is_none());
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_that_is_served_later_succeeds() {
    let answers = vec![error(429, "ThrottlingException"), error(503, "ServiceUnavailableException"), converse("S3")];
    assert_eq!(invoke(&plain(), answers).await.0["answer"]["output"]["message"]["content"], "S3");
}

#[tokio::test]
async fn an_answer_that_cannot_be_understood_is_a_model_error_and_keeps_a_known_usage() {
    let message = json!({"message": {"role": "assistant", "content": [{"text": "x"}]}});
    let usage = json!({"inputTokens": 1, "outputTokens": 2, "totalTokens": 3});
    let cases = [
        ("this is not JSON".to_owned(), false),
        (
            json!({"output": message, "stopReason": "end_turn", "usage": {"inputTokens": 1, "totalTokens": 3}})
                .to_string(),
            false,
        ),
        (
            json!({"output": message, "stopReason": "end_turn", "usage": {"outputTokens": 2, "totalTokens": 3}})
                .to_string(),
            false,
        ),
        (json!({"output": message, "stopReason": "end_turn"}).to_string(), false),
        (json!({"stopReason": "end_turn", "usage": usage}).to_string(), true),
    ];
    for (body, usage_known) in cases {
        let (answer, sent) = invoke(&plain(), vec![http_answer(200, &[], &body), converse("never asked")]).await;
        assert_eq!(answer["failure"]["error"]["code"], "ModelError", "{body}");
        assert_eq!(answer["failure"].get("usage").is_some(), usage_known, "{body}");
        assert!(answer["failure"].get("nothingSpent").is_none(), "{body}");
        assert_eq!(sent.len(), 1);
    }
}

#[tokio::test]
async fn an_answer_without_text_is_an_answer() {
    let body = json!({"output": {"message": {"role": "assistant", "content": []}}, "stopReason": "end_turn",
                      "usage": {"inputTokens": 9, "outputTokens": 1, "totalTokens": 10}});
    let (answer, _) = invoke(&plain(), vec![http_answer(200, &[], &body.to_string())]).await;
    assert_eq!(answer["answer"]["output"]["message"]["content"], "");
    assert_eq!(answer["answer"]["usage"]["totalTokens"], 10);
}

#[tokio::test]
async fn an_answer_that_does_not_fit_a_workflow_reports_what_it_used() {
    let (answer, _) = invoke(&plain(), vec![converse(&"x".repeat(200 * 1024))]).await;
    assert_eq!(answer["answer"]["output"]["message"]["content"].as_str().unwrap().len(), 200 * 1024);
    let (answer, _) = invoke(&plain(), vec![converse(&"x".repeat(256 * 1024))]).await;
    assert_eq!(answer["failure"]["error"]["code"], "OutputTooLarge");
    assert_eq!(answer["failure"]["usage"]["totalTokens"], 164);
    assert!(answer["failure"].get("nothingSpent").is_none());
}

#[tokio::test]
async fn an_input_that_is_not_the_routers_is_refused_without_quoting_it() {
    let (answer, sent) = invoke(&json!({"prompt": "a secret"}), vec![converse("never asked")]).await;
    assert_eq!(
        (&answer["failure"]["error"]["code"], &answer["failure"]["statusCode"]),
        (&json!("InvalidRequest"), &json!(400))
    );
    assert_eq!(answer["failure"]["nothingSpent"], true);
    assert!(sent.is_empty() && !answer.to_string().contains("secret"));
}

#[tokio::test]
async fn a_rich_prompt_goes_over_the_wire_as_it_is_and_the_answer_has_blocks() {
    let image = json!({"image": {"format": "png", "source": {"bytes": "YQ=="}}});
    let file = json!({"document": {"format": "pdf", "name": "a", "source": {"bytes": "Yg=="}}});
    let notes = json!({"document": {"format": "md", "name": "b", "source": {"text": "# S3"}}});
    let asked = json!({"toolUse": {"toolUseId": "t1", "name": "find", "input": {"q": [1, -2, 0.5, null, true]}}});
    let results = json!([{"json": {"at": 1}}, {"text": "x"}, image, file]);
    let messages = json!([
        {"role": "user", "content": [{"text": "Look"}, image, file, notes]},
        {"role": "assistant", "content": [asked]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": results, "status": "error"}}]}
    ]);
    let mut request = input("amazon.nova-lite-v1:0", "nova", messages.clone(), json!({"max_tokens": 9}));
    let spec = json!({"name": "find", "description": "Finds.", "inputSchema": {"json": {"type": "object"}}});
    request["prompt"]["tools"] = json!([{"toolSpec": spec}]);
    request["prompt"]["toolChoice"] = json!({"any": {}});
    request["prompt"]["guardrail"] = json!({"identifier": "abc", "version": "1"});
    request["prompt"]["serviceTier"] = json!("flex");
    let body = json!({
        "output": {"message": {"role": "assistant", "content": [{"text": "Hm."}, asked]}}, "stopReason": "tool_use",
        "usage": {"inputTokens": 21, "outputTokens": 143, "totalTokens": 164}, "metrics": {"latencyMs": 1}
    });
    let (answer, sent) = invoke(&request, vec![http_answer(200, &[], &body.to_string())]).await;
    assert_eq!(sent[0]["body"]["messages"], messages);
    assert_eq!(sent[0]["body"]["toolConfig"], json!({"tools": [{"toolSpec": spec}], "toolChoice": {"any": {}}}));
    let guardrail = json!({"guardrailIdentifier": "abc", "guardrailVersion": "1"});
    assert_eq!(sent[0]["body"]["guardrailConfig"], guardrail);
    assert_eq!(sent[0]["body"]["serviceTier"], json!({"type": "flex"}));
    let output =
        json!({"message": {"role": "assistant", "content": [{"text": "Hm."}, asked]}, "stopReason": "tool_use"});
    assert_eq!(answer["answer"]["output"], output);
    assert_eq!(answer["answer"]["cost"], json!({"priced": false}), "the catalogue's price is that of another tier");
    request["prompt"]["serviceTier"] = json!("default");
    let (answer, _) = invoke(&request, vec![http_answer(200, &[], &body.to_string())]).await;
    assert_eq!(answer["answer"]["cost"]["priced"], true);
}

/// A tool loop of a reasoning model: its second turn, with a cache point of one hour and one of five minutes.
fn loop_of_tools() -> (Value, Value) {
    let thought = json!({"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "EqQB+/=="}}});
    let messages = json!([
        {"role": "user", "content": [{"text": "Where is it?"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]},
        {"role": "assistant", "content": [thought, {"reasoningContent": {"redactedContent": "YQ=="}},
                                          {"toolUse": {"toolUseId": "t1", "name": "find", "input": {}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "content": [{"text": "Here."}]}},
                                     {"cachePoint": {"type": "default"}}]}
    ]);
    let mut request =
        input("us.anthropic.claude-sonnet-4-5-v1:0", "anthropic", messages.clone(), json!({"max_tokens": 9_000}));
    request["model"]["reasoning"] = json!("claude-budget");
    request["model"]["price"] = json!({
        "input": "3", "output": "15", "cacheRead": "0.3", "cacheWrite5m": "3.75", "cacheWrite1h": "6"
    });
    let spec = json!({"name": "find", "inputSchema": {"json": {"type": "object"}}, "strict": true});
    request["prompt"]["tools"] = json!([{"toolSpec": spec}, {"cachePoint": {"type": "default", "ttl": "1h"}}]);
    request["prompt"]["system"] = json!([{"text": "Be brief."}, {"cachePoint": {"type": "default", "ttl": "1h"}}]);
    request["prompt"]["reasoning"] = json!({"budgetTokens": 4_000});
    request["prompt"]["outputFormat"] = json!({"jsonSchema": {"name": "place", "schema": {"type": "object"}}});
    (request, messages)
}

#[tokio::test]
async fn a_thinking_models_tool_loop_goes_over_the_wire_and_each_cached_token_has_its_own_rate() {
    let (request, messages) = loop_of_tools();
    let content = json!([
        {"reasoningContent": {"reasoningText": {"text": "", "signature": "Next+/=="}}},
        {"reasoningContent": {"redactedContent": "Yg=="}},
        {"text": "There."}
    ]);
    let body = json!({
        "output": {"message": {"role": "assistant", "content": content}}, "stopReason": "end_turn",
        "usage": {"inputTokens": 10, "outputTokens": 100, "totalTokens": 110, "cacheReadInputTokens": 1_000,
                  "cacheWriteInputTokens": 300, "cacheDetails": [{"ttl": "1h", "inputTokens": 200}, {"ttl": "5m", "inputTokens": 100}]},
        "metrics": {"latencyMs": 1}, "serviceTier": {"type": "default"}
    });
    let (answer, sent) = invoke(&request, vec![http_answer(200, &[], &body.to_string())]).await;
    let sent = &sent[0]["body"];
    assert_eq!(sent["messages"], messages);
    assert_eq!(sent["system"], request["prompt"]["system"]);
    assert_eq!(sent["toolConfig"]["tools"], request["prompt"]["tools"]);
    assert_eq!(sent["additionalModelRequestFields"], json!({"thinking": {"type": "enabled", "budget_tokens": 4_000}}));
    let structure = json!({"jsonSchema": {"name": "place", "schema": r#"{"type":"object"}"#}});
    assert_eq!(sent["outputConfig"], json!({"textFormat": {"type": "json_schema", "structure": structure}}));
    let answer = &answer["answer"];
    assert_eq!(answer["output"]["message"]["content"], content);
    // 10 x 3 + 100 x 15 + 1,000 x 0.3 + 100 x 3.75 + 200 x 6 = 3,405 millionths of a dollar. Without a cache, 1,300 x 3
    // instead of 1,000 x 0.3 + 100 x 3.75 + 200 x 6: 2,025 millionths more.
    assert_eq!(answer["cost"], json!({"usd": "0.003405000", "savedUsd": "0.002025000", "priced": true}));
    let details = json!([{"ttl": "5m", "inputTokens": 100}, {"ttl": "1h", "inputTokens": 200}]);
    assert_eq!((&answer["usage"]["cacheDetails"], &answer["usage"]["totalTokens"]), (&details, &json!(1_410)));
}

#[tokio::test]
async fn a_budget_of_thoughts_stays_below_the_tokens_that_are_reserved() {
    let (mut request, _) = loop_of_tools();
    request["maxTokens"] = json!(3_000);
    let (_, sent) = invoke(&request, vec![converse("S3")]).await;
    assert_eq!(sent[0]["body"]["inferenceConfig"]["maxTokens"], 3_000);
    assert_eq!(sent[0]["body"]["additionalModelRequestFields"]["thinking"]["budget_tokens"], 1_500);
    request["maxTokens"] = json!(1_000);
    let (answer, sent) = invoke(&request, vec![]).await;
    let failure = &answer["failure"];
    assert_eq!(failure["error"]["details"], json!({"parameter": "reasoning"}));
    assert_eq!((&failure["nothingSpent"], sent.len()), (&json!(true), 0));
}

#[tokio::test]
async fn a_tier_costs_what_the_answer_says_was_used() {
    let (mut request, _) = loop_of_tools();
    request["prompt"]["serviceTier"] = json!("priority");
    request["model"]["price"]["tiers"] = json!({"priority": {"input": "6", "output": "30"}});
    let told = |tier: Value| {
        let mut body = json!({
            "output": {"message": {"role": "assistant", "content": [{"text": "S3"}]}}, "stopReason": "end_turn",
            "usage": {"inputTokens": 10, "outputTokens": 100, "totalTokens": 110}, "metrics": {"latencyMs": 1}
        });
        if !tier.is_null() {
            body["serviceTier"] = json!({"type": tier});
        }
        http_answer(200, &[], &body.to_string())
    };
    for (tier, usd, shown) in [
        (json!("priority"), "0.003060000", Some("priority")),
        (json!(null), "0.003060000", Some("priority")),
        (json!("default"), "0.001530000", None),
    ] {
        let (answer, _) = invoke(&request, vec![told(tier)]).await;
        assert_eq!(answer["answer"]["cost"]["usd"], usd);
        assert_eq!(answer["answer"]["usage"].get("serviceTier").and_then(Value::as_str), shown);
    }
}
