//! Errors as OpenAI returns them: `{"error": {"message", "type", "param", "code"}}`.
//!
//! Source: OpenAI, "Error codes"; openai-python 3.57.0, `_base_client.py`: it retries 408, 409, 429 and every status from
//! 500, unless the header `x-should-retry` is `false`.

use axum::http::HeaderValue;
use axum::response::Response;
use sentry_contract::ErrorCode;
use sentry_models::adapters::ModelFailure;
use serde_json::{Value, json};

use crate::errors::{ApiError, Reason};

/// How OpenAI reports a reason.
struct Kind {
    status: u16,
    r#type: &'static str,
    code: Option<&'static str>,
    /// `true` if a client can send the same request again by itself.
    retry: bool,
}

const fn kind(status: u16, r#type: &'static str, code: Option<&'static str>) -> Kind {
    Kind { status, r#type, code, retry: false }
}

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";

/// A `ModelTimeout` is not retried by itself: the model may have billed its tokens.
fn kind_of(reason: Reason) -> Kind {
    match reason {
        Reason::NoKey => kind(401, INVALID, Some("invalid_api_key")),
        Reason::KeysUnavailable | Reason::TableUnavailable => Kind { retry: true, ..kind(503, SERVER, None) },
        Reason::Unfinished => kind(500, SERVER, None),
        Reason::AccessDenied => kind(403, INVALID, Some("access_denied")),
        Reason::Validation => kind(400, INVALID, None),
        Reason::NotFound => kind(404, INVALID, Some("model_not_found")),
        Reason::UnknownPath => kind(404, INVALID, Some("unknown_url")),
        Reason::Code(code) => match code {
            ErrorCode::InvalidRequest => kind(400, INVALID, None),
            ErrorCode::ModelRejectedRequest => kind(400, INVALID, Some("model_rejected_request")),
            ErrorCode::OutputTooLarge => kind(400, INVALID, Some("output_too_large")),
            ErrorCode::UnknownModel => kind(404, INVALID, Some("model_not_found")),
            ErrorCode::DuplicateRequest => kind(409, INVALID, Some("duplicate_request")),
            ErrorCode::BudgetExceeded => kind(429, "insufficient_quota", Some("insufficient_quota")),
            ErrorCode::BudgetReserved | ErrorCode::ModelThrottled => {
                Kind { retry: true, ..kind(429, "requests", Some("rate_limit_exceeded")) }
            }
            ErrorCode::LimitNotConfigured => kind(403, INVALID, Some("limit_not_configured")),
            ErrorCode::LimitMalformed => kind(403, INVALID, Some("limit_malformed")),
            ErrorCode::ModelNotPriced => kind(403, INVALID, Some("model_not_priced")),
            ErrorCode::RequestTooLarge => kind(403, INVALID, Some("request_too_large")),
            ErrorCode::Stopped => kind(403, INVALID, Some("stopped")),
            ErrorCode::ModelAccessDenied => kind(403, INVALID, Some("model_access_denied")),
            ErrorCode::UsageUnavailable | ErrorCode::LedgerUnavailable | ErrorCode::ModelUnavailable => {
                Kind { retry: true, ..kind(503, SERVER, None) }
            }
            ErrorCode::ModelTimeout => kind(504, SERVER, Some("model_timeout")),
            ErrorCode::ModelError => kind(500, SERVER, Some("model_error")),
        },
    }
}

/// `error` as OpenAI returns it.
pub fn error(error: &ApiError) -> Response {
    let kind = kind_of(error.reason);
    let param = error.header("x-sentry-path").map(param);
    let mut response = error.respond(kind.status, body(&kind, &error.message, param.as_deref()));
    let retry = if kind.retry { "true" } else { "false" };
    response.headers_mut().insert("x-should-retry", HeaderValue::from_static(retry));
    response
}

/// A result in OpenAI's form.
pub fn response_of(result: Result<Response, ApiError>) -> Response {
    result.unwrap_or_else(|failure| error(&failure))
}

/// The event that ends an answer which broke off.
pub fn of_stream(failure: &ModelFailure) -> Value {
    let code = failure.error.code;
    let message = format!("{} [sentry: {}]", failure.error.message, code.name());
    body(&kind_of(Reason::Code(code)), &message, None)
}

fn body(kind: &Kind, message: &str, param: Option<&str>) -> Value {
    json!({"error": {"message": message, "type": kind.r#type, "param": param, "code": kind.code}})
}

/// OpenAI's name for a path of the document.
fn param(path: &str) -> String {
    match path {
        "prompt.parameters.stop_sequences" => "stop",
        "prompt.toolChoice" => "tool_choice",
        "prompt.serviceTier" => "service_tier",
        "prompt.reasoning" => "reasoning_effort",
        "prompt.outputFormat" => "response_format",
        path => path.strip_prefix("prompt.parameters.").or_else(|| path.strip_prefix("prompt.")).unwrap_or(path),
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_retry_that_can_help_is_left_to_the_client() {
        for code in ErrorCode::ALL {
            let kind = kind_of(Reason::Code(*code));
            assert!(!kind.retry || code.retryable(), "{}", code.name());
            assert!(kind.retry || !code.retryable() || *code == ErrorCode::ModelTimeout, "{}", code.name());
        }
    }

    #[test]
    fn a_budget_that_is_used_up_is_a_quota_and_one_that_is_held_a_rate_limit() {
        let spent = kind_of(Reason::Code(ErrorCode::BudgetExceeded));
        assert_eq!((spent.status, spent.code, spent.retry), (429, Some("insufficient_quota"), false));
        let held = kind_of(Reason::Code(ErrorCode::BudgetReserved));
        assert_eq!((held.status, held.code, held.retry), (429, Some("rate_limit_exceeded"), true));
    }

    #[test]
    fn a_path_of_the_document_is_that_of_the_request() {
        for (path, expected) in [
            ("prompt.parameters.temperature", "temperature"),
            ("prompt.parameters.stop_sequences", "stop"),
            ("prompt.messages[1].content", "messages[1].content"),
            ("model", "model"),
            ("messages[0].name", "messages[0].name"),
        ] {
            assert_eq!(param(path), expected);
        }
    }
}
