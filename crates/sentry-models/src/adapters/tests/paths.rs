//! The two paths to Bedrock, the SDK and the integration of Step Functions, transfer the same prompts and answers.

use proptest::prelude::*;
use sentry_contract::request::{Family, ReasoningStyle};
use sentry_contract::states::InvokeModelInput;
use sentry_domain::Charges;
use serde_json::{Value, json};

use super::prompts::{answered, prompt};
use super::reference::answer;
use super::{asking, wire};
use crate::adapters::integration::{camel, parameters, pascal, read};
use crate::adapters::{ask, normalize, prepare};

const MAX_TOKENS: u32 = 8_000;
const SONNET: &str = "global.anthropic.claude-sonnet-4-6";

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// The body that the SDK sends.
fn by_sdk(input: &InvokeModelInput) -> Value {
    let (client, wire) = wire::client(200, "", &answer("Hi", [1, 1, 0, 0]).to_string());
    block_on(ask(&client, input, MAX_TOKENS)).unwrap();
    let body = wire.actual_requests().next().unwrap().body().bytes().unwrap().to_vec();
    serde_json::from_slice(&body).unwrap()
}

/// The parameters for Step Functions, with Bedrock's names. `None` if the function makes the call.
fn by_integration(input: &InvokeModelInput) -> Option<Value> {
    let request = prepare(input, MAX_TOKENS).unwrap();
    let mut sent = camel(parameters(SONNET, &request).unwrap()?);
    assert_eq!(sent.as_object_mut().unwrap().remove("modelId"), Some(json!(SONNET)));
    Some(sent)
}

fn thinking(prompt: &Value) -> InvokeModelInput {
    let mut input = asking(Family::Anthropic, SONNET, prompt);
    input.model.reasoning = Some(ReasoningStyle::ClaudeBudgetOrAdaptive);
    input
}

#[tokio::test]
async fn the_body_on_the_wire_is_the_prepared_request_to_the_letter_and_its_length_is_told() {
    let schema = json!({"type": "object", "properties": {"b": {}, "a": {}, "d": {}, "c": {}, "f": {}, "e": {}}});
    let tool = json!({"toolSpec": {"name": "find", "inputSchema": {"json": schema}}});
    let input = thinking(&json!({
        "messages": [{"role": "user", "content": "größer"}], "tools": [tool], "parameters": {"temperature": 0.7},
        "guardrail": {"identifier": "abc", "version": "1"}
    }));
    for _ in 0..3 {
        let (client, wire) = wire::client(200, "", &answer("Hi", [1, 1, 0, 0]).to_string());
        ask(&client, &input, MAX_TOKENS).await.unwrap();
        let request = wire.actual_requests().next().unwrap();
        let body = std::str::from_utf8(request.body().bytes().unwrap()).unwrap();
        assert_eq!(body, serde_json::to_string(&prepare(&input, MAX_TOKENS).unwrap()).unwrap());
        let header = |name| request.headers().get(name);
        assert_eq!(header("content-length"), Some(body.len().to_string().as_str()));
        assert_eq!(header("content-type"), Some("application/json"));
        assert!(header("authorization").is_some(), "it is signed");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_prompt_goes_both_ways_as_it_was_prepared(prompt in prompt()) {
        let input = thinking(&prompt);
        let prepared = serde_json::to_value(prepare(&input, MAX_TOKENS).unwrap()).unwrap();
        prop_assert_eq!(by_sdk(&input), prepared.clone());
        if let Some(sent) = by_integration(&input) {
            prop_assert_eq!(sent, prepared);
        }
    }

    #[test]
    fn every_answer_means_the_same_both_ways(content in answered(), tokens in [1..99_u64, 1..99, 0..99, 0..99]) {
        let mut told = answer("", tokens);
        told["output"]["message"]["content"] = json!(content);
        told["serviceTier"] = json!({"type": "priority"});
        let expected = normalize(serde_json::from_value(told.clone()).unwrap(), Charges::default()).unwrap();
        let (client, _) = wire::client(200, "", &told.to_string());
        let input = thinking(&json!({"messages": [{"role": "user", "content": "Hi"}]}));
        prop_assert_eq!(&block_on(ask(&client, &input, MAX_TOKENS)).unwrap(), &expected);
        prop_assert_eq!(&read(pascal(told), Charges::default()).unwrap(), &expected);
        // An answer can be sent back in the next request.
        let said = json!(expected.content);
        let messages = json!([{"role": "user", "content": "Hi"}, {"role": "assistant", "content": said}]);
        let sent = by_sdk(&thinking(&json!({"messages": messages})));
        prop_assert_eq!(&sent["messages"][1]["content"], &said);
    }
}

#[test]
fn thoughts_cache_points_and_forms_of_answers_go_through_step_functions() {
    let tool = json!({"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object"}}, "strict": true}});
    let thought = json!({"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "EqQB"}}});
    let point = json!({"cachePoint": {"type": "default", "ttl": "1h"}});
    let guarded = json!({"guardContent": {"text": {"text": "Is it safe?", "qualifiers": ["query"]}}});
    let schema = json!({"type": "object", "maximum": 9_007_199_254_740_993_u64});
    let prompt = json!({
        "system": [{"text": "Be brief."}, point],
        "messages": [
            {"role": "user", "content": [{"text": "Hi"}, point]},
            {"role": "assistant", "content": [thought, {"text": "Yes?"}]},
            {"role": "user", "content": [guarded]}
        ],
        "tools": [tool, point],
        "reasoning": {"budgetTokens": 2_000},
        "outputFormat": {"jsonSchema": {"name": "place", "schema": schema}},
        "serviceTier": "priority"
    });
    let input = thinking(&prompt);
    assert_eq!(by_integration(&input), Some(by_sdk(&input)), "a schema is text, so that its numbers are exact");
    let sent = parameters(SONNET, &prepare(&input, MAX_TOKENS).unwrap()).unwrap().unwrap();
    assert_eq!(sent["Messages"][0]["Content"][1], json!({"CachePoint": {"Type": "default", "Ttl": "1h"}}));
    assert_eq!(
        sent["Messages"][1]["Content"][0],
        json!({"ReasoningContent": {"ReasoningText": {"Text": "Hm.", "Signature": "EqQB"}}})
    );
    assert_eq!(sent["AdditionalModelRequestFields"], json!({"thinking": {"type": "enabled", "budget_tokens": 2_000}}));
    assert_eq!(sent["OutputConfig"]["TextFormat"]["Structure"]["JsonSchema"]["Name"], "place");
}
