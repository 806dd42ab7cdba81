//! The faults that a request can ask for.

use axum::http::StatusCode;

use crate::error::ApiError;

/// What goes wrong with a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// A modelled exception is answered.
    Exception(Exception),
    /// Nothing is ever answered.
    Hang,
    /// The connection is dropped without an answer.
    Close,
    /// Status 200 with a body that is not JSON.
    Malformed,
    /// An answer without token counts.
    MissingUsage,
    /// An answer without content.
    Empty,
}

/// The exceptions of InvokeModel and Converse.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exception {
    /// 429, too many requests or tokens.
    Throttling,
    /// 400, over a service quota.
    Quota,
    /// 408, the model took too long.
    ModelTimeout,
    /// 424, the model failed.
    ModelError,
    /// 429, the model is still loading.
    NotReady,
    /// 503.
    Unavailable,
    /// 500.
    Internal,
    /// 403, no access to the model.
    AccessDenied,
    /// 400, the model refused the request.
    Validation,
    /// 404, no such model.
    NotFound,
}

impl Fault {
    /// Every fault with the name it is asked for by.
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

    /// The fault of this name.
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
