//! InvokeModel of models that take a list of messages with roles: OpenAI's chat format and its relatives.
//!
//! Sources: Amazon Bedrock User Guide, "OpenAI models", "AI21 Labs Jamba models", "Mistral AI chat completion"; OpenAI API
//! reference, "Create chat completion". Qwen is served in OpenAI's format.

use serde_json::{Map, Value, json};

use super::stop_or_length;
use crate::{
    error::ApiError,
    fields::{self, Fields},
    prompt::{Prompt, Role, Turn},
    reply::Reply,
};

/// What a relative of the format knows.
pub struct Dialect {
    fields: &'static [&'static str],
    system_roles: &'static [&'static str],
    /// Largest temperature.
    max_temperature: f64,
}

/// OpenAI's own.
pub const OPENAI: Dialect = Dialect {
    fields: &[
        "messages",
        "model",
        "stream",
        "max_completion_tokens",
        "max_tokens",
        "temperature",
        "top_p",
        "stop",
        "n",
        "seed",
        "frequency_penalty",
        "presence_penalty",
        "logit_bias",
        "logprobs",
        "top_logprobs",
        "reasoning_effort",
        "response_format",
        "tools",
        "tool_choice",
        "parallel_tool_calls",
        "service_tier",
        "metadata",
        "user",
    ],
    system_roles: &["system", "developer"],
    max_temperature: 2.0,
};
/// AI21 Jamba's.
pub const JAMBA: Dialect = Dialect {
    fields: &["messages", "max_tokens", "temperature", "top_p", "stop", "n", "frequency_penalty", "presence_penalty"],
    system_roles: &["system"],
    max_temperature: 2.0,
};
/// Mistral's, which has no stop sequences.
pub const MISTRAL: Dialect = Dialect {
    fields: &["messages", "tools", "tool_choice", "max_tokens", "top_p", "temperature"],
    system_roles: &["system"],
    max_temperature: 1.0,
};

/// Reads a request.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn parse(body: &Map<String, Value>, dialect: &Dialect) -> Result<Prompt, ApiError> {
    let fields = Fields::new(body, "#", dialect.fields)?;
    if fields.get("stream").is_some_and(|stream| stream != &Value::Bool(false)) {
        return Err(fields::malformed("#/stream: must be false for InvokeModel"));
    }
    let limits = (fields.integer("max_completion_tokens", 1)?, fields.integer("max_tokens", 1)?);
    let max_tokens = match limits {
        (Some(_), Some(_)) => {
            return Err(fields::malformed("#: max_tokens and max_completion_tokens cannot both be set"));
        }
        (one, other) => one.or(other),
    };
    let mut prompt = Prompt {
        max_tokens,
        temperature: fields.number("temperature", 0.0, dialect.max_temperature)?,
        top_p: fields.fraction("top_p")?,
        stop_sequences: match fields.get("stop") {
            Some(Value::String(stop)) => vec![stop.clone()],
            _ => fields.strings("stop")?,
        },
        ..Prompt::default()
    };
    let messages = fields.list("messages")?.ok_or_else(|| fields.missing("messages"))?;
    for (index, message) in messages.iter().enumerate() {
        read(&mut prompt, &format!("#/messages/{index}"), message, dialect)?;
    }
    if prompt.turns.is_empty() {
        return Err(fields::malformed("#/messages: must have a user or assistant message"));
    }
    Ok(prompt)
}

fn read(prompt: &mut Prompt, place: &str, message: &Value, dialect: &Dialect) -> Result<(), ApiError> {
    let message =
        message.as_object().ok_or_else(|| fields::malformed(format_args!("{place}: expected type: JSONObject")))?;
    let message = Fields::new(message, place, &["role", "content"])?;
    let text = text(message.get("content").ok_or_else(|| message.missing("content"))?)
        .ok_or_else(|| fields::malformed(format_args!("{place}/content: expected a text or a list of text parts")))?;
    match message.string("role")?.ok_or_else(|| message.missing("role"))? {
        "user" => prompt.turns.push(Turn::of(Role::User, text)),
        "assistant" => prompt.turns.push(Turn::of(Role::Assistant, text)),
        role if dialect.system_roles.contains(&role) => prompt.system.push(text),
        _ => return Err(fields::malformed(format_args!("{place}/role: is not a valid enum value"))),
    }
    Ok(())
}

/// A text, or a list of text parts.
fn text(content: &Value) -> Option<String> {
    let part = |part: &Value| match part.get("type")?.as_str()? {
        "text" => part.get("text")?.as_str().map(str::to_owned),
        _ => None,
    };
    match content {
        Value::String(text) => Some(text.clone()),
        Value::Array(parts) if !parts.is_empty() => {
            parts.iter().map(part).collect::<Option<Vec<_>>>().map(|texts| texts.join("\n"))
        }
        _ => None,
    }
}

/// The answer for a reply. Its `prompt_tokens` has the cached tokens in it.
pub fn answer(reply: &Reply, model: &str, id: &str) -> Value {
    let finish_reason = match reply.stop_reason.as_str() {
        "tool_use" => "tool_calls",
        "content_filtered" => "content_filter",
        other => stop_or_length(other),
    };
    // AWS's page of OpenAI's models: the reasoning stands before the text.
    let reasoning = reply.reasoning.as_ref().filter(|_| model.starts_with("openai."));
    let reasoning = reasoning.map(|text| format!("<reasoning>{text}</reasoning>")).unwrap_or_default();
    let text = reply.text.as_ref().map(|text| format!("{reasoning}{text}"));
    let message = json!({"role": "assistant", "content": text});
    let mut answer = json!({
        "id": id,
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [{"index": 0, "message": message, "finish_reason": finish_reason, "logprobs": null}],
    });
    if reply.usage_is_told {
        fields::set(&mut answer, "usage", usage(reply));
    }
    answer
}

fn usage(reply: &Reply) -> Value {
    let total = reply.usage.total();
    let mut usage = json!({
        "prompt_tokens": total.saturating_sub(reply.usage.output),
        "completion_tokens": reply.usage.output,
        "total_tokens": total,
    });
    if let Some(cached) = reply.usage.cache_read {
        fields::set(&mut usage, "prompt_tokens_details", json!({"cached_tokens": cached}));
    }
    usage
}
