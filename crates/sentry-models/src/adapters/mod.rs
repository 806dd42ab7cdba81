//! Translates a request of the contract to a model's format, and the model's answer back.
//!
//! [`prepare`] and [`normalize`] are pure. `prepare` builds the Converse request, and `normalize` reads Converse's
//! answer. `ask` (feature `bedrock`) runs both, with a call by the SDK between them. [`integration`] is for a call by
//! Step Functions. Both paths end with [`answer`], [`failed`] or [`Conclusion`].

mod bedrock_error;
#[cfg(feature = "bedrock")]
mod blocks;
mod call;
mod conclusion;
mod conversation;
pub mod converse;
#[cfg(feature = "bedrock")]
mod count;
#[cfg(feature = "bedrock")]
mod event;
mod failure;
pub mod integration;
mod meaning;
mod outcome;
#[cfg(feature = "bedrock")]
mod sdk;
#[cfg(feature = "bedrock")]
mod sdk_failure;
#[cfg(feature = "bedrock")]
pub mod stream;
mod unsupported;
mod words;

#[cfg(feature = "bedrock")]
use aws_sdk_bedrockruntime::Client;
use sentry_contract::answer::{Cost, ModelFields, Output, OutputMessage, StopReason};
use sentry_contract::content::{Block, Content};
use sentry_contract::request::{Prompt, Role};
use sentry_contract::states::{InvokeModelInput, ModelAnswer, Target};
use sentry_domain::{Price, TokenUsage};

use call::Call;
use converse::ConverseRequest;

pub use conclusion::Conclusion;
pub use conversation::Speaker;
pub use converse::normalize;
#[cfg(feature = "bedrock")]
pub use count::{Counted, count_tokens};
pub use failure::{Effect, ModelFailure};
pub use outcome::{Received, answer, failed, invoked, max_tokens, native_failure, read_input, terms, timed_out};

/// The answer of a model, independent of its format.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Texts, tool uses and thoughts in the order of the model. Texts are not empty. The list is empty if the model had
    /// nothing to say or was stopped before it said anything.
    pub content: Vec<Block>,
    /// The reason why the model stopped.
    pub stop_reason: StopReason,
    /// The tokens that the model read and wrote.
    pub usage: TokenUsage,
    /// The fields of the model's own answer that the request asked for.
    pub additional: Option<ModelFields>,
}

impl Reply {
    /// All texts, concatenated without a separator.
    #[must_use]
    pub fn text(&self) -> String {
        self.content.iter().filter_map(Block::as_text).collect()
    }

    /// The answer with its cost at `price`. Its content is a list of blocks if the prompt was `rich`, otherwise a text.
    ///
    /// A list with other blocks contains no blank text. Converse rejects a blank text when the answer is sent back in
    /// the next turn.
    #[must_use]
    pub fn answer(mut self, rich: bool, price: Option<&Price>) -> ModelAnswer {
        let cost = Cost::of(&self.usage, price);
        let usage = self.usage.into();
        let is_blank = |block: &Block| block.as_text().is_some_and(|text| text.trim().is_empty());
        if rich && !self.content.iter().all(is_blank) {
            self.content.retain(|block| !is_blank(block));
        }
        let content = if rich { Content::Blocks(self.content) } else { Content::Text(self.text()) };
        let output = Output {
            message: OutputMessage { role: Role::Assistant, content },
            stop_reason: self.stop_reason,
            additional_model_response_fields: self.additional,
        };
        ModelAnswer { output, usage, cost }
    }
}

/// Builds the Converse request to the model. `max_tokens` is the limit of the answer. It is always sent, because
/// otherwise Bedrock reserves the model's maximum against the account's quota.
///
/// # Errors
/// If the model cannot honor a part of the request, which `details.parameter` names. No part is dropped.
pub fn prepare(input: &InvokeModelInput, max_tokens: u32) -> Result<ConverseRequest, ModelFailure> {
    let InvokeModelInput { model, prompt, tags } = input;
    let call =
        Call::new(model, prompt, max_tokens).map_err(|refusal| ModelFailure::never_sent(refusal.error(model)))?;
    Ok(converse::request(call, tags))
}

/// Checks that the parts of `prompt` can be sent together in the format of `model`, for an answer of at most
/// `max_tokens`. The capabilities of the model are not checked here.
///
/// # Errors
/// Returns the parameter that cannot be sent, and the reason as the end of a sentence.
pub fn check(model: &Target, prompt: &Prompt, max_tokens: u32) -> Result<(), (&'static str, &'static str)> {
    Call::new(model, prompt, max_tokens).map(|_| ()).map_err(|refusal| (refusal.parameter, refusal.because))
}

/// Calls the model once, for an answer of at most `max_tokens`.
///
/// # Errors
/// The error has a code of the public contract. [`ModelFailure::effect`] says whether the call can have cost anything.
#[cfg(feature = "bedrock")]
pub async fn ask(client: &Client, input: &InvokeModelInput, max_tokens: u32) -> Result<Reply, ModelFailure> {
    let request = prepare(input, max_tokens)?;
    normalize(sdk::converse(client, &input.model.model_id, &request).await?, input.prompt.charges())
}

#[cfg(test)]
mod tests;
