//! The faults that a directive can ask for.

use axum::http::StatusCode;

use crate::error::ApiError;

/// A fault of a model call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The answer is an exception of the service model.
    Exception(Exception),
    /// The simulator never answers.
    Hang,
    /// The connection is dropped without an answer.
    Close,
    /// Status 200 with a body that is not JSON.
    Malformed,
    /// An answer without token counts.
    MissingUsage,
    /// An answer without a text block.
    Empty,
}

/// The exceptions of `InvokeModel` and Converse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    /// Status 429: too many requests or tokens.
    Throttling,
    /// Status 400: above a service quota.
    Quota,
    /// Status 408: the model took too long.
    ModelTimeout,
    /// Status 424: the model failed.
    ModelError,
    /// Status 429: the model is still loading.
    NotReady,
    /// Status 503: the service is unavailable.
    Unavailable,
    /// Status 500: an internal error.
    Internal,
    /// Status 403: no access to the model.
    AccessDenied,
    /// Status 400: the model rejected the request.
    Validation,
    /// Status 404: the model does not exist.
    NotFound,
}

impl Fault {
    /// Every fault with its name in a directive.
    pub const ALL: [(&'static str, Self); 15] = [
        ("throttling", Self::Exception(Exception::Throttling)),
        ("quota", Self::Exception(Exception::Quota)),
        ("model-timeout", Self::Exception(Exception::ModelTimeout)),
        ("model-error", Self::Exception(Exception::ModelError)),
        ("not-ready", Self::Exception(Exception::NotReady)),
        ("unavailable", Self::Exception(Exception::Unavailable)),
        ("internal", Self::Exception(Exception::Internal)),
        ("access-denied", Self::Exception(Exception::AccessDenied)),
        ("validation", Self::Exception(Exception::Validation)),
        ("not-found", Self::Exception(Exception::NotFound)),
        ("hang", Self::Hang),
        ("close", Self::Close),
        ("malformed", Self::Malformed),
        ("missing-usage", Self::MissingUsage),
        ("empty", Self::Empty),
    ];

    /// The fault with this name in a directive.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().find(|(known, _)| *known == name).map(|(_, fault)| *fault)
    }
}

impl From<Exception> for ApiError {
    fn from(exception: Exception) -> Self {
        let (kind, status, message) = match exception {
            Exception::Throttling => {
                ("ThrottlingException", 429, "Too many requests, please wait before trying again.")
            }
            Exception::Quota => {
                ("ServiceQuotaExceededException", 400, "Your request exceeds the service quota for your account.")
            }
            Exception::ModelTimeout => {
                ("ModelTimeoutException", 408, "Model has timed out in processing the request. Try your request again.")
            }
            Exception::ModelError => {
                ("ModelErrorException", 424, "The model failed while it processed the request. Try your request again.")
            }
            Exception::NotReady => {
                ("ModelNotReadyException", 429, "Model is not ready for inference. Wait and try your request again.")
            }
            Exception::Unavailable => {
                ("ServiceUnavailableException", 503, "Bedrock is unable to process your request.")
            }
            Exception::Internal => (
                "InternalServerException",
                500,
                "The system encountered an unexpected error during processing. Try your request again.",
            ),
            Exception::AccessDenied => {
                ("AccessDeniedException", 403, "You don't have access to the model with the specified model ID.")
            }
            Exception::Validation => {
                ("ValidationException", 400, "Malformed input request, please reformat your input and try again.")
            }
            Exception::NotFound => (
                "ResourceNotFoundException",
                404,
                "Could not resolve the foundation model from the provided model identifier.",
            ),
        };
        Self::new(kind, StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), message)
    }
}
