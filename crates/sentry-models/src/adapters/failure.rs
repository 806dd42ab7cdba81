//! The failure of a call to a model.

use std::fmt;

use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::TokenUsage;

use super::meaning::UNWRITABLE;

/// Limit for the length of Bedrock's own message, in characters. A longer message is cut.
const MOST_MESSAGE_CHARS: usize = 2_000;

/// The effect that a failed call can have had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Unknown. The model may have worked, and its tokens may be billed.
    Unknown,
    /// None. Bedrock certainly did nothing, and an immediate retry does not help.
    Nothing,
    /// None so far. Bedrock certainly did nothing, and an immediate retry may succeed.
    NothingYet,
}

/// The reason why there is no reply, and the effect of the call.
#[derive(Clone, PartialEq)]
pub struct ModelFailure {
    /// The error for the client.
    pub error: Box<ErrorBody>,
    /// Tokens that the call used in spite of the failure. Absent if they are not known.
    pub usage: Option<TokenUsage>,
    /// The effect that the call can have had.
    pub effect: Effect,
    /// Bedrock's own message, at most 2,000 characters. Absent if Bedrock did not answer with an error. The message may
    /// quote the prompt, so it must not be written to a log. Only [`Conclusion`](super::Conclusion) copies it to an
    /// [`ErrorBody`], for the client that wrote the prompt.
    pub bedrock_message: Option<String>,
}

/// Hides Bedrock's message from logs.
impl fmt::Debug for ModelFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error, usage, effect, bedrock_message } = self;
        f.debug_struct("ModelFailure")
            .field("error", error)
            .field("usage", usage)
            .field("effect", effect)
            .field("bedrock_message_bytes", &bedrock_message.as_ref().map(String::len))
            .finish()
    }
}

impl ModelFailure {
    /// A failure after which the usage is unknown.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self::of(ErrorBody::new(code, message), Effect::Unknown)
    }

    /// A failure before anything was sent to Bedrock.
    #[must_use]
    pub fn never_sent(error: ErrorBody) -> Self {
        Self::of(error, Effect::Nothing)
    }

    pub(super) fn of(error: ErrorBody, effect: Effect) -> Self {
        Self { error: Box::new(error), usage: None, effect, bedrock_message: None }
    }

    /// Adds the start of Bedrock's own message, if there is one.
    pub(super) fn with_bedrock_message(self, message: Option<&str>) -> Self {
        let message = message.map(str::trim).filter(|message| !message.is_empty());
        Self { bedrock_message: message.map(|message| message.chars().take(MOST_MESSAGE_CHARS).collect()), ..self }
    }

    /// The failure for an answer that cannot be understood.
    #[must_use]
    pub fn malformed(problem: &str) -> Self {
        Self::new(
            ErrorCode::ModelError,
            format!("The model's answer cannot be used: {problem}. Its tokens may have been billed."),
        )
    }

    /// The answer does not report its usage. An unknown usage does not count as zero.
    pub(super) fn without_usage() -> Self {
        Self::malformed("it does not say how many tokens were used")
    }

    /// The answer does not report a stop reason.
    pub(super) fn unknown_stop() -> Self {
        Self::malformed("it gives no reason for its end")
    }

    pub(super) fn without_message() -> Self {
        Self::malformed("it has no message")
    }

    /// The request cannot be written in a form that Bedrock accepts.
    pub(super) fn unwritable() -> Self {
        Self::never_sent(ErrorBody::new(UNWRITABLE.code, UNWRITABLE.message))
    }

    /// Adds the usage of the failed call.
    #[must_use]
    pub fn spent(self, usage: TokenUsage) -> Self {
        Self { usage: Some(usage), effect: Effect::Unknown, ..self }
    }

    /// `true` if the call certainly cost nothing.
    #[must_use]
    pub fn nothing_spent(&self) -> bool {
        self.effect != Effect::Unknown
    }

    /// `true` if the call certainly cost nothing and an immediate retry may succeed.
    #[must_use]
    pub fn repeatable(&self) -> bool {
        self.effect == Effect::NothingYet
    }
}
