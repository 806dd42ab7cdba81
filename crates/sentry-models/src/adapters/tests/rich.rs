//! Content blocks, tools, guardrails and service tiers.

use proptest::prelude::*;
use sentry_contract::answer::StopReason;
use sentry_contract::content::{Block, Content};
use sentry_contract::request::{Family, Prompt, ReasoningStyle};
use sentry_domain::Charges;
use serde_json::{Value, json};

use super::prompts::{any_json, block};
use super::reference::{MODELS, answer};
use super::{asking, prepare, refused_by, sent};
use crate::adapters::normalize;

const NOVA: &str = "amazon.nova-lite-v1:0";

fn every_block() -> Value {
    let image = json!({"image": {"format": "png", "source": {"bytes": "YQ=="}}});
    let file = json!({"document": {"format": "md", "name": "notes", "source": {"text": "# S3"}}});
    json!([
        {"role": "user", "content": [{"text": "Look: "}, image, file, {"cachePoint": {"type": "default", "ttl": "1h"}},
                                     {"guardContent": {"text": {"text": "Is it safe?", "qualifiers": ["query"]}}}, {"guardContent": image}]},
        {"role": "assistant", "content": [{"reasoningContent": {"reasoningText": {"text": "", "signature": "EqQB+/=="}}},
                                          {"reasoningContent": {"redactedContent": "YQ=="}}, {"text": "Hm."}, {"toolUse": {"toolUseId": "t1", "name": "find", "input": {"q": [1, 0.5, null]}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "status": "success", "content": [{"json": {"at": -1}}, image, file]}}]}
    ])
}

fn full() -> Value {
    json!({
        "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
        "messages": every_block(),
        "tools": [{"toolSpec": {"name": "find", "description": "Finds.", "inputSchema": {"json": {"type": "object"}}, "strict": true}},
                  {"cachePoint": {"type": "default", "ttl": "5m"}}],
        "outputFormat": {"jsonSchema": {"name": "place", "schema": {"const": 9_007_199_254_740_993_u64}, "description": "A place."}},
        "additionalModelRequestFields": {"inferenceConfig": {"seed": 7}},
        "parameters": {"top_k": 5},
        "toolChoice": {"tool": {"name": "find"}},
        "guardrail": {"identifier": "abc", "version": "DRAFT"},
        "serviceTier": "flex"
    })
}

/// Validation, and not the adapter, knows that a model does not support some of these parts.
#[test]
fn converse_gets_every_block_as_it_is_and_each_family_its_own_fields() {
    let families = [
        (
            "converse_claude",
            Family::Anthropic,
            "us.anthropic.claude-sonnet-4-20250514-v1:0",
            ReasoningStyle::ClaudeBudget,
        ),
        ("converse_nova", Family::Nova, "us.amazon.nova-2-lite-v1:0", ReasoningStyle::NovaEffort),
        ("converse_gpt_oss", Family::GptOss, "openai.gpt-oss-120b-1:0", ReasoningStyle::ReasoningEffort),
    ];
    for (name, family, model_id, style) in families {
        let mut prompt = full();
        prompt["reasoning"] = json!({"effort": "low"});
        let mut input = asking(family, model_id, &prompt);
        input.model.reasoning = Some(style);
        let request = serde_json::to_value(prepare(&input, 9_000).unwrap()).unwrap();
        assert_eq!(request["messages"], every_block());
        insta::assert_json_snapshot!(name, request);
    }
}

#[test]
fn system_stands_before_the_system_messages_and_has_no_pictures() {
    let messages = json!([{"role": "user", "content": "Hi"}, {"role": "system", "content": "Be kind."}]);
    let prompt = json!({"system": "Be brief.", "messages": messages});
    let request = sent(&asking(Family::Nova, NOVA, &prompt));
    assert_eq!(request["system"], json!([{"text": "Be brief."}, {"text": "Be kind."}]));
    let image = json!([{"image": {"format": "png", "source": {"bytes": "YQ=="}}}]);
    let prompt = json!({"system": image, "messages": [{"role": "user", "content": "Hi"}]});
    let failure = prepare(&asking(Family::Nova, NOVA, &prompt), 9).unwrap_err();
    assert_eq!(refused_by(&failure), "system");
}

#[test]
fn the_answer_has_blocks_where_the_prompt_was_rich_and_text_where_it_was_not() {
    let asked = json!({"toolUse": {"toolUseId": "t1", "name": "find", "input": {"q": 1}}});
    let mut body = answer("Hm.", [3, 4, 0, 0]);
    let thought = body["output"]["message"]["content"][0].clone();
    body["output"]["message"]["content"].as_array_mut().unwrap().extend([json!({"text": ""}), asked.clone()]);
    body["stopReason"] = json!("tool_use");
    let reply = || normalize(serde_json::from_value(body.clone()).unwrap(), Charges::default()).unwrap();
    let output = |prompt: Value| {
        let prompt: Prompt = serde_json::from_value(prompt).unwrap();
        serde_json::to_value(reply().answer(prompt.is_rich(), None).output).unwrap()
    };
    let plain = json!({"messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(output(plain.clone())["message"]["content"], "Hm.");
    let mut tools = plain;
    tools["tools"] = full()["tools"].clone();
    let thinks = json!({"messages": [{"role": "user", "content": "Hi"}], "reasoning": {"effort": "low"}});
    for rich in [full(), tools, thinks, json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]})] {
        let expected = json!({"message": {"role": "assistant", "content": [thought, {"text": "Hm."}, asked]}, "stopReason": "tool_use"});
        assert_eq!(output(rich), expected);
    }
    for lost in ["toolUseId", "name"] {
        let mut broken = body.clone();
        broken["output"]["message"]["content"][3]["toolUse"].as_object_mut().unwrap().remove(lost);
        let failure = normalize(serde_json::from_value(broken).unwrap(), Charges::default()).unwrap_err();
        assert_eq!(failure.usage.map(|usage| usage.output), Some(4));
    }
}

#[test]
fn the_input_of_a_tool_has_the_same_text_in_whatever_order_it_arrives() {
    let said = |input: &str| {
        let mut body = answer("Hm.", [3, 4, 0, 0]);
        let input: Value = serde_json::from_str(input).unwrap();
        let asked = json!({"toolUse": {"toolUseId": "t1", "name": "find", "input": input}});
        body["output"]["message"]["content"].as_array_mut().unwrap().push(asked);
        let reply = normalize(serde_json::from_value(body).unwrap(), Charges::default()).unwrap();
        serde_json::to_string(reply.content.last().unwrap()).unwrap()
    };
    let sorted = said(r#"{"a": [{"b": 1, "c": 2}], "d": 3}"#);
    assert!(sorted.contains(r#"{"a":[{"b":1,"c":2}],"d":3}"#), "{sorted}");
    assert_eq!(said(r#"{"d": 3, "a": [{"c": 2, "b": 1}]}"#), sorted);
}

#[test]
fn no_usage_is_right_only_where_a_guardrail_has_blocked_the_input() {
    let mut body = answer("Blocked.", [0, 0, 0, 0]);
    let read = |body: &Value| normalize(serde_json::from_value(body.clone()).unwrap(), Charges::default());
    assert!(read(&body).unwrap_err().usage.is_none());
    body["stopReason"] = json!("guardrail_intervened");
    let reply = read(&body).unwrap();
    assert_eq!((&reply.stop_reason, reply.usage.total()), (&StopReason::GuardrailIntervened, 0));
    assert_eq!(reply.text(), "Blocked.");
}

proptest! {
    #[test]
    fn every_block_survives_the_round_trip(blocks in prop::collection::vec(block(), 1..5)) {
        let content: Content = serde_json::from_value(json!(blocks)).unwrap();
        prop_assert_eq!(serde_json::to_value(&content).unwrap(), json!(blocks));
        let prompt = json!({"messages": [{"role": "user", "content": blocks}]});
        for (family, model_id) in MODELS {
            match prepare(&asking(*family, model_id, &prompt), 9) {
                Ok(request) => {
                    let sent = serde_json::to_value(request).unwrap();
                    prop_assert_eq!(&sent["messages"][0]["content"], &json!(blocks));
                }
                Err(failure) => prop_assert!(["image", "document", "tools"].contains(&refused_by(&failure))),
            }
        }
    }

    #[test]
    fn a_tool_use_of_an_answer_can_be_sent_back(name in "[a-zA-Z0-9_-]{1,64}", input in any_json()) {
        let mut body = answer("Hm.", [3, 4, 0, 0]);
        let asked = json!({"toolUse": {"toolUseId": "t1", "name": name, "input": input}});
        body["output"]["message"]["content"].as_array_mut().unwrap().push(asked.clone());
        let reply = normalize(serde_json::from_value(body).unwrap(), Charges::default()).unwrap();
        prop_assert_eq!(reply.content.last().map(|block: &Block| serde_json::to_value(block).unwrap()), Some(asked));
    }
}
