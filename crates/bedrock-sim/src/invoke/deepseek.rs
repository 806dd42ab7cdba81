//! InvokeModel of DeepSeek: text completion, whose answer has no token counts; they are told in headers only.
//!
//! Source: Amazon Bedrock User Guide, "DeepSeek models". V3 also takes OpenAI's chat format.

use serde_json::{Map, Value, json};

use super::stop_or_length;
use crate::{error::ApiError, fields::Fields, models::Model, prompt::Prompt, reply::Reply};

/// Whether a model takes OpenAI's chat format as well.
pub fn takes_chat(model: Model<'_>) -> bool {
    !model.base.starts_with("deepseek.r1")
}

/// Reads a request.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn parse(body: &Map<String, Value>) -> Result<Prompt, ApiError> {
    let fields = Fields::new(body, "#", &["prompt", "temperature", "top_p", "max_tokens", "stop"])?;
    Ok(Prompt {
        max_tokens: fields.integer("max_tokens", 1)?,
        temperature: fields.fraction("temperature")?,
        top_p: fields.fraction("top_p")?,
        stop_sequences: fields.strings("stop")?,
        ..Prompt::of_text(fields.text("prompt")?)
    })
}

/// The answer for a reply.
pub fn answer(reply: &Reply) -> Value {
    let reasoning = reply.reasoning.as_ref().map(|reasoning| format!("{reasoning}\n</think>\n\n")).unwrap_or_default();
    let choice = |text: &String| json!({"text": format!("{reasoning}{text}"), "stop_reason": stop_or_length(&reply.stop_reason)});
    json!({"choices": reply.text.iter().map(choice).collect::<Vec<_>>()})
}
