use insta::assert_json_snapshot;
use sentry_contract::request::Tags;
use sentry_contract::{ErrorBody, ErrorCode};

use super::*;

fn read_body(body: &Value) -> Result<Prompt, ApiError> {
    read(Fields::of_body(body.to_string().as_bytes()).unwrap())
}

/// The first words of the refusal of a body.
fn refused(body: &Value) -> String {
    let error = read_body(body).err().unwrap();
    error.message.split_whitespace().next().unwrap_or_default().to_owned()
}

#[test]
fn every_part_of_a_request_has_its_place_in_the_document() {
    let body = json!({
        "schemaVersion": "messages-v1",
        "system": [{"text": "Act as a creative writing assistant."}],
        "messages": [{"role": "user", "content": [{"text": "Write a short story about dragons"}, {"cachePoint": {"type": "default"}}]}],
        "inferenceConfig": {"maxTokens": 300, "topP": 0.1, "topK": 20, "temperature": 0.3, "stopSequences": ["END"],
            "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
        "toolConfig": {"tools": [{"toolSpec": {"name": "top_song", "inputSchema": {"json": {"type": "object"}}}}], "toolChoice": {"auto": {}}},
    });
    let document = read_body(&body).unwrap().document("nova-lite", &BTreeMap::new()).unwrap();
    assert_json_snapshot!("document", serde_json::from_str::<Value>(document.get()).unwrap());
}

#[test]
fn the_older_name_of_the_maximum_and_the_end_of_thinking_are_read() {
    let prompt = read_body(&json!({"inferenceConfig": {"max_new_tokens": 5, "reasoningConfig": {"type": "disabled"}}}));
    let prompt = prompt.unwrap();
    assert_eq!((prompt.parameters["max_tokens"].get(), prompt.reasoning), ("5", Some(json!({"off": true}))));
}

#[test]
fn a_field_without_a_place_in_the_document_is_refused_by_name() {
    assert_eq!(refused(&json!({"schemaVersion": "messages-v2"})), "schemaVersion");
    assert_eq!(refused(&json!({"guardrailConfig": {}})), "guardrailConfig");
    assert_eq!(refused(&json!({"inferenceConfig": {"seed": 1}})), "inferenceConfig.seed");
    assert_eq!(
        refused(&json!({"inferenceConfig": {"maxTokens": 1, "max_new_tokens": 1}})),
        "inferenceConfig.max_new_tokens"
    );
    assert_eq!(
        refused(&json!({"inferenceConfig": {"reasoningConfig": {"type": "enabled"}}})),
        "inferenceConfig.reasoningConfig.type"
    );
    assert_eq!(refused(&json!({"toolConfig": {"more": 1}})), "toolConfig.more");
}

#[test]
fn an_answer_is_written_as_nova_writes_it() {
    let error = ErrorBody::new(ErrorCode::InvalidRequest, "");
    let mut answer = FinalAnswer::refused(Tags::default(), None, error, Vec::new());
    answer.usage = serde_json::from_value(
        json!({"inputTokens": 9, "outputTokens": 3, "cacheReadInputTokens": 5, "totalTokens": 17}),
    )
    .ok();
    let output = json!({"message": {"role": "assistant", "content": [{"text": "Hello"}]}, "stopReason": "end_turn"});
    assert_json_snapshot!("whole", Nova.whole(&answer, &serde_json::from_value(output).unwrap()));
}

#[test]
fn events_are_those_of_converse_under_their_names() {
    let mut nova = Nova;
    let mut parts = Vec::new();
    for (name, fields) in [
        ("messageStart", json!({"role": "assistant"})),
        ("contentBlockDelta", json!({"contentBlockIndex": 0, "delta": {"text": "Hi"}})),
        ("contentBlockStop", json!({"contentBlockIndex": 0})),
        ("messageStop", json!({"stopReason": "end_turn"})),
        ("metadata", json!({"usage": {"inputTokens": 0}, "metrics": {"latencyMs": 4}})),
    ] {
        parts.extend(nova.parts(&Event { name, fields }));
    }
    let usage = json!({"inputTokens": 9, "outputTokens": 3, "totalTokens": 12});
    parts.extend(nova.end(&serde_json::from_value(usage).unwrap()));
    assert_json_snapshot!("events", parts);
}
