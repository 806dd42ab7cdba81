//! A request to a model whose parts can be sent together.

use sentry_contract::request::Prompt;
use sentry_contract::states::Target;
use serde_json::Value;

use super::conversation::Conversation;
use super::unsupported::Unsupported;
use super::words;

/// Limit of the tokens in a call: the largest count that Converse can accept and report.
///
/// Source: Amazon Bedrock API Reference, `InferenceConfiguration` and `TokenUsage`: integers of 32 bits.
const MOST_TOKENS: u32 = i32::MAX.unsigned_abs();

/// A checked request to a model.
pub struct Call<'r> {
    pub prompt: &'r Prompt,
    pub conversation: Conversation<'r>,
    /// Limit of the tokens that the model writes.
    pub max_tokens: u32,
    /// Fields that Converse does not have.
    pub additional: Option<Value>,
}

impl<'r> Call<'r> {
    /// Builds the request of `prompt` to `model`, for an answer of at most `max_tokens`.
    ///
    /// # Errors
    /// Returns the first part of the request that the model cannot honor.
    pub fn new(model: &Target, prompt: &'r Prompt, max_tokens: u32) -> Result<Self, Unsupported> {
        let conversation = Conversation::of(prompt);
        check(prompt, &conversation, max_tokens)?;
        let additional = words::fields(model, prompt, max_tokens)?;
        Ok(Self { prompt, conversation, max_tokens, additional })
    }
}

/// Refuses the parts that no Converse request can express. Validation, or else Bedrock, checks the capabilities of the
/// model.
fn check(prompt: &Prompt, conversation: &Conversation<'_>, max_tokens: u32) -> Result<(), Unsupported> {
    let refused = |parameter, because| Err(Unsupported { parameter, because });
    if max_tokens > MOST_TOKENS {
        return refused("max_tokens", "Bedrock takes at most 2147483647");
    }
    if conversation.system_is_rich() {
        return refused("system", "system messages can only have text, cache points and content for a guardrail");
    }
    if prompt.tool_choice.is_some() && prompt.tools.iter().all(|tool| tool.spec().is_none()) {
        return refused("toolChoice", "there are no tools to choose among");
    }
    Ok(())
}
