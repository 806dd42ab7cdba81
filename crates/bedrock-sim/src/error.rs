//! Errors in Bedrock's wire format: a status, the header `x-amzn-errortype`, and a body with the message.

use axum::{
    Json,
    http::{HeaderName, HeaderValue, StatusCode},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

/// Response header that tells an SDK the name of the exception.
pub const ERROR_TYPE_HEADER: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// Exceptions of `GetResources`, by the service model of `resourcegroupstaggingapi` (2017-01-26).
const TAGGING_ERRORS: [&str; 2] = ["InvalidParameterException", "ThrottledException"];

/// The words of Converse before a message of the model.
const OF_THE_MODEL: &str = "The model returned the following errors: ";

/// An exception of the Bedrock APIs.
///
/// Names and statuses are those of the service models of `bedrock-runtime` (2023-09-30) and `bedrock` (2023-04-20).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiError {
    /// Name of the exception, such as `ValidationException`.
    pub kind: &'static str,
    /// HTTP status of the exception.
    pub status: StatusCode,
    /// Text for the caller. It quotes names from the request. It quotes a prompt only if the directive `error-text`
    /// asks for it.
    pub message: String,
}

impl ApiError {
    /// An exception with this name and status.
    pub fn new(kind: &'static str, status: StatusCode, message: impl Into<String>) -> Self {
        Self { kind, status, message: message.into() }
    }

    /// The exception for a request that Bedrock rejects.
    pub fn validation(message: impl Into<String>) -> Self {
        Self::new("ValidationException", StatusCode::BAD_REQUEST, message)
    }

    /// The exception for a request that the model itself rejects.
    pub fn model(message: impl std::fmt::Display) -> Self {
        Self::validation(format!("{OF_THE_MODEL}{message}"))
    }

    /// The same exception as `InvokeModel` returns it: without the words before the model's own message.
    pub fn of_invoke_model(mut self) -> Self {
        if let Some(message) = self.message.strip_prefix(OF_THE_MODEL) {
            self.message = message.to_owned();
        }
        self
    }

    /// The exception for a caller without permission.
    pub fn access_denied(message: impl Into<String>) -> Self {
        Self::new("AccessDeniedException", StatusCode::FORBIDDEN, message)
    }

    /// The exception for a resource that does not exist.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new("ResourceNotFoundException", StatusCode::NOT_FOUND, message)
    }

    /// The exception for a service that is temporarily unavailable.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new("ServiceUnavailableException", StatusCode::SERVICE_UNAVAILABLE, message)
    }

    /// The same exception with a message that also quotes `text`, in the wording that Bedrock uses for rejections.
    pub fn quoting(mut self, text: &str) -> Self {
        self.message =
            format!("{} The model returned the following errors: messages.0.content.0: \"{text}\"", self.message);
        self
    }

    fn body(&self) -> Value {
        if self.kind == "ModelErrorException" {
            return json!({"message": self.message, "originalStatusCode": 500, "resourceName": "bedrock-sim"});
        }
        // The Resource Groups Tagging API writes the member with a capital letter.
        let member = if TAGGING_ERRORS.contains(&self.kind) { "Message" } else { "message" };
        json!({member: self.message})
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body())).into_response();
        response.headers_mut().insert(ERROR_TYPE_HEADER, HeaderValue::from_static(self.kind));
        response
    }
}
