//! Content blocks, and the fields of a prompt other than messages.

use serde_json::{Value, json};

use crate::tests::{request, validate};

fn image() -> Value {
    json!({"image": {"format": "png", "source": {"bytes": "YQ=="}}})
}

fn tool() -> Value {
    json!({"toolSpec": {"name": "find", "description": "Finds.", "inputSchema": {"json": {"type": "object"}}}})
}

fn full() -> Value {
    let asked = json!({"toolUse": {"toolUseId": "t.1:x", "name": "find", "input": {"q": 1}}});
    let pdf = json!({"document": {"format": "pdf", "name": "a", "source": {"bytes": "YQ=="}}});
    let notes = json!({"document": {"format": "txt", "name": "b", "source": {"text": "S3"}}});
    let inside = json!([{"text": "x"}, {"json": {"at": 1}}, image(), pdf]);
    let result = json!({"toolResult": {"toolUseId": "t.1:x", "content": inside, "status": "success"}});
    json!({
        "system": "Be brief.",
        "messages": [
            {"role": "system", "content": [{"text": "Be kind."}]},
            {"role": "user", "content": [{"text": "Look"}, image(), pdf, notes]},
            {"role": "assistant", "content": [{"text": "Hm."}, asked]},
            {"role": "user", "content": [result]}
        ],
        "parameters": {"max_tokens": 9},
        "tools": [tool()],
        "toolChoice": {"tool": {"name": "find"}},
        "guardrail": {"identifier": "arn:aws:bedrock:us-east-1:111122223333:guardrail/abc1", "version": "12"},
        "serviceTier": "default"
    })
}

fn with_prompt(prompt: Value) -> Value {
    let mut document = request();
    document["prompt"] = prompt;
    document
}

/// The full prompt with the value at `pointer` replaced or added.
fn with(pointer: &str, value: Value) -> Value {
    let mut prompt = full();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = prompt.pointer_mut(parent).unwrap();
    match parent {
        Value::Array(items) => items[name.parse::<usize>().unwrap()] = value,
        _ => parent[name] = value,
    }
    with_prompt(prompt)
}

#[test]
fn a_full_prompt_is_passed_on_as_it_is() {
    let validated = validate(&with_prompt(full()));
    assert_eq!(validated["valid"], true, "{validated}");
    assert_eq!(validated["request"]["prompt"], full());
    assert_eq!(validated["request"]["estimate"]["inputTokens"], 200_000, "what the model can read at most");
    assert!(validated["request"]["model"]["price"].is_object());
}

#[test]
fn another_service_tier_has_no_price() {
    for tier in ["flex", "priority", "reserved"] {
        let request = validate(&with("/serviceTier", json!(tier)))["request"].clone();
        assert_eq!((&request["prompt"]["serviceTier"], &request["model"]["price"]), (&json!(tier), &Value::Null));
    }
}

#[test]
fn an_image_to_a_model_whose_context_window_nobody_knows_is_refused_where_it_stands() {
    let mut document = with_prompt(json!({"messages": [{"role": "user", "content": [{"text": "a"}, image()]}]}));
    document["model"] = json!("writer.of-no-known-window-v1:0");
    let error = validate(&document)["answer"]["error"].clone();
    assert_eq!(error["code"], "InvalidRequest");
    assert_eq!(error["details"]["path"], "prompt.messages[0].content[1].image");
    assert!(error["message"].as_str().unwrap().contains("contextWindow"));
}

/// Every document is refused, and the answer names the path.
fn assert_paths<const N: usize>(cases: [(Value, String); N]) {
    for (document, path) in cases {
        let answer = validate(&document)["answer"].clone();
        assert_eq!(answer["error"]["details"]["path"], path, "{answer}");
        assert_eq!(answer["error"]["code"], "InvalidRequest");
    }
}

#[test]
fn each_offence_in_a_message_is_named_by_its_path() {
    let content = "prompt.messages[1].content";
    let block = |block: Value| with("/messages/1/content/0", block);
    let result = |inside: Value| with("/messages/3/content/0/toolResult/content", json!([inside]));
    let path = |rest: &str| format!("{content}{rest}");
    let cases = [
        (with("/messages/1/content", json!([])), path("")),
        (with("/messages/1/content", json!({"text": "a"})), path("")),
        (block(json!("a")), path("[0]")),
        (block(json!({})), path("[0]")),
        (block(json!({"text": "a", "image": {}})), path("[0]")),
        (block(json!({"text": ""})), path("[0].text")),
        (block(json!({"video": {}})), path("[0].video")),
        (block(json!({"cachePoint": {"type": "persistent"}})), path("[0].cachePoint.type")),
        (block(json!({"toolUse": {}})), path("[0].toolUse")),
        (with("/messages/2/content/0", json!({"toolResult": {}})), "prompt.messages[2].content[0].toolResult".into()),
        (with("/messages/2/content/0", image()), "prompt.messages[2].content[0].image".into()),
        (with("/messages/0/content/0", image()), "prompt.messages[0].content[0].image".into()),
        (with("/system", json!([image()])), "prompt.system[0].image".into()),
        (with("/system", json!(" ")), "prompt.system".into()),
        (with("/messages/1/content/1/image/format", json!("bmp")), path("[1].image.format")),
        (with("/messages/1/content/1/image/name", json!("a")), path("[1].image.name")),
        (with("/messages/1/content/1/image/source", json!({"bytes": "?"})), path("[1].image.source.bytes")),
        (with("/messages/1/content/1/image/source", json!({"bytes": "YQ"})), path("[1].image.source.bytes")),
        (
            with("/messages/1/content/1/image/source", json!({"s3Location": {"uri": "s3://b"}})),
            path("[1].image.source.s3Location"),
        ),
        (with("/messages/1/content/1/image/source", json!({"text": "a"})), path("[1].image.source.text")),
        (with("/messages/1/content/2/document/format", json!("PDF")), path("[2].document.format")),
        (with("/messages/1/content/2/document/name", json!("")), path("[2].document.name")),
        (with("/messages/1/content/2/document/name", json!("x".repeat(201))), path("[2].document.name")),
        (with("/messages/1/content/2/document/citations", json!({"enabled": true})), path("[2].document.citations")),
        (with("/messages/1/content/2/document/source", json!({})), path("[2].document.source")),
        (with("/messages/1/content/2/document/source", json!({"content": []})), path("[2].document.source.content")),
        (
            with("/messages/2/content/1/toolUse/toolUseId", json!("a b")),
            "prompt.messages[2].content[1].toolUse.toolUseId".into(),
        ),
        (with("/messages/2/content/1/toolUse/name", json!("a.b")), "prompt.messages[2].content[1].toolUse.name".into()),
        (with("/messages/2/content/1/toolUse/input", json!([])), "prompt.messages[2].content[1].toolUse.input".into()),
        (with("/messages/2/content/1/toolUse/type", json!("x")), "prompt.messages[2].content[1].toolUse.type".into()),
        (
            with("/messages/3/content/0/toolResult/status", json!("ok")),
            "prompt.messages[3].content[0].toolResult.status".into(),
        ),
        (result(json!({"json": [1]})), "prompt.messages[3].content[0].toolResult.content[0].json".into()),
        (result(json!({"video": {}})), "prompt.messages[3].content[0].toolResult.content[0].video".into()),
        (
            result(json!({"image": {"format": "png", "source": {"bytes": ""}}})),
            "prompt.messages[3].content[0].toolResult.content[0].image.source.bytes".into(),
        ),
        (block(json!({"reasoningContent": {"reasoningText": {"text": "a"}}})), path("[0].reasoningContent")),
        (
            block(json!({"guardContent": {"image": {"format": "gif", "source": {"bytes": "YQ=="}}}})),
            path("[0].guardContent.image"),
        ),
    ];
    assert_paths(cases);
}

#[test]
fn each_offence_outside_the_messages_is_named_by_its_path() {
    let cases = [
        (with("/tools", json!([])), "prompt.toolChoice".into()),
        (with("/tools/0", json!({"cachePoint": {}})), "prompt.tools[0].cachePoint.type".into()),
        (with("/tools/0", json!({"systemTool": {}})), "prompt.tools[0].systemTool".into()),
        (with("/tools/0/toolSpec/name", json!("")), "prompt.tools[0].toolSpec.name".into()),
        (
            with("/tools/0/toolSpec/inputSchema", json!({"json": "{}"})),
            "prompt.tools[0].toolSpec.inputSchema.json".into(),
        ),
        (with("/tools/0/toolSpec/strict", json!("yes")), "prompt.tools[0].toolSpec.strict".into()),
        (with("/toolChoice", json!({"none": {}})), "prompt.toolChoice.none".into()),
        (with("/toolChoice", json!({"auto": {"a": 1}})), "prompt.toolChoice.auto.a".into()),
        (with("/toolChoice", json!({"tool": {"name": "lose"}})), "prompt.toolChoice.tool.name".into()),
        (with("/guardrail/identifier", json!("Abc")), "prompt.guardrail.identifier".into()),
        (
            with("/guardrail/identifier", json!("arn:aws:s3:us-east-1:111122223333:guardrail/abc")),
            "prompt.guardrail.identifier".into(),
        ),
        (with("/guardrail/version", json!("01")), "prompt.guardrail.version".into()),
        (with("/guardrail/version", json!(1)), "prompt.guardrail.version".into()),
        (with("/guardrail/trace", json!("enabled")), "prompt.guardrail.trace".into()),
        (with("/serviceTier", json!("cheap")), "prompt.serviceTier".into()),
        (with("/serviceTier", json!({"type": "flex"})), "prompt.serviceTier".into()),
        (with("/toolConfig", json!({})), "prompt.toolConfig".into()),
        (with("/reasoning", json!({"effort": "huge"})), "prompt.reasoning.effort".into()),
        (with("/reasoning", json!({"budgetTokens": 1023})), "prompt.reasoning.budgetTokens".into()),
        (with("/reasoning", json!({"off": false})), "prompt.reasoning.off".into()),
        (with("/reasoning", json!({"off": true, "effort": "low"})), "prompt.reasoning".into()),
        (with("/outputFormat", json!({"jsonSchema": {"name": "a"}})), "prompt.outputFormat.jsonSchema.schema".into()),
        (
            with("/outputFormat", json!({"jsonSchema": {"name": "a", "schema": {"type": "object"}, "description": 5}})),
            "prompt.outputFormat.jsonSchema.description".into(),
        ),
        (with("/additionalModelRequestFields", json!("x")), "prompt.additionalModelRequestFields".into()),
        (
            with("/additionalModelResponseFieldPaths", json!(["/a", "b"])),
            "prompt.additionalModelResponseFieldPaths[1]".into(),
        ),
        (
            with("/additionalModelResponseFieldPaths", json!(vec!["/a"; 11])),
            "prompt.additionalModelResponseFieldPaths".into(),
        ),
    ];
    assert_paths(cases);
    let mut lonely = full();
    lonely.as_object_mut().unwrap().remove("tools");
    assert_eq!(validate(&with_prompt(lonely))["answer"]["error"]["details"]["path"], "prompt.toolChoice");
}
