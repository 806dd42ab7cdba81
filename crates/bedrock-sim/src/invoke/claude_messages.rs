//! InvokeModel of Claude 3 and later: Anthropic's Messages body.

use serde_json::{Map, Value, json};

use crate::{
    error::ApiError,
    fields::{self, Fields},
    prompt::{Prompt, Role, Turn},
    reply::Reply,
};

const KNOWN: [&str; 13] = [
    "anthropic_version",
    "anthropic_beta",
    "max_tokens",
    "messages",
    "system",
    "temperature",
    "top_p",
    "top_k",
    "stop_sequences",
    "tools",
    "tool_choice",
    "thinking",
    "output_config",
];
const VERSION: &str = "bedrock-2023-05-31";

/// Reads a request.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn parse(body: &Map<String, Value>) -> Result<Prompt, ApiError> {
    let fields = Fields::new(body, "#", &KNOWN)?;
    match fields.string("anthropic_version")? {
        Some(VERSION) => {}
        Some(_) => return Err(ApiError::validation(format!("anthropic_version: must be {VERSION}"))),
        None => return Err(fields.missing("anthropic_version")),
    }
    fields.integer("top_k", 0)?;
    let messages = fields.list("messages")?.ok_or_else(|| fields.missing("messages"))?;
    let prompt = Prompt {
        system: fields.get("system").map(|system| text(system, "system")).transpose()?.into_iter().collect(),
        turns: messages.iter().enumerate().map(|(index, message)| turn(index, message)).collect::<Result<_, _>>()?,
        max_tokens: Some(fields.integer("max_tokens", 1)?.ok_or_else(|| fields.missing("max_tokens"))?),
        stop_sequences: fields.strings("stop_sequences")?,
        temperature: fields.fraction("temperature")?,
        top_p: fields.fraction("top_p")?,
        ..Prompt::default()
    };
    prompt.check_turns()?;
    prompt.check_claude_prefill()?;
    Ok(prompt)
}

/// The answer for a reply.
pub fn answer(reply: &Reply, model: &str) -> Value {
    let reasoning =
        reply.reasoning.iter().map(|text| json!({"type": "thinking", "thinking": text, "signature": "sim"}));
    let text = reply.text.iter().map(|text| json!({"type": "text", "text": text}));
    let content: Vec<Value> = reasoning.chain(text).collect();
    let mut answer = json!({
        "id": "msg_bdrk_sim",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "stop_reason": reply.stop_reason,
        "stop_sequence": reply.stop_sequence,
    });
    if reply.usage_is_told {
        let usage = reply.usage;
        let told = json!({
            "input_tokens": usage.input,
            "cache_creation_input_tokens": usage.cache_write.unwrap_or(0),
            "cache_read_input_tokens": usage.cache_read.unwrap_or(0),
            "output_tokens": usage.output,
        });
        fields::set(&mut answer, "usage", told);
    }
    answer
}

fn turn(index: usize, message: &Value) -> Result<Turn, ApiError> {
    let place = format!("messages.{index}");
    let message =
        message.as_object().ok_or_else(|| fields::malformed(format_args!("{place}: expected type: JSONObject")))?;
    let message = Fields::new(message, &place, &["role", "content"])?;
    let role = match message.string("role")? {
        Some("user") => Role::User,
        Some("assistant") => Role::Assistant,
        _ => return Err(ApiError::validation(format!("{place}.role: Input should be 'user' or 'assistant'"))),
    };
    let content = message.get("content").ok_or_else(|| message.missing("content"))?;
    Ok(Turn::of(role, text(content, &format!("{place}.content"))?))
}

/// A text, or a list of text blocks.
fn text(content: &Value, place: &str) -> Result<String, ApiError> {
    let block = |block: &Value| match block.get("type").and_then(Value::as_str) {
        Some("text") => block.get("text").and_then(Value::as_str).map(str::to_owned),
        _ => None,
    };
    let text = match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(blocks) => blocks.iter().map(block).collect::<Option<Vec<_>>>().map(|texts| texts.join("\n")),
        _ => None,
    };
    let text =
        text.ok_or_else(|| fields::malformed(format_args!("{place}: expected a text or a list of text blocks")))?;
    if text.trim().is_empty() {
        return Err(ApiError::validation(format!("{place}: text content blocks must contain non-whitespace text")));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn body() -> Value {
        json!({
            "anthropic_version": VERSION,
            "max_tokens": 9,
            "system": "Be brief.",
            "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": [{"type": "text", "text": "Yes?"}]},
                         {"role": "user", "content": [{"type": "text", "text": "S3?"}]}],
            "temperature": 0.5, "top_p": 0.9, "top_k": 50, "stop_sequences": ["x"],
        })
    }

    #[test]
    fn a_full_request_is_read() {
        let prompt = parse(body().as_object().unwrap()).ok().unwrap();
        assert_eq!((prompt.system.as_slice(), prompt.last_user_text()), (["Be brief.".to_owned()].as_slice(), "S3?"));
        assert_eq!((prompt.max_tokens, prompt.turns.len()), (Some(9), 3));
    }

    #[test]
    fn what_bedrock_refuses_is_refused() {
        for (field, value, named) in [
            ("anthropic_version", Value::Null, "anthropic_version"),
            ("anthropic_version", json!("2"), "bedrock-2023-05-31"),
            ("max_tokens", Value::Null, "max_tokens"),
            ("max_tokens", json!(0), "greater than or equal to 1"),
            ("messages", json!([]), "start with a user message"),
            ("messages", json!([{"role": "system", "content": "a"}]), "'user' or 'assistant'"),
            ("messages", json!([{"role": "user", "content": ""}]), "non-whitespace"),
            ("max_tokens_to_sample", json!(1), "[max_tokens_to_sample]"),
        ] {
            let mut body = body();
            body[field] = value;
            let error = parse(body.as_object().unwrap()).err().unwrap();
            assert!(error.message.contains(named), "{}", error.message);
        }
    }
}
