use serde_json::json;

use super::*;

fn translated(body: Value) -> Value {
    let body = read(body.to_string().as_bytes()).unwrap();
    let tags = BTreeMap::from([("applicationId".to_owned(), "helper".to_owned())]);
    serde_json::from_str(document("claude-haiku-4-5", body, &tags).unwrap().get()).unwrap()
}

#[test]
fn every_part_of_a_request_has_its_place_in_the_document() {
    let schema = json!({"type": "object"});
    let messages = json!([{"role": "user", "content": [{"text": "Hello"}]}]);
    let tools = json!([{"toolSpec": {"name": "t", "inputSchema": {"json": schema}}}]);
    let found = translated(json!({
        "messages": messages,
        "system": [{"text": "Be short."}],
        "inferenceConfig": {"maxTokens": 9, "temperature": 0.5, "topP": 0.25, "stopSequences": ["x"]},
        "toolConfig": {"tools": tools, "toolChoice": {"auto": {}}},
        "guardrailConfig": {"guardrailIdentifier": "g", "guardrailVersion": "1", "trace": "disabled"},
        "additionalModelRequestFields": {"top_k": 3, "thinking": {"type": "enabled", "budget_tokens": 2000}, "other": [1]},
        "additionalModelResponseFieldPaths": ["/usage"],
        "serviceTier": {"type": "flex"},
        "outputConfig": {"textFormat": {"type": "json_schema",
            "structure": {"jsonSchema": {"name": "n", "description": "d", "schema": schema.to_string()}}}},
        "performanceConfig": {"latency": "standard"},
    }));
    let expected = json!({
        "model": "claude-haiku-4-5",
        "prompt": {
            "system": [{"text": "Be short."}],
            "messages": messages,
            "parameters": {"max_tokens": 9, "temperature": 0.5, "top_p": 0.25, "stop_sequences": ["x"], "top_k": 3},
            "tools": tools,
            "toolChoice": {"auto": {}},
            "guardrail": {"identifier": "g", "version": "1"},
            "serviceTier": "flex",
            "reasoning": {"budgetTokens": 2000},
            "outputFormat": {"jsonSchema": {"name": "n", "schema": schema, "description": "d"}},
            "additionalModelRequestFields": {"other": [1]},
            "additionalModelResponseFieldPaths": ["/usage"],
        },
        "tags": {"applicationId": "helper"},
    });
    assert_eq!(found, expected);
}

#[test]
fn a_request_with_messages_only_has_nothing_else_and_numbers_keep_their_digits() {
    let body =
        br#"{"messages": [{"role": "user", "content": [{"toolResult": {"x": 123456789012345678901234567890}}]}]}"#;
    let document = document("m", read(body).unwrap(), &BTreeMap::new()).unwrap();
    assert!(document.get().contains("123456789012345678901234567890"), "{document}");
    assert!(document.get().starts_with(r#"{"model":"m","prompt":{"messages":"#), "{document}");
}

#[test]
fn a_field_that_the_sentry_does_not_have_is_refused_by_name_and_without_text() {
    for (body, named) in [
        (json!({"messages": [], "promptVariables": {"a": {"text": "secret"}}}), "promptVariables"),
        (json!({"messages": [], "projectIdentifier": "secret"}), "projectIdentifier"),
        (json!({"inferenceConfig": {"maxTokns": 1}}), "maxTokns"),
        (json!({"requestMetadata": {"a": 1}}), "form of Converse"),
        (json!("secret"), "form of Converse"),
    ] {
        let error = format!("{:?}", read(body.to_string().as_bytes()).unwrap_err());
        assert!(error.contains(named) && !error.contains("secret"), "{error}");
    }
    for (body, named) in [
        (json!({"performanceConfig": {"latency": "optimized"}}), "performanceConfig.latency"),
        (json!({"guardrailConfig": {"trace": "enabled"}}), "guardrailConfig.trace"),
        (
            json!({"outputConfig": {"textFormat": {"type": "text", "structure": {"jsonSchema": {"schema": ""}}}}}),
            "textFormat.type",
        ),
    ] {
        let body = read(body.to_string().as_bytes()).unwrap();
        let error = format!("{:?}", document("m", body, &BTreeMap::new()).unwrap_err());
        assert!(error.contains(named), "{error}");
    }
}

#[test]
fn an_answer_is_written_as_converse_writes_it() {
    let output: Output = serde_json::from_value(json!({
        "message": {"role": "assistant", "content": "Hi"}, "stopReason": "end_turn",
        "additionalModelResponseFields": {"stop_sequence": null}}))
    .unwrap();
    let usage: Usage = serde_json::from_value(json!({
        "inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0, "totalTokens": 3,
        "serviceTier": "flex"}))
    .unwrap();
    assert_eq!(
        response(&output, Some(&usage), 7),
        json!({
            "output": {"message": {"role": "assistant", "content": [{"text": "Hi"}]}},
            "stopReason": "end_turn",
            "usage": {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0, "totalTokens": 3},
            "metrics": {"latencyMs": 7},
            "additionalModelResponseFields": {"stop_sequence": null},
        })
    );
}
