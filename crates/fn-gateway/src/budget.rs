//! The caller's budgets, as JSON or as a page. Nothing is held.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::rejection::FormRejection;
use axum::extract::{Query, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Form, Json};
use chrono::Utc;
use sentry_contract::request::Tags;
use sentry_contract::states::LimitsFound;
use sentry_lambda::Failure;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::caller::Caller;
use crate::converse;
use crate::errors::ApiError;
use crate::gateway::Gateway;
use crate::identity::{given_tags, identify, tags};
use crate::page::{self, Budgets};

/// The query of `GET /v1/budget`.
#[derive(Deserialize)]
pub struct Wanted {
    model: Option<String>,
}

/// The form of the page. A browser sends the key in the body of a request, so that it is in no URL.
#[derive(Deserialize)]
pub struct Entered {
    key: String,
    #[serde(default)]
    model: String,
}

/// `GET /v1/budget`. A browser gets the page.
///
/// # Errors
/// If the caller is unknown, or the budgets cannot be read.
pub async fn show(
    State(gateway): State<Arc<Gateway>>,
    Query(wanted): Query<Wanted>,
    head: Parts,
) -> Result<Response, ApiError> {
    let is_browser = wants_page(&head.headers);
    if is_browser && !head.headers.contains_key(header::AUTHORIZATION) {
        return Ok(page::entry(StatusCode::OK, None));
    }
    let found = async {
        let caller = identify(&gateway.callers, &head, Utc::now()).await?;
        let budgets = budgets(&gateway, &caller, wanted.model, given_tags(&head.headers)?).await?;
        Ok((caller, budgets))
    };
    match (found.await, is_browser) {
        (Ok((caller, budgets)), true) => Ok(page::budgets(&caller, &budgets, Utc::now())),
        (Ok((_, budgets)), false) => Ok(Json(document(&budgets)).into_response()),
        (Err(error), true) => Ok(page::failed(&error)),
        (Err(error), false) => Err(error),
    }
}

/// `POST /v1/budget`: the page, for the key of the form.
pub async fn entered(
    State(gateway): State<Arc<Gateway>>,
    mut head: Parts,
    entered: Result<Form<Entered>, FormRejection>,
) -> Response {
    let Ok(Form(Entered { key, model })) = entered else {
        return page::entry(StatusCode::BAD_REQUEST, Some("The form could not be read."));
    };
    // The key is sent on as a program would send it. A text that no header can have is no key.
    head.headers.remove(header::AUTHORIZATION);
    if let Ok(bearer) = HeaderValue::from_str(&format!("Bearer {}", key.trim())) {
        head.headers.insert(header::AUTHORIZATION, bearer);
    }
    let model = Some(model.trim().to_owned()).filter(|model| !model.is_empty());
    let found = async {
        let caller = identify(&gateway.callers, &head, Utc::now()).await?;
        let budgets = budgets(&gateway, &caller, model, BTreeMap::new()).await?;
        Ok((caller, budgets))
    };
    match found.await {
        Ok((caller, budgets)) => page::budgets(&caller, &budgets, Utc::now()),
        Err(error) => page::failed(&error),
    }
}

/// `true` for a browser. Other clients accept everything, or JSON.
fn wants_page(headers: &HeaderMap) -> bool {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    accept.is_some_and(|accept| accept.contains("text/html"))
}

/// The budgets of `caller` for requests to `model`. Without a model, those for its first model, or those of its tags
/// alone.
async fn budgets(
    gateway: &Gateway,
    caller: &Caller,
    model: Option<String>,
    given: BTreeMap<String, String>,
) -> Result<Budgets, ApiError> {
    let first = || caller.models.as_ref().and_then(|models| models.first().cloned());
    let tags = tags(caller, given)?;
    match model.or_else(first) {
        Some(model) => of_model(gateway, caller, model, &tags).await,
        None => of_tags(gateway, Tags(tags)).await,
    }
}

/// The budgets that a request to `model` would have to fit.
async fn of_model(
    gateway: &Gateway,
    caller: &Caller,
    model: String,
    tags: &BTreeMap<String, String>,
) -> Result<Budgets, ApiError> {
    let document = smallest(&model, tags)?;
    let (entries, error) = match gateway.steps.preview(&document, caller).await {
        Ok(entries) => (entries, None),
        Err(answer) => match answer.budget.clone() {
            Some(entries) => (entries, answer.error),
            None => return Err(ApiError::of_refusal(&answer)),
        },
    };
    Ok(Budgets { model: Some(model), entries, error })
}

/// The budgets of `tags`, whatever model a request calls.
async fn of_tags(gateway: &Gateway, tags: Tags) -> Result<Budgets, ApiError> {
    let now = Utc::now();
    let (steps, model) = (&gateway.steps, None);
    match steps.limits.of_tags(&tags, now).await.map_err(unavailable)? {
        LimitsFound::Found { limits } => {
            let entries = steps.reserver.figures(&limits.tags, now).await.map_err(unavailable)?;
            Ok(Budgets { model, entries, error: None })
        }
        LimitsFound::Denied { denial } => Ok(Budgets { model, entries: Vec::new(), error: Some(*denial) }),
    }
}

fn unavailable(failure: Failure) -> ApiError {
    tracing::error!(cause = %failure, "the budgets of a caller cannot be read");
    ApiError::table_unavailable("The budgets could not be read; try again.")
}

/// The budgets as JSON.
fn document(Budgets { model, entries, error }: &Budgets) -> Value {
    let fits = model.as_ref().map(|_| json!(error.is_none()));
    let fields = [
        ("model", model.as_ref().map(|model| json!(model))),
        ("smallestRequestFits", fits),
        ("budget", Some(json!(entries))),
        ("error", error.as_ref().map(|error| json!(error))),
    ];
    let fields = fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(fields.collect::<Map<_, _>>())
}

/// A request for one token.
fn smallest(model: &str, tags: &BTreeMap<String, String>) -> Result<Box<RawValue>, ApiError> {
    let body = json!({"messages": [{"role": "user", "content": [{"text": "."}]}], "inferenceConfig": {"maxTokens": 1}});
    converse::document(model, converse::read(body.to_string().as_bytes())?, tags)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_gets_the_page_and_other_clients_json() {
        let accepts = |value: &str| wants_page(&HeaderMap::from_iter([(header::ACCEPT, value.parse().unwrap())]));
        assert!(accepts("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"));
        assert!(!accepts("*/*") && !accepts("application/json") && !wants_page(&HeaderMap::new()));
    }

    #[test]
    fn the_budgets_of_tags_are_about_no_model() {
        let budgets = Budgets { model: None, entries: Vec::new(), error: None };
        assert_eq!(document(&budgets), json!({"budget": []}));
        let budgets = Budgets { model: Some("nova-lite".into()), ..budgets };
        let expected = json!({"model": "nova-lite", "smallestRequestFits": true, "budget": []});
        assert_eq!(document(&budgets), expected);
    }
}
