//! Requests and answers by the examples of OpenAI's API Reference.

use sentry_contract::answer::{FinalAnswer, Output};
use sentry_contract::request::Tags;
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_models::adapters::stream::{Event, broken_off};
use serde_json::{Value, json};

use super::events::Chat;
use super::request::read;
use super::response;
use crate::api::Form;
use crate::errors::ApiError;

const CREATED: i64 = 1_694_268_190;
const MODEL: &str = "openai.gpt-oss-120b-1:0";

/// The document of the request `body`, as text.
fn document(body: &Value) -> Result<String, ApiError> {
    let request = read(body.to_string().as_bytes())?;
    Ok(request.prompt.document(&request.model, &request.tags)?.get().to_owned())
}

fn translated(body: &Value) -> Value {
    serde_json::from_str(&document(body).unwrap()).unwrap()
}

/// The example "Functions", with the rest of a conversation and every parameter that has a place.
fn every_part() -> Value {
    let parameters = json!({"type": "object", "required": ["location"], "properties": {
        "location": {"type": "string", "description": "The city and state, e.g. San Francisco, CA"},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}});
    let function = json!({"name": "get_current_weather", "description": "Get the current weather in a given location",
        "parameters": parameters, "strict": true});
    let call = json!({"index": 0, "id": "call_abc123", "type": "function",
        "function": {"name": "get_current_weather", "arguments": "{\n\"location\": \"Boston, MA\"\n}"}});
    let picture = "data:image/jpeg;base64,/9j/4AA=";
    json!({
        "model": "gpt-oss-120b",
        "messages": [
            {"role": "developer", "content": "You are a helpful assistant."},
            {"role": "system", "content": [{"type": "text", "text": "Be short."}]},
            {"role": "user", "content": [
                {"type": "text", "text": "What is in this image?"},
                {"type": "image_url", "image_url": {"url": picture, "detail": "auto"}},
                {"type": "file", "file": {"filename": "draconomicon.pdf", "file_data": "data:application/pdf;base64,JVBERi0="}}]},
            {"role": "assistant", "content": null, "refusal": null, "annotations": [], "audio": null, "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "call_abc123", "content": "22 degrees"},
            {"role": "assistant", "content": "It is warm."},
            {"role": "user", "content": "Thanks!"}],
        "tools": [{"type": "function", "function": function}, {"type": "function", "function": {"name": "now", "strict": false}}],
        "tool_choice": "auto", "parallel_tool_calls": true,
        "max_completion_tokens": 300, "temperature": 0.5, "top_p": 0.9, "stop": "END",
        "response_format": {"type": "json_schema", "json_schema": {"name": "weather", "strict": true, "description": "The weather.", "schema": parameters}},
        "reasoning_effort": "low", "service_tier": "flex", "user": "user_123", "metadata": {"run": "nightly"},
        "stream": true, "stream_options": {"include_usage": true},
        "n": 1, "store": false, "logprobs": false, "frequency_penalty": 0, "presence_penalty": 0.0, "logit_bias": {},
        "modalities": ["text"], "seed": null})
}

#[test]
fn every_part_of_a_request_has_its_place_in_the_document() {
    let request = read(every_part().to_string().as_bytes()).unwrap();
    assert!(request.in_events && request.with_usage);
    assert_eq!(request.user.as_deref(), Some("user_123"));
    insta::assert_json_snapshot!("document", translated(&every_part()));
}

#[test]
fn numbers_keep_their_digits() {
    let body = r#"{"model": "m", "temperature": 0.70, "messages": [
        {"role": "user", "content": "x"},
        {"role": "assistant", "tool_calls": [{"id": "t", "type": "function",
            "function": {"name": "f", "arguments": "{\"id\": 9007199254740993, \"x\": 0.10}"}}]},
        {"role": "tool", "tool_call_id": "t", "content": ""}],
        "tools": [{"type": "function", "function": {"name": "f", "parameters": {"maximum": 9007199254740993}}}]}"#;
    let request = read(body.as_bytes()).unwrap();
    let document = request.prompt.document("m", &request.tags).unwrap();
    for text in [r#""temperature":0.70"#, r#"{"id": 9007199254740993, "x": 0.10}"#, r#"{"maximum": 9007199254740993}"#]
    {
        assert!(document.get().contains(text), "{text} in {document}");
    }
    assert!(document.get().contains(r#"{"toolResult":{"toolUseId":"t","content":[]}}"#), "{document}");
}

/// A request with `change` in it.
fn with(change: &Value) -> Value {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "secret"}]});
    body.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    body
}

#[test]
fn a_choice_of_a_tool_has_converses_words() {
    let tools = json!([{"type": "function", "function": {"name": "f"}}]);
    let prompt = |choice: Value| translated(&with(&json!({"tools": tools, "tool_choice": choice})))["prompt"].clone();
    assert_eq!(prompt(json!("required"))["toolChoice"], json!({"any": {}}));
    let named = json!({"type": "function", "function": {"name": "f"}});
    assert_eq!(prompt(named)["toolChoice"], json!({"tool": {"name": "f"}}));
    let none = prompt(json!("none"));
    assert_eq!((&none["tools"], &none["toolChoice"]), (&Value::Null, &Value::Null));
}

#[test]
fn values_that_change_nothing_are_absent() {
    let prompt = translated(&with(&json!({"service_tier": "auto", "response_format": {"type": "text"}, "stop": null})));
    let expected = json!({"messages": [{"role": "user", "content": "secret"}], "parameters": {}});
    assert_eq!(prompt["prompt"], expected);
    let several = translated(&with(&json!({"stop": ["a", "b"], "max_tokens": 7, "reasoning_effort": "none"})));
    assert_eq!(several["prompt"]["parameters"], json!({"stop_sequences": ["a", "b"], "max_tokens": 7}));
    assert_eq!(several["prompt"]["reasoning"], json!({"off": true}));
}

fn message(message: Value) -> Value {
    json!({"messages": [message]})
}

fn part(part: Value) -> Value {
    message(json!({"role": "user", "content": [part]}))
}

#[test]
fn a_field_without_a_place_is_refused_by_its_path_and_without_text() {
    let call = |function: Value| {
        message(json!({"role": "assistant", "tool_calls": [{"id": "t", "type": "function", "function": function}]}))
    };
    let used = json!({"role": "assistant", "tool_calls": [{"id": "t", "type": "function",
        "function": {"name": "f", "arguments": "{}"}}]});
    let image =
        |url: &str, detail: &str| part(json!({"type": "image_url", "image_url": {"url": url, "detail": detail}}));
    let secret = "data:image/png;base64,c2VjcmV0";
    for (change, path) in [
        (json!({"n": 2}), "n"),
        (json!({"store": true}), "store"),
        (json!({"seed": 7}), "seed"),
        (json!({"logprobs": true}), "logprobs"),
        (json!({"frequency_penalty": 0.5}), "frequency_penalty"),
        (json!({"parallel_tool_calls": false}), "parallel_tool_calls"),
        (json!({"top_k": 5}), "top_k"),
        (json!({"prompt_cache_key": "secret"}), "prompt_cache_key"),
        (json!({"functions": []}), "functions"),
        (json!({"stream": "secret"}), "stream"),
        (json!({"stream_options": {"include_usage": true}}), "stream_options"),
        (
            json!({"stream": true, "stream_options": {"include_obfuscation": true}}),
            "stream_options.include_obfuscation",
        ),
        (json!({"max_tokens": 1, "max_completion_tokens": 1}), "max_tokens"),
        (json!({"response_format": {"type": "json_object"}}), "response_format.type"),
        (json!({"response_format": {"type": "json_schema"}}), "response_format.json_schema"),
        (json!({"reasoning_effort": "minimal"}), "reasoning_effort"),
        (json!({"metadata": {"a": 1}}), "metadata"),
        (json!({"user": 7}), "user"),
        (json!({"tools": [{"type": "custom", "custom": {"name": "secret"}}]}), "tools[0].type"),
        (json!({"tools": [{"type": "function", "function": {"name": "f", "x": 1}}]}), "tools[0].function.x"),
        (json!({"tool_choice": "secret"}), "tool_choice"),
        (json!({"messages": [used], "tool_choice": "none"}), "tool_choice"),
        (message(json!({"role": "robot", "content": "secret"})), "messages[0].role"),
        (message(json!({"role": "user", "name": "secret", "content": "a"})), "messages[0].name"),
        (message(json!({"role": "user"})), "messages[0].content"),
        (message(json!({"role": "system", "content": [{"type": "image_url"}]})), "messages[0].content[0].type"),
        (
            message(json!({"role": "assistant", "content": [{"type": "refusal", "refusal": "secret"}]})),
            "messages[0].content[0].type",
        ),
        (message(json!({"role": "assistant", "content": "a", "refusal": "secret"})), "messages[0].refusal"),
        (message(json!({"role": "tool", "content": "secret"})), "messages[0].tool_call_id"),
        (call(json!({"name": "f", "arguments": "[\"secret\"]"})), "messages[0].tool_calls[0].function.arguments"),
        (call(json!({"name": "f", "arguments": "{secret"})), "messages[0].tool_calls[0].function.arguments"),
        (
            message(json!({"role": "assistant", "tool_calls": [{"index": 1, "id": "t", "type": "function",
                "function": {"name": "f", "arguments": "{}"}}]})),
            "messages[0].tool_calls[0].index",
        ),
        (call(json!({"name": "f"})), "messages[0].tool_calls[0].function.arguments"),
        (part(json!({"type": "input_audio", "input_audio": {"data": "secret"}})), "messages[0].content[0].type"),
        (image("https://secret", "auto"), "messages[0].content[0].image_url.url"),
        (image("data:image/bmp;base64,c2VjcmV0", "auto"), "messages[0].content[0].image_url.url"),
        (image(secret, "high"), "messages[0].content[0].image_url.detail"),
        (part(json!({"type": "file", "file": {"file_id": "secret"}})), "messages[0].content[0].file.file_id"),
        (
            part(json!({"type": "file", "file": {"filename": "secret", "file_data": secret}})),
            "messages[0].content[0].file.file_data",
        ),
    ] {
        let error = document(&with(&change)).unwrap_err();
        assert_eq!(error.header("x-sentry-path"), Some(path), "{}", error.message);
        assert!(error.message.starts_with(path) && !error.message.contains("secret"), "{}", error.message);
    }
}

#[test]
fn a_whole_answer_has_the_fields_of_openai() {
    let output = |content: Value, stop_reason: &str| -> Output {
        serde_json::from_value(json!({"message": {"role": "assistant", "content": content}, "stopReason": stop_reason}))
            .unwrap()
    };
    let usage = serde_json::from_value(json!({"inputTokens": 82, "outputTokens": 17, "cacheReadInputTokens": 1_000,
        "cacheWriteInputTokens": 8, "totalTokens": 1_107}))
    .unwrap();
    let text = output(json!("Hello! How can I assist you today?"), "end_turn");
    let tool = output(
        json!([
            {"reasoningContent": {"reasoningText": {"text": "A thought."}}},
            {"toolUse": {"toolUseId": "call_abc123", "name": "get_current_weather", "input": {"location": "Boston, MA"}}}]),
        "tool_use",
    );
    let answers = [text, tool].map(|output| response::whole("abc123", CREATED, MODEL, &output, Some(&usage)));
    insta::assert_json_snapshot!("whole", answers);
}

#[test]
fn every_stop_reason_has_a_word_of_openai() {
    for (reason, expected) in [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("tool_use", "tool_calls"),
        ("content_filtered", "content_filter"),
        ("guardrail_intervened", "content_filter"),
        ("refusal", "content_filter"),
        ("a_new_word", "stop"),
    ] {
        assert_eq!(response::finish_reason(reason), expected, "{reason}");
    }
}

/// The events of an answer with a thought, a text and two calls of tools, one without arguments.
fn events() -> Vec<Event> {
    let delta = |index: u64, delta: Value| ("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}));
    let tool = |index: u64, id: &str, name: &str| {
        (
            "contentBlockStart",
            json!({"contentBlockIndex": index, "start": {"toolUse": {"toolUseId": id, "name": name}}}),
        )
    };
    let stop = |index: u64| ("contentBlockStop", json!({"contentBlockIndex": index}));
    let usage = json!({"inputTokens": 82, "outputTokens": 17, "totalTokens": 99});
    let events = vec![
        ("messageStart", json!({"role": "assistant"})),
        delta(0, json!({"reasoningContent": {"text": "A thought."}})),
        stop(0),
        delta(1, json!({"text": "Hel"})),
        delta(1, json!({"text": "lo"})),
        stop(1),
        tool(2, "call_1", "get_current_weather"),
        delta(2, json!({"toolUse": {"input": ""}})),
        delta(2, json!({"toolUse": {"input": "{\"location\": "}})),
        delta(2, json!({"toolUse": {"input": "\"Boston, MA\"}"}})),
        stop(2),
        tool(3, "call_2", "now"),
        stop(3),
        ("messageStop", json!({"stopReason": "tool_use"})),
        ("metadata", json!({"usage": usage, "metrics": {"latencyMs": 9}})),
    ];
    events.into_iter().map(|(name, fields)| Event { name, fields }).collect()
}

fn streamed(with_usage: bool) -> String {
    let mut chat = Chat::new(CREATED, with_usage);
    chat.begin("abc123", MODEL);
    let mut bytes: Vec<u8> = events().iter().flat_map(|event| chat.event(event)).collect();
    let unknown = ErrorBody::new(ErrorCode::ModelError, "The usage is unknown.");
    bytes.extend(chat.end(&FinalAnswer::refused(Tags::default(), None, unknown, Vec::new())));
    String::from_utf8(bytes).unwrap()
}

#[test]
fn events_are_chunks_that_end_with_the_usage_and_done() {
    insta::assert_snapshot!("chunks", streamed(true));
    let without = streamed(false);
    assert!(!without.contains("usage") && without.ends_with("\n\ndata: [DONE]\n\n"), "{without}");
    let last = without.lines().rfind(|line| line.contains("chunk")).unwrap();
    assert!(last.contains(r#""finish_reason":"tool_calls""#), "{last}");
}

#[test]
fn an_answer_that_breaks_off_ends_with_an_error() {
    let mut chat = Chat::new(CREATED, false);
    let bytes = chat.broken(&broken_off());
    let text = std::str::from_utf8(&bytes).unwrap();
    let error: Value = serde_json::from_str(text.strip_prefix("data: ").unwrap()).unwrap();
    assert_eq!((&error["error"]["type"], &error["error"]["param"]), (&json!("server_error"), &Value::Null));
    assert!(error["error"]["message"].as_str().unwrap().ends_with("[sentry: ModelUnavailable]"));
}
