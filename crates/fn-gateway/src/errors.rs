//! Errors as Bedrock returns them: a status, a type in a header, and a message.

use axum::Json;
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use percent_encoding::{CONTROLS, utf8_percent_encode};
use sentry_contract::answer::FinalAnswer;
use sentry_contract::request::Tags;
use sentry_contract::{ErrorBody, ErrorCode};
use serde_json::{Value, json};

/// An error of Bedrock's API.
#[derive(Debug)]
pub struct ApiError {
    /// Status of the answer. An SDK retries 429 and 503.
    pub status: StatusCode,
    /// The name of the exception.
    pub kind: &'static str,
    message: String,
    /// Headers of the sentry.
    headers: Vec<(&'static str, String)>,
}

impl ApiError {
    fn new(status: u16, kind: &'static str, message: impl Into<String>) -> Self {
        let status = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        Self { status, kind, message: message.into(), headers: Vec::new() }
    }

    /// The error for every kind of key that is not valid, so that a caller cannot tell them apart.
    pub fn no_key() -> Self {
        Self::new(401, "UnrecognizedClientException", "The key is missing or not valid.")
    }

    /// The error if the table of keys cannot be read.
    pub fn keys_unavailable() -> Self {
        Self::new(503, "ServiceUnavailableException", "The key could not be checked; try again.")
    }

    /// The error if the gateway itself fails in the middle of a request. What it held stays until it expires.
    pub fn unfinished() -> Self {
        Self::new(
            500,
            "InternalServerException",
            "The gateway could not finish the request; its hold expires by itself.",
        )
    }

    /// The error for something that the key does not permit.
    pub fn access_denied(message: &str) -> Self {
        Self::new(403, "AccessDeniedException", message)
    }

    /// The error for a request that is not acceptable.
    pub fn validation(message: &str) -> Self {
        Self::new(400, "ValidationException", message)
    }

    /// The error for a path that does not exist.
    pub fn unknown_path() -> Self {
        Self::new(404, "UnknownOperationException", "The gateway has no such path; see docs/CONTRACT.md.")
    }

    /// The error of an answer that has one.
    pub fn of_answer(answer: &FinalAnswer, error: &ErrorBody) -> Self {
        let (status, kind) = bedrock_error(error.code);
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
        Self { headers, ..Self::new(status, kind, message) }
    }
}

/// Bedrock's status and exception for a code of the sentry. Source of the pairs: the service model of bedrock-runtime,
/// 2023-09-30, operation Converse. Clients retry 429 and 503, so only codes that a retry can help have them.
fn bedrock_error(code: ErrorCode) -> (u16, &'static str) {
    match code {
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
    }
}

/// `value` with what a header cannot hold percent-encoded.
pub fn header_value(value: &str) -> HeaderValue {
    let text = utf8_percent_encode(value, CONTROLS).to_string();
    HeaderValue::from_str(&text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(json!({"message": self.message}))).into_response();
        let headers = response.headers_mut();
        headers.insert("x-amzn-errortype", HeaderValue::from_static(self.kind));
        for (name, value) in &self.headers {
            headers.insert(*name, header_value(value));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_retry_can_help_has_a_status_that_clients_retry() {
        for code in ErrorCode::ALL {
            let (status, _) = bedrock_error(*code);
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
