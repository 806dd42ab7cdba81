//! InvokeModel of Meta Llama: a prompt in the model's own template, and no stop sequences.
//!
//! Source: Amazon Bedrock User Guide, "Meta Llama models".

use serde_json::{Map, Value, json};

use super::stop_or_length;
use crate::{
    error::ApiError,
    fields::{self, Fields},
    prompt::Prompt,
    reply::Reply,
};

/// Reads a request.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn parse(body: &Map<String, Value>) -> Result<Prompt, ApiError> {
    let fields = Fields::new(body, "#", &["prompt", "temperature", "top_p", "max_gen_len", "images"])?;
    Ok(Prompt {
        max_tokens: fields.integer("max_gen_len", 1)?,
        temperature: fields.fraction("temperature")?,
        top_p: fields.fraction("top_p")?,
        ..Prompt::of_text(fields.text("prompt")?)
    })
}

/// The answer for a reply.
pub fn answer(reply: &Reply) -> Value {
    let mut answer = json!({
        "generation": reply.text.as_deref().unwrap_or_default(),
        "stop_reason": stop_or_length(&reply.stop_reason),
    });
    if reply.usage_is_told {
        fields::set(&mut answer, "prompt_token_count", reply.usage.input);
        fields::set(&mut answer, "generation_token_count", reply.usage.output);
    }
    answer
}
