//! From the one request format to a model's own, and back.

mod anthropic_text;
mod converse;
mod count;
mod failure;

use aws_sdk_bedrockruntime::Client;
use sentry_contract::answer::StopReason;
use sentry_contract::request::Family;
use sentry_contract::states::InvokeModelInput;
use sentry_domain::TokenUsage;

pub use count::{Counted, count_tokens};
pub use failure::{Effect, ModelFailure};

/// What a model said.
#[derive(Clone, PartialEq, Eq)]
pub struct Reply {
    /// The text; empty when the model had nothing to say, or was stopped before it did.
    pub text: String,
    /// Why it stopped.
    pub stop_reason: StopReason,
    /// What it read and wrote.
    pub usage: TokenUsage,
}

/// The text stays out of logs.
impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Reply({} bytes, {:?}, {:?})", self.text.len(), self.stop_reason, self.usage)
    }
}

/// Asks the model once. `max_tokens` is what the answer may have at most; it is always sent, because Bedrock otherwise reserves the model's maximum
/// against the account's quota.
///
/// # Errors
/// With the code of the public contract, and whether the call can have cost anything.
pub async fn ask(client: &Client, input: &InvokeModelInput, max_tokens: u32) -> Result<Reply, ModelFailure> {
    match input.model.family {
        Family::AnthropicText => anthropic_text::ask(client, input, max_tokens).await,
        Family::Anthropic | Family::Nova | Family::Converse => converse::ask(client, input, max_tokens).await,
    }
}
