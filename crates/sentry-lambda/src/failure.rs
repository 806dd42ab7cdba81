//! The error of a function that could not do its job.

use lambda_runtime::Diagnostic;
use sentry_contract::ErrorCode;
use thiserror::Error;

/// A Lambda error: its code becomes the `errorType` that a state machine's `ErrorEquals` matches.
///
/// A refusal (an invalid document, a denied request, a failed model) is a value, not a failure.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name}: {message}")]
pub struct Failure {
    name: &'static str,
    message: String,
}

impl Failure {
    /// A failure with a name of the public contract; `message` says what happened, without any text of a prompt.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { name: code.name(), message: message.into() }
    }

    /// A failure that `error` and what is behind it explain.
    #[cfg(feature = "aws")]
    #[must_use]
    pub fn caused(code: ErrorCode, error: &dyn std::error::Error) -> Self {
        Self::new(code, crate::cause(error))
    }

    /// The event is not what the function's state sends.
    #[must_use]
    pub fn unreadable_event(message: impl Into<String>) -> Self {
        Self { name: "UnreadableEvent", message: message.into() }
    }

    /// The stable name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }
}

impl From<Failure> for Diagnostic {
    fn from(failure: Failure) -> Self {
        Self { error_type: failure.name.to_owned(), error_message: failure.message }
    }
}
