use insta::assert_json_snapshot;
use sentry_contract::answer::{AnswerModel, FinalAnswer};
use sentry_contract::{ErrorBody, ErrorCode, Outcome};

use super::*;
use serde_json::json;

fn read_body(body: &str, version: Version) -> Result<Read, ApiError> {
    read(Fields::of_body(body.as_bytes()).unwrap(), version)
}

/// The document of a body, as text.
fn text_of_document(body: &Value) -> String {
    let read = read_body(&body.to_string(), Version::First).unwrap_or_else(|error| panic!("{}", error.message));
    read.prompt.document("m", &BTreeMap::new()).unwrap().get().to_owned()
}

fn document(body: &Value) -> Value {
    serde_json::from_str(&text_of_document(body)).unwrap()
}

/// A body with `fields` beside a short conversation.
fn body(fields: Value) -> Value {
    let mut body = json!({"max_tokens": 1024, "messages": [{"role": "user", "content": "Hello, world"}]});
    body.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    body
}

/// The examples of Claude Docs, "Messages", "Tool use", "Prompt caching", "Vision", "PDF support" and "Extended
/// thinking", in one conversation.
fn every_part() -> Value {
    let image =
        json!({"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": "/9j/4AAQSkZJRg=="}});
    let pdf = json!({"type": "document", "source": {"type": "base64", "media_type": "application/pdf", "data": "JVBERi0="},
        "title": "Report", "citations": {"enabled": false}, "cache_control": {"type": "ephemeral"}});
    let result = json!({"type": "tool_result", "tool_use_id": "toolu_01A09q90qw90lq917835lq9", "is_error": false,
        "content": [{"type": "text", "text": "15 degrees"}, image], "cache_control": {"type": "ephemeral", "ttl": "5m"}});
    body(json!({
        "system": [{"type": "text", "text": "You are an AI assistant.", "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "messages": [
            {"role": "user", "content": [image, pdf, {"type": "text", "text": "What is the weather like?"}]},
            {"role": "assistant", "content": [
                {"type": "thinking", "thinking": "Let me look.", "signature": "WaUjzkypQ2mUEVM36O2TxuC06KN8xyfbJwyem2dw3URve"},
                {"type": "redacted_thinking", "data": "EmwKAhgBEgy3va3pzix/LafPsn4="},
                {"type": "text", "text": "I'll check."},
                {"type": "tool_use", "id": "toolu_01A09q90qw90lq917835lq9", "name": "get_weather", "input": {"location": "San Francisco, CA"},
                 "caller": {"type": "direct"}}]},
            {"role": "user", "content": [result, {"type": "tool_result", "tool_use_id": "t2", "content": "no", "is_error": true},
                {"type": "tool_result", "tool_use_id": "t3"}]},
            {"role": "assistant", "content": [{"type": "thinking", "thinking": "Unsigned.", "signature": ""}, {"type": "text", "text": "It is"}]},
            {"role": "user", "content": [{"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "Grass."}}]}],
        "tools": [{"name": "get_weather", "description": "The current weather", "strict": true, "type": "custom",
            "input_schema": {"type": "object", "properties": {"location": {"type": "string"}}}, "cache_control": {"type": "ephemeral", "ttl": "1h"}}],
        "tool_choice": {"type": "tool", "name": "get_weather", "disable_parallel_tool_use": false},
        "temperature": 1.0, "top_p": 0.999, "top_k": 250, "stop_sequences": ["\n\nHuman:"],
        "thinking": {"type": "enabled", "budget_tokens": 10000},
        "output_config": {"effort": "medium", "format": {"type": "json_schema", "schema": {"type": "object"}}},
        "metadata": {"user_id": "13803d75-b4b5-4c3e-b2a2-6f21399b021b"}, "service_tier": "auto",
        "anthropic_beta": ["prompt-caching-2024-07-31"], "container": null,
    }))
}

#[test]
fn every_part_of_a_request_has_its_place_in_the_document() {
    assert_json_snapshot!("document", document(&every_part()));
    let read = read_body(&every_part().to_string(), Version::First).unwrap();
    assert_eq!(read.user.as_deref(), Some("13803d75-b4b5-4c3e-b2a2-6f21399b021b"));
    assert_eq!(read.only_stop.as_deref(), Some("\n\nHuman:"));
}

#[test]
fn numbers_and_texts_keep_their_digits() {
    let body = r#"{"max_tokens": 9, "temperature": 0.70, "messages": [{"role": "assistant", "content": [
        {"type": "tool_use", "id": "t", "name": "n", "input": {"x": 123456789012345678901234567890, "y": "\u00e9"}}]}]}"#;
    let read = read_body(body, Version::First).unwrap();
    let document = read.prompt.document("m", &BTreeMap::new()).unwrap();
    for kept in ["123456789012345678901234567890", r#""\u00e9""#, "0.70"] {
        assert!(document.get().contains(kept), "{document}");
    }
}

#[test]
fn each_form_of_thinking_reaches_the_model() {
    let off = document(&body(json!({"thinking": {"type": "disabled"}})));
    assert_eq!(off["prompt"]["reasoning"], json!({"off": true}));
    for thinking in [
        json!({"type": "adaptive"}),
        json!({"type": "adaptive", "display": "omitted"}),
        json!({"type": "enabled", "budget_tokens": 2000, "display": "omitted"}),
        json!({"type": "between_tools"}),
    ] {
        let prompt = &document(&body(json!({"thinking": thinking})))["prompt"];
        assert_eq!(prompt["additionalModelRequestFields"], json!({"thinking": thinking}));
        assert!(prompt.get("reasoning").is_none());
    }
}

#[test]
fn each_choice_of_tools_that_converse_has_is_translated() {
    for (given, expected) in [("auto", json!({"auto": {}})), ("any", json!({"any": {}}))] {
        assert_eq!(document(&body(json!({"tool_choice": {"type": given}})))["prompt"]["toolChoice"], expected);
    }
    let older = json!({"type": "json_schema", "schema": {"type": "object"}});
    let expected = json!({"jsonSchema": {"name": "answer", "schema": {"type": "object"}}});
    assert_eq!(document(&body(json!({"output_format": older})))["prompt"]["outputFormat"], expected);
}

/// The first words of the refusal of a body.
fn refused(fields: Value) -> String {
    let error = read_body(&body(fields).to_string(), Version::First).err().unwrap();
    assert!(!error.message.contains("secret"), "{}", error.message);
    error.message.split_whitespace().next().unwrap_or_default().to_owned()
}

#[test]
fn a_field_without_a_place_in_the_document_is_refused_by_name_and_without_text() {
    for (name, value) in [
        ("container", json!("secret")),
        ("mcp_servers", json!([])),
        ("context_management", json!({})),
        ("cache_control", json!({"type": "ephemeral"})),
        ("speed", json!("fast")),
        ("inference_geo", json!("secret")),
        ("service_tier", json!("secret")),
        ("system", json!(1)),
        ("amazon-bedrock-guardrailConfig", json!({"tagSuffix": "secret"})),
    ] {
        assert_eq!(refused(json!({name: value})), name);
    }
    let beta = json!({"anthropic_beta": ["prompt-caching-2024-07-31", "context-1m-2025-08-07"]});
    assert_eq!(refused(beta), "anthropic_beta[1]");
    assert_eq!(refused(json!({"metadata": {"other": 1}})), "metadata.other");
    assert_eq!(refused(json!({"tool_choice": {"type": "none"}})), "tool_choice.type");
    let alone = json!({"tool_choice": {"type": "auto", "disable_parallel_tool_use": true}});
    assert_eq!(refused(alone), "tool_choice.disable_parallel_tool_use");
    assert_eq!(refused(json!({"output_config": {"task_budget": {}}})), "output_config.task_budget");
    assert_eq!(refused(json!({"output_config": {"format": {"type": "text"}}})), "output_config.format.type");
    let tool = |more: Value| {
        let mut tool = json!({"name": "t", "input_schema": {"type": "object"}});
        tool.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        refused(json!({"tools": [tool]}))
    };
    assert_eq!(tool(json!({"type": "web_search_20250305"})), "tools[0].type");
    assert_eq!(tool(json!({"defer_loading": true})), "tools[0].defer_loading");
    assert_eq!(tool(json!({"input_examples": []})), "tools[0].input_examples");
}

#[test]
fn a_block_without_a_place_is_refused_by_its_path() {
    let block = |block: Value| refused(json!({"messages": [{"role": "user", "content": [block]}]}));
    let at = |path: &str| format!("messages[0].content[0]{path}");
    for (given, path) in [
        (json!({"type": "server_tool_use", "name": "secret"}), ".type"),
        (json!({"type": "search_result"}), ".type"),
        (json!({"type": "text", "text": "secret", "citations": []}), ".citations"),
        (json!({"type": "text"}), ".text"),
        (json!({"type": "image", "source": {"type": "url", "url": "secret"}}), ".source.type"),
        (
            json!({"type": "image", "source": {"type": "base64", "media_type": "secret", "data": "secret"}}),
            ".source.media_type",
        ),
        (json!({"type": "image"}), ".source"),
        (json!({"type": "document", "source": {"type": "file", "file_id": "secret"}}), ".source.type"),
        (
            json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "secret"}, "context": "secret"}),
            ".context",
        ),
        (
            json!({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": ""}, "citations": {"enabled": true}}),
            ".citations.enabled",
        ),
        (
            json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "tool_reference"}]}),
            ".content[0].type",
        ),
        (
            json!({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "text", "text": "", "cache_control": {"type": "ephemeral"}}]}),
            ".content[0].cache_control",
        ),
        (json!({"type": "text", "text": "", "cache_control": {"type": "secret"}}), ".cache_control.type"),
        (
            json!({"type": "tool_use", "id": "t", "name": "n", "input": {}, "caller": {"type": "secret"}}),
            ".caller.type",
        ),
        (json!("secret"), ""),
    ] {
        assert_eq!(block(given), at(path));
    }
    assert_eq!(refused(json!({"messages": [{"role": "system", "content": "secret"}]})), "messages[0].role");
    assert_eq!(refused(json!({"messages": "secret"})), "messages");
}

#[test]
fn the_version_decides_which_parameters_there_are() {
    for name in ["temperature", "top_p", "top_k"] {
        let body = body(json!({name: 1})).to_string();
        assert!(read_body(&body, Version::First).is_ok());
        assert!(read_body(&body, Version::Second).err().unwrap().message.starts_with(name));
    }
    for (version, expected) in
        [("bedrock-2023-05-31", Version::First), ("2023-06-01", Version::First), ("2026-10-21", Version::Second)]
    {
        assert_eq!(Version::of("anthropic_version", version).unwrap(), expected);
    }
    assert!(
        Version::of("anthropic_version", "2030-01-01").unwrap_err().message.starts_with("anthropic_version must be")
    );
}

/// The answer of the sentry to a request, with `content` in Converse's form.
fn answer(content: Value, stop: &str) -> FinalAnswer {
    let mut answer = FinalAnswer::refused(
        Tags(BTreeMap::from([("requestId".to_owned(), "01XFDUDYJgAACzvnptvVoYEL".to_owned())])),
        Some(AnswerModel {
            requested: "claude-haiku-4-5".to_owned(),
            model_id: Some("us.anthropic.claude-haiku-4-5-20251001-v1:0".to_owned()),
            model_metric: None,
        }),
        ErrorBody::new(ErrorCode::InvalidRequest, ""),
        Vec::new(),
    );
    answer.outcome = Outcome::Succeeded;
    let output = json!({"message": {"role": "assistant", "content": content}, "stopReason": stop});
    answer.output = Some(serde_json::from_value(output).unwrap());
    let usage = json!({"inputTokens": 2095, "outputTokens": 503, "cacheReadInputTokens": 7, "cacheWriteInputTokens": 11,
        "totalTokens": 2616, "cacheDetails": [{"ttl": "1h", "inputTokens": 4}]});
    answer.usage = Some(serde_json::from_value(usage).unwrap());
    answer
}

fn whole(content: Value, stop: &str) -> Value {
    let answer = answer(content, stop);
    Messages::new(Some("END".to_owned())).whole(&answer, answer.output.as_ref().unwrap())
}

#[test]
fn an_answer_has_every_block_of_the_model() {
    let content = json!([
        {"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "Eq0"}}},
        {"reasoningContent": {"reasoningText": {"text": "Unsigned."}}},
        {"reasoningContent": {"redactedContent": "EmwK"}},
        {"text": "Hi! My name is Claude."},
        {"toolUse": {"toolUseId": "toolu_1", "name": "get_weather", "input": {"location": "Paris"}}}]);
    assert_json_snapshot!("whole", whole(content, "tool_use"));
}

#[test]
fn each_reason_of_an_end_is_one_of_anthropic() {
    for (converse, anthropic) in [
        ("end_turn", "end_turn"),
        ("max_tokens", "max_tokens"),
        ("content_filtered", "refusal"),
        ("guardrail_intervened", "refusal"),
        ("refusal", "refusal"),
        ("model_context_window_exceeded", "model_context_window_exceeded"),
    ] {
        let message = whole(json!("Hi"), converse);
        assert_eq!((&message["stop_reason"], &message["stop_sequence"]), (&json!(anthropic), &json!(null)));
    }
    let message = whole(json!("Hi"), "stop_sequence");
    assert_eq!((&message["stop_reason"], &message["stop_sequence"]), (&json!("stop_sequence"), &json!("END")));
}

#[test]
fn one_of_several_stop_sequences_is_told_as_converse_names_it() {
    let ask = |stops: Value| {
        let body = json!({"max_tokens": 9, "messages": [{"role": "user", "content": "Hi"}], "stop_sequences": stops});
        document(&body)["prompt"]["additionalModelResponseFieldPaths"].clone()
    };
    assert_eq!((ask(json!(["a", "b"])), ask(json!(["a"]))), (json!(["/stop_sequence"]), json!(null)));
    let named = json!({"stop_sequence": "b"});
    let mut answer = answer(json!("Hi"), "stop_sequence");
    let output = answer.output.as_mut().unwrap();
    output.additional_model_response_fields = serde_json::from_value(named.clone()).unwrap();
    assert_eq!(Messages::new(None).whole(&answer, answer.output.as_ref().unwrap())["stop_sequence"], "b");
    let mut form = Messages::new(None);
    let fields = json!({"stopReason": "stop_sequence", "additionalModelResponseFields": named});
    form.parts(&Event { name: "messageStop", fields });
    let delta = &form.end(answer.usage.as_ref().unwrap())[0]["delta"];
    assert_eq!(*delta, json!({"stop_reason": "stop_sequence", "stop_sequence": "b"}));
}

/// The server-sent events for events of Converse.
fn served(events: Value, ended: &FinalAnswer) -> String {
    let mut form = Served(Messages::default());
    form.begin("01XFDUDYJgAACzvnptvVoYEL", "us.anthropic.claude-haiku-4-5-20251001-v1:0");
    let names =
        ["messageStart", "contentBlockStart", "contentBlockDelta", "contentBlockStop", "messageStop", "metadata"];
    let mut bytes = Vec::new();
    for event in events.as_array().unwrap() {
        let (name, fields) = event.as_object().unwrap().iter().next().unwrap();
        let name = names.into_iter().find(|known| known == name).unwrap();
        bytes.extend(form.event(&Event { name, fields: fields.clone() }));
    }
    bytes.extend(form.end(ended));
    String::from_utf8(bytes).unwrap()
}

#[test]
fn events_have_a_start_for_each_block_and_the_usage_at_the_end() {
    let delta = |place: u64, delta: Value| json!({"contentBlockDelta": {"contentBlockIndex": place, "delta": delta}});
    let stop = |place: u64| json!({"contentBlockStop": {"contentBlockIndex": place}});
    let events = json!([
        {"messageStart": {"role": "assistant"}},
        delta(0, json!({"reasoningContent": {"text": "Let me"}})),
        delta(0, json!({"reasoningContent": {"signature": "EqQB"}})),
        stop(0),
        delta(1, json!({"reasoningContent": {"redactedContent": "EmwK"}})),
        stop(1),
        delta(2, json!({"text": "Okay"})),
        delta(2, json!({"text": ", let's"})),
        stop(2),
        {"contentBlockStart": {"contentBlockIndex": 4, "start": {"toolUse": {"toolUseId": "toolu_1", "name": "get_weather"}}}},
        delta(4, json!({"toolUse": {"input": "{\"location\": \"San Fra"}})),
        delta(4, json!({"toolUse": {"input": "ncisco\"}"}})),
        stop(4),
        {"messageStop": {"stopReason": "tool_use"}},
        {"metadata": {"usage": {"inputTokens": 472, "outputTokens": 89, "totalTokens": 561}, "metrics": {"latencyMs": 5}}}]);
    insta::assert_snapshot!("events", served(events, &answer(json!("Hi"), "tool_use")));
}

#[test]
fn a_stream_without_a_usage_ends_with_an_error() {
    let events = json!([{"messageStart": {"role": "assistant"}}, {"messageStop": {"stopReason": "end_turn"}}]);
    let error = ErrorBody::new(ErrorCode::ModelError, "No usage.");
    let ended = served(events, &FinalAnswer::refused(Tags::default(), None, error, Vec::new()));
    let last = ended.trim_end().rsplit("\n\n").next().unwrap();
    assert!(last.starts_with("event: error\n") && last.contains("api_error") && last.contains("ModelError"), "{last}");
}

#[test]
fn a_user_of_the_body_never_replaces_the_user_of_the_caller() {
    let caller = |user: Option<&str>| Caller {
        shown: "key",
        tags: user.map(|user| (Tags::USER_ID, user.to_owned())).into_iter().collect(),
        models: None,
        record: None,
        ahead: None,
    };
    let tags = |caller: &Caller, given: &[(&str, &str)]| {
        let given = given.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        with_user(caller, given, Some("end".to_owned()))
    };
    let open = caller(None);
    assert_eq!(tags(&open, &[])["userId"], "end");
    let given = tags(&open, &[("userId", "jo")]);
    assert_eq!((given["userId"].as_str(), given["endUserId"].as_str()), ("jo", "end"));
    let named = tags(&caller(Some("jo")), &[]);
    assert_eq!((named.get("userId"), named["endUserId"].as_str()), (None, "end"));
}

/// `value` with one part after the other replaced by `other`.
fn damaged(value: &Value, other: &Value) -> Vec<Value> {
    let mut found = vec![other.clone()];
    match value {
        Value::Object(fields) => {
            for (name, inside) in fields {
                for changed in damaged(inside, other) {
                    let mut fields = fields.clone();
                    fields.insert(name.clone(), changed);
                    found.push(Value::Object(fields));
                }
            }
        }
        Value::Array(items) => {
            for (place, inside) in items.iter().enumerate() {
                for changed in damaged(inside, other) {
                    let mut items = items.clone();
                    items[place] = changed;
                    found.push(Value::Array(items));
                }
            }
        }
        _ => {}
    }
    found
}

#[test]
fn any_part_of_a_body_can_be_anything() {
    let mut refused = 0;
    for other in
        [json!(null), json!(0), json!("secret"), json!([]), json!({}), json!(["secret"]), json!({"x": "secret"})]
    {
        for body in damaged(&every_part(), &other) {
            let text = body.to_string();
            let Ok(fields) = Fields::of_body(text.as_bytes()) else { continue };
            match read(fields, Version::First) {
                Ok(read) => drop(read.prompt.document("m", &BTreeMap::new()).unwrap()),
                Err(error) => {
                    assert!(!error.message.contains("secret"), "{}", error.message);
                    refused += 1;
                }
            }
        }
    }
    assert!(refused > 500, "{refused}");
}
