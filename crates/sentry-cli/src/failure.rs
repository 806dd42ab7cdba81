//! Errors of the command, each with its exit code.

use std::error::Error;
use std::process::ExitCode;

use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use sentry_lambda::cause;
use thiserror::Error as ThisError;

/// Why the command ended without a result.
#[derive(Debug, ThisError)]
pub enum Failure {
    /// The thing that was asked for does not exist, or AWS refuses the call. Exit code 1.
    #[error("{0}")]
    Refused(String),
    /// The arguments make no sense together. Exit code 2, as for arguments that cannot be parsed.
    #[error("{0}")]
    Usage(String),
    /// AWS cannot be reached. Exit code 3.
    #[error("{0}")]
    Unreachable(String),
    /// Somebody else changed the same thing meanwhile. Exit code 4.
    #[error("{0}")]
    Conflict(String),
}

impl Failure {
    /// The exit code of the command for this failure.
    pub fn code(&self) -> ExitCode {
        match self {
            Self::Refused(_) => ExitCode::from(1),
            Self::Usage(_) => ExitCode::from(2),
            Self::Unreachable(_) => ExitCode::from(3),
            Self::Conflict(_) => ExitCode::from(4),
        }
    }

    /// The failure of a call. `doing` says what could not be done, such as `the stack cannot be found`.
    pub fn of_call<E, R>(doing: &str, error: &SdkError<E, R>) -> Self
    where
        E: ProvideErrorMetadata + Error + 'static,
        R: std::fmt::Debug + 'static,
    {
        if let Some(service) = error.as_service_error() {
            let code = service.code().unwrap_or("an error without a code");
            let advice = if code.contains("AccessDenied") || code.contains("NotAuthorized") {
                ". Ask for the permission, or choose another --profile"
            } else {
                ""
            };
            let message = service.message().map(|message| format!(": {message}")).unwrap_or_default();
            return Self::Refused(format!("{doing}: AWS answered {code}{message}{advice}"));
        }
        Self::unreachable(doing, error)
    }

    /// The failure because AWS did not answer.
    pub fn unreachable(doing: &str, error: &dyn Error) -> Self {
        Self::Unreachable(format!(
            "{doing}: AWS cannot be reached ({}). Check the credentials, --profile, --region and --endpoint-url",
            cause(error)
        ))
    }
}
