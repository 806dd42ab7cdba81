#![doc = include_str!("../README.md")]

mod additions;
mod cache;
mod content;
mod document;
mod estimate;
mod field;
mod profiles;
mod prompt;
mod resolve;
mod tags;

use std::time::Instant;

use chrono::{DateTime, Utc};
use sentry_contract::answer::EarlyAnswer;
use sentry_contract::request::{Request, Tags};
use sentry_contract::states::{Validated, timestamp};
use sentry_contract::{ErrorBody, ErrorCode, MAX_PAYLOAD_BYTES, Outcome, escaped_len};
use sentry_lambda::Failure;
use serde_json::Value;
use serde_json::value::RawValue;
use tracing::error;
use uuid::Uuid;

use crate::document::Draft;
use crate::field::Offence;
pub use crate::resolve::Resolver;

/// Room that a state payload keeps for what stands beside the document, in bytes: tags, budget, ARNs, service metadata.
const REQUEST_RESERVE_BYTES: usize = 4_096;

/// Checks `document` and gives the tagged request, or the answer that says what is wrong with it.
///
/// `now` becomes the timestamp and `id` the `requestId`, unless the document gives one; `at` is the same moment on the clock
/// that ages what was looked up. Nothing is looked up for a document that is wrong in itself. Where the model had to be looked up and
/// could not be, the answer is a denial, `LedgerUnavailable`.
pub async fn validate_and_tag(
    document: &RawValue,
    resolver: &Resolver,
    now: DateTime<Utc>,
    at: Instant,
    id: Uuid,
) -> Validated {
    // The engine sent JSON; what a parser can still dislike is its depth, or half of a surrogate pair.
    let parsed: Value = match serde_json::from_str(document.get()) {
        Ok(parsed) => parsed,
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            let problem = format!(
                "cannot be read at line {line}, column {column}: it is nested too deeply there (more than 127 levels), or has an escape that is no character"
            );
            return invalid(&Value::Null, Offence::new("$", problem), now, id).into();
        }
    };
    let request = match check(&parsed) {
        Ok(draft) => {
            let answer = match resolver.resolve(&draft.requested, at).await {
                Ok(answer) => answer,
                Err(failure) => return unavailable(&parsed, &failure, now, id).into(),
            };
            let fallback = match &answer {
                Ok(resolved) => resolver.fallback(resolved, at).await,
                Err(_) => None,
            };
            answer
                .map_err(|refusal| refusal.at(draft.model_path.clone()))
                .and_then(|resolved| draft.finish(resolved, fallback))
                .and_then(|request| tag(request, now, id))
        }
        Err(offence) => Err(offence),
    };
    match request {
        Ok(request) => request.into(),
        Err(offence) => invalid(&parsed, offence, now, id).into(),
    }
}

fn check(parsed: &Value) -> Result<Draft, Offence> {
    let bytes = parsed.to_string().len();
    if bytes > MAX_PAYLOAD_BYTES {
        return Err(Offence::new("$", format!("has {bytes} bytes; at most {MAX_PAYLOAD_BYTES} are accepted")));
    }
    document::read(parsed)
}

fn tag(mut request: Request, now: DateTime<Utc>, id: Uuid) -> Result<Request, Offence> {
    if request.tags.get(Tags::REQUEST_ID).is_none() {
        request.tags.set(Tags::REQUEST_ID, id.to_string());
    }
    request.tags.set(Tags::TIMESTAMP, timestamp(now));
    request.tags.set(Tags::MODEL_METRIC, request.model.model_metric.clone());
    fits_the_router(&request)?;
    Ok(request)
}

/// The request travels to the model router as a JSON string inside a payload, with every quote escaped once more.
///
/// The estimate stays behind, but is measured as well: some 70 bytes more caution than is needed.
fn fits_the_router(request: &Request) -> Result<(), Offence> {
    let inner = serde_json::to_string(request).map_err(|_| Offence::new("$", "cannot be passed on"))?;
    let bytes = escaped_len(&inner);
    let most = MAX_PAYLOAD_BYTES - REQUEST_RESERVE_BYTES;
    if bytes > most {
        return Err(Offence::new(
            "$",
            format!(
                "takes {bytes} bytes on its way to the model, with quotes and line ends escaped; at most {most} fit. Shorten the prompt"
            ),
        ));
    }
    Ok(())
}

fn invalid(parsed: &Value, offence: Offence, now: DateTime<Utc>, id: Uuid) -> EarlyAnswer {
    let Offence { code, path, problem, details } = offence;
    let error = ErrorBody::new(code, format!("{path} {problem}.")).with("path", path);
    refused(parsed, details.into_iter().fold(error, |error, (name, value)| error.with(name, value)), now, id)
}

/// The denial of a request whose model cannot be looked up.
fn unavailable(parsed: &Value, failure: &Failure, now: DateTime<Utc>, id: Uuid) -> EarlyAnswer {
    error!(cause = %failure, "the model cannot be looked up");
    let message = "The model could not be looked up, so nothing was sent to it; try again.";
    refused(parsed, ErrorBody::new(ErrorCode::LedgerUnavailable, message).with("reason", "ModelLookup"), now, id)
}

fn refused(parsed: &Value, error: ErrorBody, now: DateTime<Utc>, id: Uuid) -> EarlyAnswer {
    let mut tags = tags::acceptable(parsed);
    if tags.get(Tags::REQUEST_ID).is_none() {
        tags.set(Tags::REQUEST_ID, id.to_string());
    }
    tags.set(Tags::TIMESTAMP, timestamp(now));
    let outcome = error.code.outcome();
    EarlyAnswer {
        outcome,
        status_code: error.code.status(),
        tags,
        model: document::requested_model(parsed).map(|name| serde_json::json!({"requested": name})),
        error,
        budget: (outcome == Outcome::Denied).then_some([]),
    }
}

#[cfg(test)]
mod rich_tests;
#[cfg(test)]
mod tests;
