//! Kept answers: a client that lost its connection reads the answer that it has paid for.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use fn_settle::Kept;
use sentry_contract::ErrorCode;
use sentry_contract::request::Tags;
use serde::Serialize;
use serde_json::Value;
use serde_json::value::RawValue;
use tracing::error;

use crate::caller::Caller;
use crate::errors::{ApiError, Reason};
use crate::gateway::Gateway;
use crate::identity::identify;

/// Longest id of a request, in characters. Source: docs/CONTRACT.md, `tags.requestId`.
const MOST_ID_CHARS: usize = 64;

/// A kept answer, as a client gets it.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Shown {
    request_id: String,
    state: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    answer: Option<Box<RawValue>>,
}

/// `GET /v1/answers/{requestId}`: the caller's own answer. A missing answer and one of another caller have the same
/// error.
///
/// # Errors
/// If the key is not valid, or there is no such answer of the caller.
pub async fn show(
    State(gateway): State<Arc<Gateway>>,
    Path(request_id): Path<String>,
    head: Parts,
) -> Result<Response, ApiError> {
    let now = Utc::now();
    let caller = identify(&gateway.callers, &head, now).await?;
    let missing = || ApiError::not_found("There is no kept answer with this id.");
    let table = gateway.steps.settler.answers().filter(|_| is_id(&request_id)).ok_or_else(missing)?;
    let application = caller.tags.get(Tags::APPLICATION_ID).ok_or_else(missing)?;
    let found = table.find(application, &request_id, now).await.map_err(|failure| {
        error!(cause = %failure, "a kept answer cannot be read");
        ApiError::table_unavailable("The kept answers could not be read; try again.")
    })?;
    let Kept { state, answer } = found.filter(|kept| is_own(&caller, kept)).ok_or_else(missing)?;
    let answer = answer.and_then(|text| RawValue::from_string(text).ok());
    let mut response = Json(Shown { request_id, state, answer }).into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// `true` if `text` can be the id of a request.
fn is_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !text.is_empty() && text.len() <= MOST_ID_CHARS && text.bytes().all(fits)
}

/// `true` if the request has every tag of `caller`. The tags of a request without an answer are unknown, so only a caller
/// that has nothing but its application can see it.
fn is_own(caller: &Caller, kept: &Kept) -> bool {
    let answer: Option<Value> = kept.answer.as_ref().and_then(|text| serde_json::from_str(text).ok());
    let tags = answer.as_ref().and_then(|answer| answer.get("tags"));
    // The table has found the request by its application.
    let mut others = caller.tags.iter().filter(|(name, _)| **name != Tags::APPLICATION_ID);
    others.all(|(name, value)| tags.and_then(|tags| tags.get(name)?.as_str()) == Some(value))
}

/// `error`, and for a repeated request the place of the first one's answer.
pub fn with_place(mut error: ApiError) -> ApiError {
    let id = error.header("x-sentry-request-id").map(str::to_owned);
    if let (Reason::Code(ErrorCode::DuplicateRequest), Some(id)) = (error.reason, id) {
        let place = format!("/v1/answers/{id}");
        error.message.push_str(&format!(" If it is complete, its answer is kept: GET {place}"));
        error.headers.push(("x-sentry-answer", place));
    }
    error
}

#[cfg(test)]
mod tests {
    use sentry_contract::ErrorBody;
    use sentry_contract::answer::FinalAnswer;

    use super::*;

    fn caller(cost_center: Option<&str>) -> Caller {
        let tags = [("applicationId", Some("helper")), ("costCenter", cost_center)];
        let tags = tags.into_iter().filter_map(|(name, value)| Some((name, value?.to_owned())));
        Caller { shown: "key", tags: tags.collect(), models: None, record: None, ahead: None }
    }

    #[test]
    fn an_answer_belongs_to_the_callers_whose_tags_it_has() {
        let done = |tags: &str| Kept { state: "done".into(), answer: Some(format!(r#"{{"tags": {tags}}}"#)) };
        let of_support = done(r#"{"applicationId": "helper", "costCenter": "support", "environment": "test"}"#);
        assert!(is_own(&caller(Some("support")), &of_support) && is_own(&caller(None), &of_support));
        assert!(!is_own(&caller(Some("sales")), &of_support));
        assert!(!is_own(&caller(Some("support")), &done(r#"{"applicationId": "helper"}"#)));
        let running = Kept { state: "running".into(), answer: None };
        assert!(is_own(&caller(None), &running) && !is_own(&caller(Some("support")), &running));
    }

    #[test]
    fn only_a_text_that_can_be_an_id_is_looked_up() {
        assert!(is_id("order-1_A") && is_id(&"a".repeat(64)));
        for text in ["", "a b", "a/b", "ä", &"a".repeat(65)] {
            assert!(!is_id(text), "{text}");
        }
    }

    #[test]
    fn a_repeated_request_is_told_where_the_first_answer_is() {
        let error = |code| {
            let tags = Tags([("requestId".to_owned(), "order-1".to_owned())].into());
            let body = ErrorBody::new(code, "No.");
            with_place(ApiError::of_answer(&FinalAnswer::refused(tags, None, body.clone(), Vec::new()), &body))
        };
        let duplicate = error(ErrorCode::DuplicateRequest);
        assert_eq!(duplicate.header("x-sentry-answer"), Some("/v1/answers/order-1"));
        assert!(duplicate.message.ends_with("GET /v1/answers/order-1"));
        assert_eq!(error(ErrorCode::BudgetExceeded).header("x-sentry-answer"), None);
    }
}
