//! From the one request format to a model's own, and back.
//!
//! [`prepare`] and [`normalise`] are pure: what is sent to Converse, and what its answer says. `ask` (feature `bedrock`) is both with a
//! call by the SDK between them; [`integration`] is for a call that Step Functions makes. [`answer`], [`failed`] and [`Conclusion`]
//! are what either ends with.

mod bedrock_error;
mod call;
mod conclusion;
mod conversation;
pub mod converse;
#[cfg(feature = "bedrock")]
mod count;
mod failure;
pub mod integration;
mod meaning;
mod outcome;
#[cfg(feature = "bedrock")]
mod sdk;
#[cfg(feature = "bedrock")]
mod sdk_failure;
mod words;

#[cfg(feature = "bedrock")]
use aws_sdk_bedrockruntime::Client;
use sentry_contract::answer::{Cost, Output, OutputMessage, StopReason};
use sentry_contract::content::{Block, Content};
use sentry_contract::request::{Prompt, Role};
use sentry_contract::states::{InvokeModelInput, ModelAnswer, Target};
use sentry_domain::{Price, TokenUsage};

use call::Call;
use converse::ConverseRequest;

pub use conclusion::Conclusion;
pub use conversation::Speaker;
pub use converse::normalise;
#[cfg(feature = "bedrock")]
pub use count::{Counted, count_tokens};
pub use failure::{Effect, ModelFailure};
pub use outcome::{Received, answer, failed, invoked, max_tokens, native_failure, read_input, terms, timed_out};

/// What a model said.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Texts that are not empty, tool uses, and what the model thought, in its order; nothing when it had nothing to say, or was stopped
    /// before it did.
    pub content: Vec<Block>,
    /// Why it stopped.
    pub stop_reason: StopReason,
    /// What it read and wrote.
    pub usage: TokenUsage,
}

impl Reply {
    /// The texts, one after the other.
    #[must_use]
    pub fn text(&self) -> String {
        self.content.iter().filter_map(Block::as_text).collect()
    }

    /// The answer at `price`: its content is a text, or a list of blocks where the prompt was rich.
    ///
    /// A blank text is left out of a list that has more to say: Converse refuses it when the answer comes back in the next turn.
    #[must_use]
    pub fn answer(mut self, rich: bool, price: Option<&Price>) -> ModelAnswer {
        let cost = Cost::of(&self.usage, price);
        let usage = self.usage.into();
        let is_blank = |block: &Block| block.as_text().is_some_and(|text| text.trim().is_empty());
        if rich && !self.content.iter().all(is_blank) {
            self.content.retain(|block| !is_blank(block));
        }
        let content = if rich { Content::Blocks(self.content) } else { Content::Text(self.text()) };
        let output =
            Output { message: OutputMessage { role: Role::Assistant, content }, stop_reason: self.stop_reason };
        ModelAnswer { output, usage, cost }
    }
}

/// The Converse request to the model. `max_tokens` is what the answer may have at most; it is always sent, because Bedrock otherwise
/// reserves the model's maximum against the account's quota.
///
/// # Errors
/// When the model cannot honor a part of the request, which `details.parameter` names. Nothing is dropped.
pub fn prepare(input: &InvokeModelInput, max_tokens: u32) -> Result<ConverseRequest, ModelFailure> {
    let InvokeModelInput { model, prompt, tags } = input;
    let call =
        Call::new(model, prompt, max_tokens).map_err(|refusal| ModelFailure::never_sent(refusal.error(model)))?;
    Ok(converse::request(call, tags))
}

/// Whether the parts of `prompt` go together in the words of `model`, for an answer of at most `max_tokens`. What the model itself does not
/// take is no part of it.
///
/// # Errors
/// With the parameter that does not, and the reason as the end of a sentence.
pub fn check(model: &Target, prompt: &Prompt, max_tokens: u32) -> Result<(), (&'static str, &'static str)> {
    Call::new(model, prompt, max_tokens).map(|_| ()).map_err(|refusal| (refusal.parameter, refusal.because))
}

/// Asks the model once, for an answer of at most `max_tokens`.
///
/// # Errors
/// With the code of the public contract, and whether the call can have cost anything.
#[cfg(feature = "bedrock")]
pub async fn ask(client: &Client, input: &InvokeModelInput, max_tokens: u32) -> Result<Reply, ModelFailure> {
    let request = prepare(input, max_tokens)?;
    normalise(sdk::converse(client, &input.model.model_id, &request).await?, input.prompt.charges())
}

#[cfg(test)]
mod tests;
