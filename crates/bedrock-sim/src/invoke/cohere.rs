//! InvokeModel of Cohere: text generation of Command and Command Light, chat of Command R and R+. Neither answer has token counts;
//! they are told in headers only.
//!
//! Sources: Amazon Bedrock User Guide, "Cohere Command models" and "Cohere Command R and Command R+ models".

use serde_json::{Map, Value, json};

use crate::{
    error::ApiError,
    fields::{self, Fields},
    prompt::{Prompt, Role, Turn},
    reply::Reply,
};

const TEXT: [&str; 11] = [
    "prompt",
    "temperature",
    "p",
    "k",
    "max_tokens",
    "stop_sequences",
    "return_likelihoods",
    "stream",
    "num_generations",
    "logit_bias",
    "truncate",
];
const CHAT: [&str; 18] = [
    "message",
    "chat_history",
    "documents",
    "search_queries_only",
    "preamble",
    "max_tokens",
    "temperature",
    "p",
    "k",
    "prompt_truncation",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "return_prompt",
    "tools",
    "tool_results",
    "stop_sequences",
    "raw_prompting",
];
const MAX_K: f64 = 500.0;
const MAX_TEXT_TEMPERATURE: f64 = 5.0;
/// `p` of Command R is never 0 and never 1.
const CHAT_P: (f64, f64) = (0.01, 0.99);

/// Checks `k`.
///
/// # Errors
/// A ValidationException if it is not a number or out of range.
pub fn check_k(fields: &Fields<'_>) -> Result<(), ApiError> {
    fields.number("k", 0.0, MAX_K).map(drop)
}

/// Reads a request of Command.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn parse_text(body: &Map<String, Value>) -> Result<Prompt, ApiError> {
    let fields = Fields::new(body, "#", &TEXT)?;
    check_k(&fields)?;
    Ok(Prompt {
        max_tokens: fields.integer("max_tokens", 1)?,
        temperature: fields.number("temperature", 0.0, MAX_TEXT_TEMPERATURE)?,
        top_p: fields.fraction("p")?,
        stop_sequences: fields.strings("stop_sequences")?,
        ..Prompt::of_text(fields.text("prompt")?)
    })
}

/// Reads a request of Command R.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn parse_chat(body: &Map<String, Value>) -> Result<Prompt, ApiError> {
    let fields = Fields::new(body, "#", &CHAT)?;
    check_k(&fields)?;
    let history = fields.list("chat_history")?.map(Vec::as_slice).unwrap_or_default();
    let mut turns: Vec<Turn> =
        history.iter().enumerate().map(|(index, entry)| turn(index, entry)).collect::<Result<_, _>>()?;
    turns.push(Turn::of(Role::User, fields.text("message")?.to_owned()));
    Ok(Prompt {
        system: fields.string("preamble")?.map(str::to_owned).into_iter().collect(),
        turns,
        max_tokens: fields.integer("max_tokens", 1)?,
        temperature: fields.fraction("temperature")?,
        top_p: fields.number("p", CHAT_P.0, CHAT_P.1)?,
        stop_sequences: fields.strings("stop_sequences")?,
        ..Prompt::default()
    })
}

fn turn(index: usize, entry: &Value) -> Result<Turn, ApiError> {
    let place = format!("#/chat_history/{index}");
    let entry =
        entry.as_object().ok_or_else(|| fields::malformed(format_args!("{place}: expected type: JSONObject")))?;
    let entry = Fields::new(entry, &place, &["role", "message"])?;
    let role = match entry.string("role")? {
        Some("USER") => Role::User,
        Some("CHATBOT") => Role::Assistant,
        _ => return Err(fields::malformed(format_args!("{place}/role: must be USER or CHATBOT"))),
    };
    Ok(Turn::of(role, entry.text("message")?.to_owned()))
}

/// The answer of Command for a reply.
pub fn answer_text(reply: &Reply) -> Value {
    let generation =
        |text: &String| json!({"id": "sim", "text": format!(" {text}"), "finish_reason": finish_reason(reply)});
    json!({"id": "sim", "generations": reply.text.iter().map(generation).collect::<Vec<_>>(), "prompt": ""})
}

/// The answer of Command R for a reply.
pub fn answer_chat(reply: &Reply) -> Value {
    json!({
        "response_id": "sim",
        "generation_id": "sim",
        "text": reply.text.as_deref().unwrap_or_default(),
        "finish_reason": finish_reason(reply),
        "chat_history": [],
    })
}

/// A stop sequence completes an answer.
fn finish_reason(reply: &Reply) -> &str {
    match reply.stop_reason.as_str() {
        "end_turn" | "stop_sequence" => "COMPLETE",
        "max_tokens" => "MAX_TOKENS",
        "content_filtered" => "ERROR_TOXIC",
        other => other,
    }
}
