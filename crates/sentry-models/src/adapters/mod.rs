//! From the one request format to a model's own, and back.
//!
//! [`prepare`] and [`normalise`] / [`read_body`] are pure: what is sent, and what an answer says. `ask` (feature `bedrock`) is both with a
//! call by the SDK between them; [`integration`] is for a call that Step Functions makes. [`answer`] and [`refused`] are what either ends with.

mod adapter;
mod body;
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
mod outcome;
#[cfg(feature = "bedrock")]
mod sdk;
#[cfg(feature = "bedrock")]
mod sdk_failure;

#[cfg(feature = "bedrock")]
use aws_sdk_bedrockruntime::Client;
use sentry_contract::answer::StopReason;
use sentry_contract::request::Transport;
use sentry_contract::states::{InvokeModelInput, Target};
use sentry_domain::TokenUsage;
use serde_json::Value;

use adapter::Call;
use conversation::Conversation;
use converse::ConverseRequest;

pub use conversation::Speaker;
pub use converse::normalise;
#[cfg(feature = "bedrock")]
pub use count::{Counted, count_tokens};
pub use failure::{Effect, ModelFailure};
pub use headers::HeaderCounts;
pub use outcome::{answer, max_tokens, read_input, refused, timed_out};

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

/// What is sent to Bedrock.
#[derive(Clone, PartialEq)]
pub enum Prepared {
    /// Through Converse.
    Converse(Box<ConverseRequest>),
    /// Through InvokeModel, as this body.
    InvokeModel(Value),
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

/// The request to the model, on its transport. `max_tokens` is what the answer may have at most; it is always sent, because Bedrock otherwise
/// reserves the model's maximum against the account's quota.
///
/// # Errors
/// When the model cannot honour a part of the request, which `details.parameter` names. Nothing is dropped.
pub fn prepare(input: &InvokeModelInput, max_tokens: u32) -> Result<Prepared, ModelFailure> {
    let InvokeModelInput { model, prompt, tags } = input;
    let conversation = Conversation::of(&prompt.messages);
    let call = Call { conversation, parameters: &prompt.parameters, max_tokens };
    let prepared = match model.transport() {
        Transport::Converse => {
            let adapter = adapter::of(model.family);
            adapter::check(&call, adapter.converse(&model.model_id))
                .map(|()| Prepared::Converse(Box::new(converse::request(adapter, &call, tags))))
        }
        Transport::InvokeModel => adapter::native(model).and_then(|native| {
            adapter::check(&call, native.support())?;
            native.body(&call).map(Prepared::InvokeModel)
        }),
    };
    prepared.map_err(|refusal| ModelFailure::never_sent(refusal.error(model)))
}

/// The reply in an answer of InvokeModel. Its usage is the body's, or, where that has none, the headers'.
///
/// # Errors
/// When the answer cannot be understood, or neither says what was used.
pub fn read_body(model: &Target, body: &[u8], counts: HeaderCounts) -> Result<Reply, ModelFailure> {
    let native = adapter::native(model).map_err(|_| ModelFailure::without_message())?;
    let found = serde_json::from_slice(body).map(|answer| native.read(&answer)).unwrap_or_default();
    let known = [found.usage, counts.usage()].into_iter().flatten().find(|usage| usage.read() > 0);
    let usage = known.ok_or_else(ModelFailure::without_usage)?;
    let text = found.text.ok_or_else(|| ModelFailure::without_message().spent(usage))?;
    let stop_reason = found.stop_reason.ok_or_else(|| ModelFailure::unknown_stop().spent(usage))?;
    Ok(Reply { text, stop_reason, usage })
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
        Prepared::InvokeModel(body) => {
            let (answer, counts) = sdk::invoke(client, &model.model_id, &body).await?;
            read_body(model, answer.as_ref(), counts)
        }
    }
}

#[cfg(test)]
mod tests;
