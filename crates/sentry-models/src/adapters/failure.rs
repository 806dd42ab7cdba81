//! Why a model gave no reply.

use std::fmt;

use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::TokenUsage;

use super::meaning::UNWRITABLE;

/// Most characters that are kept of Bedrock's own message.
const MOST_MESSAGE_CHARS: usize = 2_000;

/// What a failed call can have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nobody knows: the model may have worked, and its tokens may be billed.
    Unknown,
    /// Bedrock certainly did nothing, and asking again at once does not help.
    Nothing,
    /// Bedrock certainly did nothing, and may answer if it is asked again at once.
    NothingYet,
}

/// Why there is no reply.
#[derive(Clone, PartialEq)]
pub struct ModelFailure {
    /// What the client is told.
    pub error: Box<ErrorBody>,
    /// Tokens that were spent all the same.
    pub usage: Option<TokenUsage>,
    /// What the call can have done.
    pub effect: Effect,
    /// Bedrock's own message, at most 2,000 characters, where Bedrock answered an error. It may quote the prompt: it belongs in no log and
    /// in no [`ErrorBody`].
    pub bedrock_message: Option<String>,
}

/// Bedrock's message stays out of logs.
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
    /// A failure after which nobody knows what was spent.
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

    /// The failure, with the start of Bedrock's own message where there is one.
    pub(super) fn with_bedrock_message(self, message: Option<&str>) -> Self {
        let message = message.map(str::trim).filter(|message| !message.is_empty());
        Self { bedrock_message: message.map(|message| message.chars().take(MOST_MESSAGE_CHARS).collect()), ..self }
    }

    /// The model answered something that cannot be understood.
    #[must_use]
    pub fn malformed(problem: &str) -> Self {
        Self::new(
            ErrorCode::ModelError,
            format!("The model's answer cannot be used: {problem}. Its tokens may have been billed."),
        )
    }

    /// The answer does not say what was used: what cannot be known is not zero.
    pub(super) fn without_usage() -> Self {
        Self::malformed("it does not say how many tokens were used")
    }

    /// The answer does not say why it ends.
    pub(super) fn unknown_stop() -> Self {
        Self::malformed("it gives no reason for its end")
    }

    /// The answer has no message.
    pub(super) fn without_message() -> Self {
        Self::malformed("it has no message")
    }

    /// The request has no form that Bedrock takes.
    pub(super) fn unwritable() -> Self {
        Self::never_sent(ErrorBody::new(UNWRITABLE.code, UNWRITABLE.message))
    }

    /// The failure, with what was spent.
    #[must_use]
    pub fn spent(self, usage: TokenUsage) -> Self {
        Self { usage: Some(usage), effect: Effect::Unknown, ..self }
    }

    /// Whether the call certainly cost nothing.
    #[must_use]
    pub fn nothing_spent(&self) -> bool {
        self.effect != Effect::Unknown
    }

    /// Whether the call cost nothing and asking again at once may help.
    #[must_use]
    pub fn repeatable(&self) -> bool {
        self.effect == Effect::NothingYet
    }
}
