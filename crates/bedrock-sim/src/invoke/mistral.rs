//! InvokeModel of Mistral AI: text completion of the instruct models, chat completion of the large ones. Neither answer has token
//! counts; they are told in headers only.
//!
//! Sources: Amazon Bedrock User Guide, "Mistral AI text completion" and "Mistral AI chat completion".

use serde_json::{Map, Value, json};

use super::stop_or_length;
use crate::{error::ApiError, fields::Fields, models::Model, prompt::Prompt, reply::Reply};

/// Mistral 7B Instruct, Mixtral 8x7B Instruct, Mistral Large (24.02) and Mistral Small.
const TEXT: [&str; 4] =
    ["mistral.mistral-7b-", "mistral.mixtral-", "mistral.mistral-large-2402", "mistral.mistral-small-2402"];
const TEXT_ONLY: [&str; 3] = ["mistral.mistral-7b-", "mistral.mixtral-", "mistral.mistral-small-2402"];
const TOP_K: [&str; 2] = ["mistral.mistral-7b-", "mistral.mixtral-"];
/// Largest `top_k` of text completion.
const MAX_TOP_K: f64 = 200.0;

/// Whether a model has text completion.
pub fn takes_text(model: Model<'_>) -> bool {
    TEXT.iter().any(|start| model.base.starts_with(start))
}

/// Whether a model has chat completion.
pub fn takes_chat(model: Model<'_>) -> bool {
    !TEXT_ONLY.iter().any(|start| model.base.starts_with(start))
}

/// Whether a model has `top_k`; of those with text completion, Large and Small do not.
pub fn takes_top_k(model: Model<'_>) -> bool {
    TOP_K.iter().any(|start| model.base.starts_with(start))
}

/// Checks `top_k`.
///
/// # Errors
/// A ValidationException if it is not an integer or out of range.
pub fn check_top_k(fields: &Fields<'_>) -> Result<(), ApiError> {
    fields.integer("top_k", 1)?;
    fields.number("top_k", 1.0, MAX_TOP_K)?;
    Ok(())
}

/// Reads a request for text completion.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn parse_text(body: &Map<String, Value>) -> Result<Prompt, ApiError> {
    let fields = Fields::new(body, "#", &["prompt", "max_tokens", "stop", "temperature", "top_p", "top_k"])?;
    check_top_k(&fields)?;
    Ok(Prompt {
        max_tokens: fields.integer("max_tokens", 1)?,
        temperature: fields.fraction("temperature")?,
        top_p: fields.fraction("top_p")?,
        stop_sequences: fields.strings("stop")?,
        ..Prompt::of_text(fields.text("prompt")?)
    })
}

/// The answer of text completion for a reply.
pub fn answer_text(reply: &Reply) -> Value {
    let outputs: Vec<Value> =
        reply.text.iter().map(|text| json!({"text": format!(" {text}"), "stop_reason": stop_reason(reply)})).collect();
    json!({"outputs": outputs})
}

/// The answer of chat completion for a reply.
pub fn answer_chat(reply: &Reply) -> Value {
    let message = json!({"role": "assistant", "content": reply.text.as_deref().unwrap_or_default()});
    json!({"choices": [{"index": 0, "message": message, "stop_reason": stop_reason(reply)}]})
}

fn stop_reason(reply: &Reply) -> &str {
    match reply.stop_reason.as_str() {
        "tool_use" => "tool_calls",
        other => stop_or_length(other),
    }
}
