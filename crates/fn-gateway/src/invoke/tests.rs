use axum::http::header;

use super::*;
use crate::invoke_headers::*;

fn headers(given: &[(&'static str, &str)]) -> HeaderMap {
    let header = |(name, value): &(&'static str, &str)| (header::HeaderName::from_static(name), value.parse().unwrap());
    given.iter().map(header).collect()
}

fn options(given: &[(&'static str, &str)], in_events: bool) -> Result<Options, ApiError> {
    Options::of(&headers(given), in_events)
}

#[test]
fn headers_give_the_guardrail_the_tier_and_the_tags() {
    let options = options(
        &[
            (GUARDRAIL, "gr1"),
            (GUARDRAIL_VERSION, "DRAFT"),
            (TIER, "flex"),
            (METADATA, r#"{"environment": "test"}"#),
            (TRACE, "DISABLED"),
            (LATENCY, "standard"),
            (PROJECT, "default"),
            ("accept", "text/html, application/json; charset=utf-8"),
        ],
        false,
    );
    let mut prompt = Prompt::default();
    let tags = options.unwrap().apply(&mut prompt).unwrap();
    assert_eq!(tags, BTreeMap::from([("environment".to_owned(), "test".to_owned())]));
    assert_eq!(prompt.guardrail, Some(json!({"identifier": "gr1", "version": "DRAFT"})));
    assert_eq!(prompt.service_tier.as_deref(), Some("flex"));
}

#[test]
fn a_header_that_asks_for_something_else_is_refused_by_name() {
    for (name, value) in
        [(TRACE, "ENABLED"), (LATENCY, "optimized"), (PROJECT, "proj_1"), (METADATA, "[1]"), ("accept", "image/png")]
    {
        assert!(options(&[(name, value)], false).err().unwrap().message.starts_with(name), "{name}");
    }
    assert!(options(&[(STREAM_ACCEPT, "image/png")], true).err().unwrap().message.starts_with(STREAM_ACCEPT));
    assert!(options(&[("accept", "image/png")], true).is_ok());
    assert!(options(&[(GUARDRAIL, "g")], false).err().unwrap().message.starts_with(GUARDRAIL_VERSION));
    assert!(options(&[(GUARDRAIL_VERSION, "1")], false).err().unwrap().message.starts_with(GUARDRAIL));
    let mut prompt = Prompt { service_tier: Some("priority".to_owned()), ..Prompt::default() };
    assert!(options(&[(TIER, "flex")], false).unwrap().apply(&mut prompt).is_err());
}

/// The JSON of the chunks in `frames`.
pub fn chunks(frames: &Bytes) -> Vec<Value> {
    let mut left = frames.clone();
    let mut found = Vec::new();
    while !left.is_empty() {
        let message = aws_smithy_eventstream::frame::read_message_from(&mut left).unwrap();
        let kind = message.headers().iter().find(|header| header.name().as_str() == ":event-type").unwrap();
        assert_eq!(kind.value().as_string().unwrap().as_str(), "chunk");
        let payload: Value = serde_json::from_slice(message.payload()).unwrap();
        let bytes = STANDARD.decode(payload["bytes"].as_str().unwrap()).unwrap();
        found.push(serde_json::from_slice(&bytes).unwrap());
    }
    found
}

#[test]
fn events_are_chunks_and_the_last_one_has_the_figures_of_the_call() {
    let mut form = Invoked::new(Box::new(Messages::default()), false);
    let usage = json!({"inputTokens": 11, "outputTokens": 2, "cacheReadInputTokens": 3, "totalTokens": 16});
    let event = |name, fields| Event { name, fields };
    form.begin("r", "m");
    let start = chunks(&form.event(&event("messageStart", json!({"role": "assistant"}))));
    assert_eq!(start[0]["message"]["id"], "msg_r");
    assert!(form.event(&event("messageStop", json!({"stopReason": "end_turn"}))).is_empty());
    assert!(form.event(&event("metadata", json!({"usage": {"inputTokens": 0}}))).is_empty());
    let error = ErrorBody::new(ErrorCode::ModelError, "No usage.");
    let mut answer = FinalAnswer::refused(Tags::default(), None, error, Vec::new());
    let broken = form.end(&answer);
    assert!(String::from_utf8_lossy(&broken).contains(converse::BROKEN));
    answer.usage = Some(serde_json::from_value(usage).unwrap());
    let last = chunks(&form.end(&answer));
    assert_eq!(last[0]["usage"]["output_tokens"], 2);
    let metrics = &last[1][METRICS];
    assert_eq!((&last[1]["type"], last[1].get(ACTION)), (&json!("message_stop"), None));
    assert_eq!(
        (&metrics["inputTokenCount"], &metrics["outputTokenCount"], &metrics["cacheReadInputTokenCount"]),
        (&json!(11), &json!(2), &json!(3))
    );
    assert!(metrics["invocationLatency"].is_u64() && metrics["firstByteLatency"].is_u64());
}

#[test]
fn the_last_chunk_and_a_whole_answer_tell_the_action_of_the_guardrail() {
    let error = ErrorBody::new(ErrorCode::ModelError, "No usage.");
    let mut answer = FinalAnswer::refused(Tags::default(), None, error, Vec::new());
    answer.usage = serde_json::from_value(json!({"inputTokens": 11, "outputTokens": 2, "totalTokens": 13})).unwrap();
    for (reason, action) in [("end_turn", "NONE"), ("guardrail_intervened", "INTERVENED")] {
        let mut form = Invoked::new(Box::new(Messages::default()), true);
        form.begin("r", "m");
        form.event(&Event { name: "messageStop", fields: json!({"stopReason": reason}) });
        assert_eq!(chunks(&form.end(&answer)).last().unwrap()[ACTION], action);
        let message = json!({"role": "assistant", "content": "No."});
        let output = serde_json::from_value(json!({"message": message, "stopReason": reason})).unwrap();
        assert_eq!(form.whole(&answer, &output, 0)[ACTION], action);
    }
}

#[test]
fn a_raw_prompt_and_a_body_of_an_unknown_form_are_refused_by_name() {
    for family in Family::ALL {
        let body = Fields::of_body(br#"{"prompt": "\n\nHuman: secret\n\nAssistant:"}"#).unwrap();
        let error = read(*family, body).err().unwrap();
        assert!(error.message.starts_with("prompt cannot be used") && error.message.contains("converse"));
    }
    let body = Fields::of_body(br#"{"inputText": "secret"}"#).unwrap();
    assert!(read(Family::Titan, body).err().unwrap().message.contains("converse"));
    let body = Fields::of_body(br#"{"max_tokens": 1}"#).unwrap();
    assert!(read(Family::Anthropic, body).err().unwrap().message.starts_with("anthropic_version is required"));
}

#[test]
fn a_body_of_chat_completions_names_its_model_in_the_path() {
    // Amazon Bedrock User Guide, "OpenAI models", without its sampling parameters.
    let body = json!({"model": "openai.gpt-oss-20b-1:0", "stream": false, "max_completion_tokens": 150, "messages": [
        {"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": "Hello"}]});
    let read = |body: &Value, model: &str, in_events: bool| {
        let body = body.to_string();
        chat_completion(Fields::of_body(body.as_bytes()).unwrap(), model, in_events).map(|read| read.prompt)
    };
    let prompt = read(&body, "openai.gpt-oss-20b-1:0", false).unwrap();
    assert_eq!(prompt.parameters["max_tokens"].get(), "150");
    assert!(read(&body, "qwen.qwen3-32b-v1:0", false).err().unwrap().message.starts_with("model"));
    assert!(read(&body, "openai.gpt-oss-20b-1:0", true).err().unwrap().message.starts_with("stream"));
    let template = json!({"prompt": "<|begin|>", "max_tokens": 9});
    assert!(read(&template, "deepseek.r1-v1:0", false).err().unwrap().message.starts_with("prompt"));
}

#[test]
fn the_last_chunk_of_a_chat_completion_has_its_usage_and_the_figures_of_the_call() {
    let mut form = Invoked::new(Box::new(Chat::new(1_694_268_190, false)), false);
    form.begin("r", "openai.gpt-oss-20b-1:0");
    let event = |name, fields| Event { name, fields };
    let start = chunks(&form.event(&event("messageStart", json!({"role": "assistant"}))));
    assert_eq!((&start[0]["object"], &start[0]["id"]), (&json!("chat.completion.chunk"), &json!("chatcmpl-r")));
    assert!(form.event(&event("metadata", json!({"usage": {"inputTokens": 0}}))).is_empty());
    let error = ErrorBody::new(ErrorCode::ModelError, "No usage.");
    let mut answer = FinalAnswer::refused(Tags::default(), None, error, Vec::new());
    let usage = json!({"inputTokens": 11, "outputTokens": 2, "totalTokens": 13});
    answer.usage = serde_json::from_value(usage).unwrap();
    let last = chunks(&form.end(&answer));
    assert_eq!((&last[0]["choices"], &last[0]["usage"]["total_tokens"]), (&json!([]), &json!(13)));
    assert_eq!(last[0][METRICS]["inputTokenCount"], 11);
}
