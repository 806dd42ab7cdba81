//! The error of a function that could not do its job.

use lambda_runtime::Diagnostic;
use sentry_contract::ErrorCode;
use thiserror::Error;

/// An error of a Lambda function. Its name becomes the `errorType` that `ErrorEquals` of a state machine matches.
///
/// A refusal (an invalid document), a denial (by the budget) and a failed model call are values, not a `Failure`.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{name}: {message}")]
pub struct Failure {
    name: &'static str,
    message: String,
}

impl Failure {
    /// A failure whose name is in the public contract. `message` says what happened, and must not contain any text of
    /// a prompt.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { name: code.name(), message: message.into() }
    }

    /// A failure whose message is `error` with all its causes.
    #[cfg(feature = "aws")]
    #[must_use]
    pub fn caused(code: ErrorCode, error: &dyn std::error::Error) -> Self {
        Self::new(code, crate::cause(error))
    }

    /// A failure because the event is not of the form that the function's state sends.
    #[must_use]
    pub fn unreadable_event(message: impl Into<String>) -> Self {
        Self { name: "UnreadableEvent", message: message.into() }
    }

    /// The stable name that a state machine matches.
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
