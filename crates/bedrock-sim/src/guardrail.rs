//! Guardrails: every one is known, and two of them step in.

use serde_json::{Map, Value};

use crate::{error::ApiError, fields::Fields, prompt::Prompt, reply::Reply, tokens::Usage};

/// The id of the guardrail that blocks every prompt: the model is not asked, and no tokens are used.
const BLOCKS_INPUT: &str = "blocksinput";
/// The id of the guardrail that blocks every answer, after the model has written it.
const BLOCKS_OUTPUT: &str = "blocksoutput";
/// What the caller gets instead.
const MESSAGE: &str = "The guardrail does not let this pass.";

/// The identifier in `guardrailConfig`.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn read(config: &Map<String, Value>) -> Result<String, ApiError> {
    let config = Fields::new(config, "#/guardrailConfig", &["guardrailIdentifier", "guardrailVersion", "trace"])?;
    config.text("guardrailVersion")?;
    Ok(config.text("guardrailIdentifier")?.to_owned())
}

/// Whether the prompt does not reach the model.
pub fn blocks_input(prompt: &Prompt) -> bool {
    has(prompt, BLOCKS_INPUT)
}

/// Whether the caller gets the guardrail's message.
pub fn intervenes(prompt: &Prompt) -> bool {
    blocks_input(prompt) || has(prompt, BLOCKS_OUTPUT)
}

/// The reply as the guardrail lets it pass.
pub fn apply(prompt: &Prompt, reply: Reply) -> Reply {
    if !intervenes(prompt) {
        return reply;
    }
    let usage = if blocks_input(prompt) { Usage::default() } else { reply.usage };
    let stop_reason = "guardrail_intervened".to_owned();
    Reply { text: Some(MESSAGE.to_owned()), thoughts: None, tool_use: None, stop_reason, usage, ..reply }
}

/// An identifier is an id, or an ARN that ends with it.
fn has(prompt: &Prompt, id: &str) -> bool {
    prompt.guardrail.as_deref().is_some_and(|given| given.rsplit('/').next() == Some(id))
}
