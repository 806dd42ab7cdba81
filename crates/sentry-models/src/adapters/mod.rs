//! From the one request format to a model's own, and back.
//!
//! [`prepare`] and [`normalise`] / [`read_body`] are pure: what is sent, and what an answer says. `ask` (feature `bedrock`) is both with a
//! call by the SDK between them; [`integration`] is for a call that Step Functions makes. [`answer`], [`failed`] and [`Conclusion`]
//! are what either ends with.

mod adapter;
mod bedrock_error;
mod body;
mod conclusion;
mod conversation;
pub mod converse;
#[cfg(feature = "bedrock")]
mod count;
#[cfg(feature = "bedrock")]
mod count_keeper;
mod failure;
mod families;
mod headers;
pub mod integration;
mod meaning;
mod outcome;
#[cfg(feature = "bedrock")]
mod sdk;
#[cfg(feature = "bedrock")]
mod sdk_content;
#[cfg(feature = "bedrock")]
mod sdk_failure;

#[cfg(feature = "bedrock")]
use aws_sdk_bedrockruntime::Client;
use sentry_contract::answer::{Cost, Output, OutputMessage, StopReason};
use sentry_contract::content::{Block, Content};
use sentry_contract::request::{Prompt, Role};
use sentry_contract::states::{InvokeModelInput, ModelAnswer, Target};
use sentry_contract::tools::ServiceTier;
use sentry_domain::{Price, TokenUsage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use adapter::Call;
use conversation::Conversation;
use converse::{ConverseRequest, GuardrailConfig};

pub use conclusion::Conclusion;
pub use conversation::Speaker;
pub use converse::normalise;
#[cfg(feature = "bedrock")]
pub use count::{Counted, count_tokens};
pub use failure::{Effect, ModelFailure};
pub use headers::HeaderCounts;
pub use outcome::{Received, answer, failed, invoked, max_tokens, native_failure, read_input, terms, timed_out};

/// What a guardrail has done, in the body of InvokeModel's answers. Source: Amazon Bedrock User Guide, "Use your guardrail with inference operations".
const GUARDRAIL_ACTION: &str = "amazon-bedrock-guardrailAction";

/// What a model said.
#[derive(Clone, Debug, PartialEq)]
pub struct Reply {
    /// Texts that are not empty, and tool uses; nothing when the model had nothing to say, or was stopped before it did.
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
    #[must_use]
    pub fn answer(self, rich: bool, price: Option<&Price>) -> ModelAnswer {
        let cost = Cost::of(&self.usage, price);
        let usage = self.usage.into();
        let content = if rich { Content::Blocks(self.content) } else { Content::Text(self.text()) };
        let output =
            Output { message: OutputMessage { role: Role::Assistant, content }, stop_reason: self.stop_reason };
        ModelAnswer { output, usage, cost }
    }
}

/// What is sent to Bedrock.
#[derive(Clone, PartialEq)]
pub enum Prepared {
    /// Through Converse.
    Converse(Box<ConverseRequest>),
    /// Through InvokeModel.
    InvokeModel(Box<InvokeRequest>),
}

/// The prompt stays out of logs.
impl std::fmt::Debug for Prepared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Converse(_) => "Prepared(Converse)",
            Self::InvokeModel(_) => "Prepared(InvokeModel)",
        })
    }
}

/// A request to InvokeModel: the body, and what travels in its headers.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvokeRequest {
    /// In the model's own format.
    pub body: Value,
    /// `guardrailIdentifier` and `guardrailVersion`.
    #[serde(flatten)]
    pub guardrail: Option<GuardrailConfig>,
    /// How it is processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<ServiceTier>,
}

/// The request to the model, on its transport. `max_tokens` is what the answer may have at most; it is always sent, because Bedrock otherwise
/// reserves the model's maximum against the account's quota.
///
/// # Errors
/// When the model cannot honour a part of the request, which `details.parameter` names. Nothing is dropped.
pub fn prepare(input: &InvokeModelInput, max_tokens: u32) -> Result<Prepared, ModelFailure> {
    let InvokeModelInput { model, prompt, tags } = input;
    let call = Call { prompt, conversation: Conversation::of(prompt), max_tokens };
    let body = adapter::body(model, &call).map_err(|refusal| ModelFailure::never_sent(refusal.error(model)))?;
    Ok(match body {
        None => Prepared::Converse(Box::new(converse::request(adapter::of(model.family), &call, tags))),
        Some(body) => {
            let guardrail = prompt.guardrail.as_ref().map(GuardrailConfig::from);
            Prepared::InvokeModel(Box::new(InvokeRequest { body, guardrail, service_tier: prompt.service_tier }))
        }
    })
}

/// Whether `model` honours every part of `prompt` and writes `max_tokens`, as far as its family and its id tell.
#[must_use]
pub fn honours(model: &Target, prompt: &Prompt, max_tokens: u32) -> bool {
    adapter::body(model, &Call { prompt, conversation: Conversation::of(prompt), max_tokens }).is_ok()
}

/// The reply in an answer of InvokeModel. Its usage is the body's, or, where that has none, the headers'.
///
/// # Errors
/// When the answer cannot be understood, or neither says what was used.
pub fn read_body(model: &Target, body: &[u8], counts: HeaderCounts) -> Result<Reply, ModelFailure> {
    let native = adapter::native(model).map_err(|_| ModelFailure::without_message())?;
    let answer: Value = serde_json::from_slice(body).unwrap_or_default();
    let found = native.read(&answer);
    let intervened = answer.get(GUARDRAIL_ACTION).is_some_and(|action| action == "INTERVENED");
    let stop_reason = if intervened { Some(StopReason::GuardrailIntervened) } else { found.stop_reason };
    let usage = told(found.usage, counts, stop_reason.as_ref()).ok_or_else(ModelFailure::without_usage)?;
    let text = found.text.ok_or_else(|| ModelFailure::without_message().spent(usage))?;
    let stop_reason = stop_reason.ok_or_else(|| ModelFailure::unknown_stop().spent(usage))?;
    let content = Some(text).filter(|text| !text.is_empty()).map(Block::Text).into_iter().collect();
    Ok(Reply { content, stop_reason, usage })
}

/// The usage of an answer, from its body or else from its headers: that of a call that read something. Zeros are one only where a guardrail
/// has stopped it, which it may have done before the model was asked, and only if no count says otherwise.
fn told(body: Option<TokenUsage>, counts: HeaderCounts, stop_reason: Option<&StopReason>) -> Option<TokenUsage> {
    let told = || [body, counts.usage()].into_iter().flatten();
    let blocked = stop_reason == Some(&StopReason::GuardrailIntervened) && !counts.any_above_zero();
    told().find(|usage| usage.read() > 0).or_else(|| told().next().filter(|usage| blocked && usage.output == 0))
}

/// Asks the model once, for an answer of at most `max_tokens`.
///
/// # Errors
/// With the code of the public contract, and whether the call can have cost anything.
#[cfg(feature = "bedrock")]
pub async fn ask(client: &Client, input: &InvokeModelInput, max_tokens: u32) -> Result<Reply, ModelFailure> {
    let model = &input.model;
    match prepare(input, max_tokens)? {
        Prepared::Converse(request) => normalise(sdk::converse(client, &model.model_id, *request).await?),
        Prepared::InvokeModel(request) => {
            let (answer, counts) = sdk::invoke(client, &model.model_id, *request).await?;
            read_body(model, answer.as_ref(), counts)
        }
    }
}

#[cfg(test)]
mod tests;
