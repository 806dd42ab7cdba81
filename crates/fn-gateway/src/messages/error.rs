//! Errors as Anthropic returns them.

use axum::http::HeaderValue;
use axum::response::Response;
use sentry_contract::ErrorCode;
use serde_json::{Value, json};

use crate::errors::{ApiError, Reason};

/// The response with an error. Anthropic's clients repeat a request if and only if `x-should-retry` is `true`.
pub fn error(error: &ApiError) -> Response {
    let (_, status) = kind(error.reason);
    let mut response = error.respond(status, body(error.reason, &error.message));
    let again = if matches!(status, 429 | 529) { "true" } else { "false" };
    response.headers_mut().insert("x-should-retry", HeaderValue::from_static(again));
    if let Some(id) = response.headers().get("x-sentry-request-id").cloned() {
        response.headers_mut().insert("request-id", id);
    }
    response
}

/// The body of an error, and the last event of a stream that has one.
pub fn body(reason: Reason, message: &str) -> Value {
    let (kind, _) = kind(reason);
    json!({"type": "error", "error": {"type": kind, "message": message}})
}

/// Anthropic's type and status for a reason. Source of the pairs: Claude Docs, "Errors". A budget that is used up is a
/// `billing_error`, because no client repeats a 402.
fn kind(reason: Reason) -> (&'static str, u16) {
    match reason {
        Reason::NoKey => ("authentication_error", 401),
        Reason::KeysUnavailable | Reason::TableUnavailable => ("overloaded_error", 529),
        Reason::Unfinished => ("api_error", 500),
        Reason::AccessDenied => ("permission_error", 403),
        Reason::Validation => ("invalid_request_error", 400),
        Reason::UnknownPath | Reason::NotFound => ("not_found_error", 404),
        Reason::Code(code) => match code {
            ErrorCode::InvalidRequest | ErrorCode::ModelRejectedRequest => ("invalid_request_error", 400),
            ErrorCode::UnknownModel => ("not_found_error", 404),
            ErrorCode::DuplicateRequest => ("invalid_request_error", 409),
            ErrorCode::BudgetExceeded => ("billing_error", 402),
            ErrorCode::BudgetReserved | ErrorCode::ModelThrottled => ("rate_limit_error", 429),
            ErrorCode::LimitNotConfigured
            | ErrorCode::LimitMalformed
            | ErrorCode::ModelNotPriced
            | ErrorCode::RequestTooLarge
            | ErrorCode::Stopped
            | ErrorCode::ModelAccessDenied => ("permission_error", 403),
            ErrorCode::UsageUnavailable | ErrorCode::LedgerUnavailable | ErrorCode::ModelUnavailable => {
                ("overloaded_error", 529)
            }
            ErrorCode::ModelTimeout => ("timeout_error", 504),
            ErrorCode::ModelError | ErrorCode::OutputTooLarge => ("api_error", 500),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_retry_can_help_says_so() {
        for code in ErrorCode::ALL {
            let response =
                error(&ApiError { reason: Reason::Code(*code), message: String::new(), headers: Vec::new() });
            let again = response.headers().get("x-should-retry").unwrap() == "true";
            // The tokens of a model that does not answer in time may have been billed.
            assert_eq!(again, code.retryable() && *code != ErrorCode::ModelTimeout, "{}", code.name());
        }
    }
}
