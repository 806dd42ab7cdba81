//! Content blocks, tools, guardrails and service tiers.

use proptest::prelude::*;
use sentry_contract::answer::StopReason;
use sentry_contract::content::{Block, Content};
use sentry_contract::request::{Family, Prompt};
use serde_json::{Value, json};

use super::reference::{MODELS, answer};
use super::{asking, prepare, refused_by, sent};
use crate::adapters::normalise;
use crate::adapters::sdk_content::{document, json as as_json};

const NOVA: &str = "amazon.nova-lite-v1:0";

fn every_block() -> Value {
    let image = json!({"image": {"format": "png", "source": {"bytes": "YQ=="}}});
    let file = json!({"document": {"format": "md", "name": "notes", "source": {"text": "# S3"}}});
    json!([
        {"role": "user", "content": [{"text": "Look: "}, image, file]},
        {"role": "assistant", "content": [{"text": "Hm."}, {"toolUse": {"toolUseId": "t1", "name": "find", "input": {"q": [1, 0.5, null]}}}]},
        {"role": "user", "content": [{"toolResult": {"toolUseId": "t1", "status": "success", "content": [{"json": {"at": -1}}, image, file]}}]}
    ])
}

fn full() -> Value {
    json!({
        "system": [{"text": "Be brief."}],
        "messages": every_block(),
        "tools": [{"toolSpec": {"name": "find", "description": "Finds.", "inputSchema": {"json": {"type": "object"}}}}],
        "toolChoice": {"tool": {"name": "find"}},
        "guardrail": {"identifier": "abc", "version": "DRAFT"},
        "serviceTier": "flex"
    })
}

#[test]
fn converse_gets_every_block_as_it_is() {
    let request = sent(&asking(Family::Nova, NOVA, &full()));
    let expected = json!({
        "system": [{"text": "Be brief."}],
        "messages": every_block(),
        "inferenceConfig": {"maxTokens": 9},
        "toolConfig": {"tools": full()["tools"], "toolChoice": full()["toolChoice"]},
        "guardrailConfig": {"guardrailIdentifier": "abc", "guardrailVersion": "DRAFT"},
        "serviceTier": {"type": "flex"},
        "requestMetadata": {"applicationId": "helper"}
    });
    assert_eq!(request, expected);
}

#[test]
fn system_stands_before_the_system_messages_and_has_nothing_but_text() {
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
    body["output"]["message"]["content"].as_array_mut().unwrap().extend([json!({"text": ""}), asked.clone()]);
    body["stopReason"] = json!("tool_use");
    let reply = || normalise(serde_json::from_value(body.clone()).unwrap()).unwrap();
    let output = |prompt: Value| {
        let prompt: Prompt = serde_json::from_value(prompt).unwrap();
        serde_json::to_value(reply().answer(prompt.is_rich(), None).output).unwrap()
    };
    let plain = json!({"messages": [{"role": "user", "content": "Hi"}]});
    assert_eq!(output(plain.clone())["message"]["content"], "Hm.");
    let mut tools = plain;
    tools["tools"] = full()["tools"].clone();
    for rich in [full(), tools, json!({"messages": [{"role": "user", "content": [{"text": "Hi"}]}]})] {
        let expected =
            json!({"message": {"role": "assistant", "content": [{"text": "Hm."}, asked]}, "stopReason": "tool_use"});
        assert_eq!(output(rich), expected);
    }
    for lost in ["toolUseId", "name"] {
        let mut broken = body.clone();
        broken["output"]["message"]["content"][3]["toolUse"].as_object_mut().unwrap().remove(lost);
        let failure = normalise(serde_json::from_value(broken).unwrap()).unwrap_err();
        assert_eq!(failure.usage.map(|usage| usage.output), Some(4));
    }
}

#[test]
fn no_usage_is_right_only_where_a_guardrail_has_blocked_the_input() {
    let mut body = answer("Blocked.", [0, 0, 0, 0]);
    let read = |body: &Value| normalise(serde_json::from_value(body.clone()).unwrap());
    assert!(read(&body).unwrap_err().usage.is_none());
    body["stopReason"] = json!("guardrail_intervened");
    let reply = read(&body).unwrap();
    assert_eq!((&reply.stop_reason, reply.usage.total()), (&StopReason::GuardrailIntervened, 0));
    assert_eq!(reply.text(), "Blocked.");
}

/// JSON as tools have it.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,6}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Blocks that a message of the user may have, and one of the assistant.
fn block() -> impl Strategy<Value = Value> {
    let bytes = prop::collection::vec(any::<u8>(), 1..40).prop_map(aws_smithy_types::base64::encode);
    let image = ("png|jpeg|gif|webp", bytes.clone())
        .prop_map(|(format, bytes)| json!({"image": {"format": format, "source": {"bytes": bytes}}}));
    let file = ("pdf|csv|doc|docx|xls|xlsx|html|txt|md", "\\PC{1,9}", bytes, "\\PC{1,20}", any::<bool>()).prop_map(
        |(format, name, bytes, text, is_text)| {
            let source = if is_text { json!({"text": text}) } else { json!({"bytes": bytes}) };
            json!({"document": {"format": format, "name": name, "source": source}})
        },
    );
    let text = "\\PC{1,20}".prop_map(|text| json!({"text": text}));
    let asked = ("[a-z0-9_-]{1,9}", any_json())
        .prop_map(|(name, input)| json!({"toolUse": {"toolUseId": "t1", "name": name, "input": input}}));
    let inside =
        prop_oneof![text.clone(), image.clone(), file.clone(), any_json().prop_map(|value| json!({"json": value}))];
    let result =
        (prop::collection::vec(inside, 0..4), prop::option::of("success|error")).prop_map(|(content, status)| {
            let mut result = json!({"toolUseId": "t1", "content": content});
            status.into_iter().for_each(|status| result["status"] = json!(status));
            json!({"toolResult": result})
        });
    prop_oneof![text, image, file, asked, result]
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
    fn json_survives_the_sdk(value in any_json()) {
        prop_assert_eq!(as_json(document(value.clone())), value);
    }

    #[test]
    fn a_tool_use_of_an_answer_can_be_sent_back(name in "[a-zA-Z0-9_-]{1,64}", input in any_json()) {
        let mut body = answer("Hm.", [3, 4, 0, 0]);
        let asked = json!({"toolUse": {"toolUseId": "t1", "name": name, "input": input}});
        body["output"]["message"]["content"].as_array_mut().unwrap().push(asked.clone());
        let reply = normalise(serde_json::from_value(body).unwrap()).unwrap();
        prop_assert_eq!(reply.content.last().map(|block: &Block| serde_json::to_value(block).unwrap()), Some(asked));
    }
}
