//! Guardrails. Every guardrail id is accepted, and two ids block content.

use serde_json::{Map, Value};

use crate::{error::ApiError, fields::Fields, prompt::Prompt, reply::Reply, tokens::Usage};

/// Id of the guardrail that blocks every prompt. The model is not called, and no tokens are used.
const BLOCKS_INPUT: &str = "blocksinput";
/// Id of the guardrail that blocks every answer after the model has written it.
const BLOCKS_OUTPUT: &str = "blocksoutput";
/// Text that the caller gets instead of the reply.
const MESSAGE: &str = "The guardrail does not let this pass.";

/// Reads the identifier in `guardrailConfig`.
///
/// # Errors
/// A `ValidationException` if Bedrock would return one.
pub fn read(config: &Map<String, Value>) -> Result<String, ApiError> {
    let config = Fields::new(config, "#/guardrailConfig", &["guardrailIdentifier", "guardrailVersion", "trace"])?;
    config.text("guardrailVersion")?;
    Ok(config.text("guardrailIdentifier")?.to_owned())
}

/// `true` if a guardrail blocks the prompt.
pub fn blocks_input(prompt: &Prompt) -> bool {
    has(prompt, BLOCKS_INPUT)
}

/// `true` if a guardrail blocks the prompt or the answer.
pub fn intervenes(prompt: &Prompt) -> bool {
    blocks_input(prompt) || has(prompt, BLOCKS_OUTPUT)
}

/// Replaces the reply with the guardrail's message if a guardrail intervenes.
pub fn apply(prompt: &Prompt, reply: Reply) -> Reply {
    if !intervenes(prompt) {
        return reply;
    }
    let usage = if blocks_input(prompt) { Usage::default() } else { reply.usage };
    let stop_reason = "guardrail_intervened".to_owned();
    let text = Some(MESSAGE.to_owned());
    Reply { text, thoughts: None, tool_use: None, stop_reason, stop_sequence: None, usage, ..reply }
}

/// `true` if the request names the guardrail `id`, by its id or by an ARN that ends with it.
fn has(prompt: &Prompt, id: &str) -> bool {
    prompt.guardrail.as_deref().is_some_and(|given| given.rsplit('/').next() == Some(id))
}
