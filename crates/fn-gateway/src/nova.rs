//! The body of `InvokeModel` for models of Amazon Nova (`messages-v1`). It is nearly Converse's.
//!
//! Source: Amazon Nova User Guide, "Complete request schema"; Amazon Nova 2 User Guide, "Request and response schema".

use std::collections::BTreeMap;

use sentry_contract::answer::{FinalAnswer, Output, Usage};
use sentry_models::adapters::stream::Event;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::document::Prompt;
use crate::errors::ApiError;
use crate::fields::{Fields, invalid};
use crate::native::Native;

/// The version of the schema.
const SCHEMA: &str = "messages-v1";

/// Reads a body of Nova's `InvokeModel`.
///
/// # Errors
/// If a field has no place in a document.
pub fn read(mut fields: Fields<'_>) -> Result<Prompt, ApiError> {
    if fields.text("schemaVersion")?.is_some_and(|version| version != SCHEMA) {
        return Err(invalid("schemaVersion", "must be messages-v1"));
    }
    let mut prompt = Prompt { system: fields.raw("system"), messages: fields.raw("messages"), ..Prompt::default() };
    if let Some(config) = fields.object("inferenceConfig")? {
        inference_config(config, &mut prompt)?;
    }
    if let Some(mut config) = fields.object("toolConfig")? {
        (prompt.tools, prompt.tool_choice) = (config.raw("tools"), config.raw("toolChoice"));
        config.end()?;
    }
    fields.end()?;
    Ok(prompt)
}

fn inference_config(mut config: Fields<'_>, prompt: &mut Prompt) -> Result<(), ApiError> {
    // The first examples of Amazon Nova have the second name.
    let (tokens, older) = (config.raw("maxTokens"), config.raw("max_new_tokens"));
    if tokens.is_some() && older.is_some() {
        return Err(invalid(&config.path("max_new_tokens"), "and maxTokens cannot be given both"));
    }
    let given = [
        ("max_tokens", tokens.or(older)),
        ("temperature", config.raw("temperature")),
        ("top_p", config.raw("topP")),
        ("top_k", config.raw("topK")),
        ("stop_sequences", config.raw("stopSequences")),
    ];
    let given = given.into_iter().filter_map(|(name, value)| Some((name, value?)));
    prompt.parameters = given.collect::<BTreeMap<&'static str, Box<RawValue>>>();
    if let Some(reasoning) = config.object("reasoningConfig")? {
        prompt.reasoning = Some(reasoning_config(reasoning)?);
    }
    config.end()
}

fn reasoning_config(mut config: Fields<'_>) -> Result<Value, ApiError> {
    let reasoning = match (config.required_text("type")?.as_str(), config.text("maxReasoningEffort")?) {
        ("disabled", None) => json!({"off": true}),
        ("enabled", Some(effort)) => json!({"effort": effort}),
        _ => return Err(invalid(&config.path("type"), "must be disabled, or enabled with maxReasoningEffort")),
    };
    config.end()?;
    Ok(reasoning)
}

/// The form of answers.
#[derive(Clone, Copy, Debug)]
pub struct Nova;

impl Native for Nova {
    fn whole(&self, answer: &FinalAnswer, output: &Output) -> Value {
        let message = &output.message;
        json!({
            "output": {"message": {"role": message.role, "content": message.content.to_blocks()}},
            "stopReason": output.stop_reason,
            "usage": answer.usage.as_ref().map(usage),
        })
    }

    fn parts(&mut self, event: &Event) -> Vec<Value> {
        // It is sent after the settlement.
        if event.name == "metadata" {
            return Vec::new();
        }
        vec![Value::Object([(event.name.to_owned(), event.fields.clone())].into_iter().collect())]
    }

    fn end(&mut self, total: &Usage) -> Vec<Value> {
        vec![json!({"metadata": {"usage": usage(total), "metrics": {}, "trace": {}}})]
    }
}

fn usage(usage: &Usage) -> Value {
    let tokens = &usage.tokens;
    json!({
        "inputTokens": tokens.input,
        "outputTokens": tokens.output,
        "totalTokens": usage.total_tokens,
        "cacheReadInputTokenCount": tokens.cache_read,
        "cacheWriteInputTokenCount": tokens.cache_write,
    })
}

#[cfg(test)]
mod tests;
