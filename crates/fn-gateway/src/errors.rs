//! Errors of the gateway, and how Bedrock writes them: a status, a type in a header, and a message.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::{CONTROLS, utf8_percent_encode};
use sentry_contract::answer::FinalAnswer;
use sentry_contract::request::Tags;
use sentry_contract::{ErrorBody, ErrorCode};
use serde_json::{Value, json};

/// An error, independent of the API that the client speaks.
#[derive(Debug)]
pub struct ApiError {
    /// The reason, from which each API takes its status and its name.
    pub reason: Reason,
    /// A sentence for a person, with the code, the scope and the reset of the sentry.
    pub message: String,
    /// Headers of the sentry.
    pub headers: Vec<(&'static str, String)>,
}

/// The reason of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The key is missing or not valid.
    NoKey,
    /// The table of keys cannot be read.
    KeysUnavailable,
    /// The table of answers, or that of models, cannot be read.
    TableUnavailable,
    /// The gateway failed in the middle of the request.
    Unfinished,
    /// The key does not permit it.
    AccessDenied,
    /// The request is not acceptable.
    Validation,
    /// There is no such path.
    UnknownPath,
    /// There is no such model or answer, or the caller may not know of it.
    NotFound,
    /// The sentry has refused or denied the request, or the model has failed.
    Code(ErrorCode),
}

impl ApiError {
    fn new(reason: Reason, message: impl Into<String>) -> Self {
        Self { reason, message: message.into(), headers: Vec::new() }
    }

    /// The error for every kind of key that is not valid, so that a caller cannot tell them apart.
    pub fn no_key() -> Self {
        Self::new(Reason::NoKey, "The key is missing or not valid.")
    }

    /// The error if the table of keys cannot be read.
    pub fn keys_unavailable() -> Self {
        Self::new(Reason::KeysUnavailable, "The key could not be checked; try again.")
    }

    /// The error if a table that the caller asks for cannot be read.
    pub fn table_unavailable(message: &str) -> Self {
        Self::new(Reason::TableUnavailable, message)
    }

    /// The error if the gateway itself fails in the middle of a request. What it held stays until it expires.
    pub fn unfinished() -> Self {
        Self::new(Reason::Unfinished, "The gateway could not finish the request; its hold expires by itself.")
    }

    /// The error for something that the key does not permit.
    pub fn access_denied(message: &str) -> Self {
        Self::new(Reason::AccessDenied, message)
    }

    /// The error for a request that is not acceptable.
    pub fn validation(message: &str) -> Self {
        Self::new(Reason::Validation, message)
    }

    /// The error for a path that does not exist.
    pub fn unknown_path() -> Self {
        Self::new(Reason::UnknownPath, "The gateway has no such path; see docs/CONTRACT.md.")
    }

    /// The error for something that does not exist, or that the caller may not know of.
    pub fn not_found(message: &str) -> Self {
        Self::new(Reason::NotFound, message)
    }

    /// The same error, at the field `path` of the request.
    pub fn at(mut self, path: &str) -> Self {
        self.headers.push(("x-sentry-path", path.to_owned()));
        self
    }

    /// The value of a header of the sentry.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(each, _)| *each == name).map(|(_, value)| value.as_str())
    }

    /// The error for a model that the caller's record or token does not allow.
    pub fn model_not_allowed(model: &str) -> Self {
        Self::access_denied(&format!("The caller may not use the model {model}."))
    }

    /// The error of an answer without an output.
    pub fn of_refusal(answer: &FinalAnswer) -> Self {
        let unknown = || ErrorBody::new(ErrorCode::LedgerUnavailable, "The request has no answer; try again.");
        Self::of_answer(answer, &answer.error.clone().unwrap_or_else(unknown))
    }

    /// The error of an answer that has one.
    pub fn of_answer(answer: &FinalAnswer, error: &ErrorBody) -> Self {
        let detail = |name| error.details.get(name).and_then(Value::as_str).map(str::to_owned);
        let code = error.code.name();
        let mut message = match detail("bedrockMessage") {
            Some(told) => format!("{} Bedrock said: {told}", error.message),
            None => error.message.clone(),
        };
        message.push_str(&format!(" [sentry: {code}"));
        let named = [("scope", detail("scope")), ("resets at", detail("resetsAt"))];
        named.iter().for_each(|(name, value)| {
            if let Some(value) = value {
                message.push_str(&format!(", {name} {value}"));
            }
        });
        message.push(']');
        let mut headers = vec![("x-sentry-code", code.to_owned())];
        let retry_after = error.retry_after_seconds.map(|seconds| seconds.to_string());
        let request_id = answer.tags.get(Tags::REQUEST_ID).map(str::to_owned);
        let optional = [
            ("x-sentry-scope", detail("scope")),
            ("x-sentry-resets-at", detail("resetsAt")),
            ("x-sentry-path", detail("path")),
            ("x-sentry-request-id", request_id),
            ("retry-after", retry_after),
        ];
        headers.extend(optional.into_iter().filter_map(|(name, value)| Some((name, value?))));
        Self { headers, ..Self::new(Reason::Code(error.code), message) }
    }

    /// A response with `status` and `body`, and the headers of the sentry.
    pub fn respond(&self, status: u16, body: Value) -> Response {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(body)).into_response();
        for (name, value) in &self.headers {
            response.headers_mut().insert(*name, header_value(value));
        }
        response
    }

    /// The error as Bedrock returns it.
    pub fn of_bedrock(&self) -> Response {
        let (status, kind) = bedrock_error(self.reason);
        let mut response = self.respond(status, json!({"message": self.message}));
        response.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(kind));
        response
    }
}

/// Bedrock's status and exception for a reason. Source of the pairs: the service model of bedrock-runtime, 2023-09-30,
/// operation Converse. Clients retry 429 and 503, so only errors that a retry can help have them.
fn bedrock_error(reason: Reason) -> (u16, &'static str) {
    match reason {
        Reason::NoKey => (401, "UnrecognizedClientException"),
        Reason::KeysUnavailable | Reason::TableUnavailable => (503, "ServiceUnavailableException"),
        Reason::Unfinished => (500, "InternalServerException"),
        Reason::AccessDenied => (403, "AccessDeniedException"),
        Reason::Validation => (400, "ValidationException"),
        Reason::UnknownPath => (404, "UnknownOperationException"),
        Reason::NotFound => (404, "ResourceNotFoundException"),
        Reason::Code(code) => match code {
            ErrorCode::InvalidRequest
            | ErrorCode::UnknownModel
            | ErrorCode::ModelRejectedRequest
            | ErrorCode::OutputTooLarge => (400, "ValidationException"),
            ErrorCode::DuplicateRequest => (400, "ConflictException"),
            ErrorCode::BudgetExceeded => (400, "ServiceQuotaExceededException"),
            ErrorCode::BudgetReserved | ErrorCode::ModelThrottled => (429, "ThrottlingException"),
            ErrorCode::LimitNotConfigured
            | ErrorCode::LimitMalformed
            | ErrorCode::ModelNotPriced
            | ErrorCode::RequestTooLarge
            | ErrorCode::Stopped
            | ErrorCode::ModelAccessDenied => (403, "AccessDeniedException"),
            ErrorCode::UsageUnavailable | ErrorCode::LedgerUnavailable | ErrorCode::ModelUnavailable => {
                (503, "ServiceUnavailableException")
            }
            ErrorCode::ModelTimeout => (408, "ModelTimeoutException"),
            ErrorCode::ModelError => (424, "ModelErrorException"),
        },
    }
}

/// `value` with what a header cannot hold percent-encoded.
pub fn header_value(value: &str) -> HeaderValue {
    let text = utf8_percent_encode(value, CONTROLS).to_string();
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// The form of paths that belong to no other API.
impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        self.of_bedrock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_retry_can_help_has_a_status_that_clients_retry() {
        for code in ErrorCode::ALL {
            let (status, _) = bedrock_error(Reason::Code(*code));
            let is_retried = matches!(status, 429 | 503);
            assert!(!is_retried || code.retryable(), "{}", code.name());
            // Bedrock's own status for a model that does not answer in time.
            assert!(is_retried || !code.retryable() || *code == ErrorCode::ModelTimeout, "{}", code.name());
        }
    }

    #[test]
    fn an_error_names_its_code_scope_and_reset() {
        let error = ErrorBody::new(ErrorCode::BudgetExceeded, "Spent.")
            .with("scope", "costCenter#süd")
            .with("resetsAt", "2026-12-01T00:00:00Z");
        let answer = FinalAnswer::refused(Tags::default(), None, error.clone(), Vec::new());
        let response = ApiError::of_answer(&answer, &error).into_response();
        let header = |name: &str| response.headers().get(name).unwrap().to_str().unwrap();
        assert_eq!(response.status(), 400);
        assert_eq!(header("x-amzn-errortype"), "ServiceQuotaExceededException");
        assert_eq!(header("x-sentry-code"), "BudgetExceeded");
        assert_eq!(header("x-sentry-scope"), "costCenter#s%C3%BCd");
        assert_eq!(header("x-sentry-resets-at"), "2026-12-01T00:00:00Z");
    }
}
