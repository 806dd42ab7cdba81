#![doc = include_str!("../README.md")]

mod additions;
mod cache;
mod content;
mod conversation;
mod document;
mod estimate;
mod field;
mod model_refusal;
mod names;
mod numbers;
mod packed;
mod picture;
mod profile_policy;
mod profiles;
mod prompt;
mod resolve;
mod rules;
mod tags;

use std::fmt::Write;
use std::time::Instant;

use chrono::{DateTime, Utc};
use sentry_contract::answer::{AnswerModel, FinalAnswer};
use sentry_contract::request::{Request, Tags, request_key};
use sentry_contract::sizes::{MAX_DOCUMENT_BYTES, MAX_PAYLOAD_BYTES, MAX_REQUEST_BYTES, payload_bytes};
use sentry_contract::states::{Validated, timestamp};
use sentry_contract::{ErrorBody, ErrorCode, Sealed};
use sentry_lambda::Failure;
use sentry_models::Resolved;
use serde_json::Value;
use serde_json::value::RawValue;
use sha2::{Digest, Sha256};
use tracing::{error, warn};
use uuid::Uuid;

pub use crate::additions::{AttributeItem, KEY, read_addition};
use crate::document::{Complete, Draft};
use crate::field::Refusal;
pub use crate::model_refusal::ModelRefusal;
pub use crate::names::ModelName;
pub use crate::profile_policy::{PolicyParameter, ProfilePolicy, ProfilesByTags};
pub use crate::resolve::Resolver;

/// Checks `document`. Returns the tagged request, or the answer that describes the problem.
///
/// `now` becomes the timestamp. `id` becomes the `requestId`, unless the document has one. `at` is the same moment as
/// `now`, on the clock of the caches. A document that is invalid by itself causes no look-up. If a look-up of the model
/// fails, the answer is a denial with the code `LedgerUnavailable`.
pub async fn validate_and_tag(
    document: &RawValue,
    resolver: &Resolver,
    now: DateTime<Utc>,
    at: Instant,
    id: Uuid,
) -> Validated {
    match packed::unpack(document) {
        None => of_document(document, MAX_PAYLOAD_BYTES, resolver, now, at, id).await,
        Some(Ok(unpacked)) => of_document(&unpacked, MAX_DOCUMENT_BYTES, resolver, now, at, id).await,
        Some(Err(problem)) => {
            let problem = format!("cannot be unpacked: {problem}");
            invalid(&Value::Null, Refusal::new("packed", problem), now, id).into()
        }
    }
}

/// Checks a document that may have `most` bytes.
async fn of_document(
    document: &RawValue,
    most: usize,
    resolver: &Resolver,
    now: DateTime<Utc>,
    at: Instant,
    id: Uuid,
) -> Validated {
    // The engine sends valid JSON. The parser can still refuse its depth, a number out of range, or an unpaired
    // surrogate.
    let mut parsed: Value = match serde_json::from_str(document.get()) {
        Ok(parsed) => parsed,
        Err(error) => {
            let (line, column) = (error.line(), error.column());
            let problem = format!(
                "cannot be read at line {line}, column {column}: it is nested too deeply (more than 127 levels), or it has a number out of range or an invalid escape"
            );
            return invalid(&Value::Null, Refusal::new("$", problem), now, id).into();
        }
    };
    let complete = match check(document, &parsed, most) {
        Ok(draft) => match look_up(draft, resolver, now, at).await {
            Ok(complete) => complete,
            Err(failure) => return unavailable(&parsed, &failure, now, id).into(),
        },
        Err(refusal) => Err(refusal),
    };
    match complete.and_then(|complete| seal(complete, digest(&mut parsed), resolver, now, id)) {
        Ok(valid) => valid,
        Err(refusal) => invalid(&parsed, refusal, now, id).into(),
    }
}

/// Completes the draft with its model, the inference profile for its tags, and its fallback.
///
/// # Errors
/// `LedgerUnavailable` if a look-up fails.
async fn look_up(
    mut draft: Draft,
    resolver: &Resolver,
    now: DateTime<Utc>,
    at: Instant,
) -> Result<Result<Complete, Refusal>, Failure> {
    let today = now.date_naive();
    let path = draft.model_path.clone();
    let resolved = match resolver.resolve(&draft.requested, today, at).await? {
        Ok(resolved) => resolved,
        Err(refusal) => return Ok(Err(refusal.at(path))),
    };
    let fallback = resolver.fallback(&resolved, today, at).await;
    let resolved = match resolver.through_profile(resolved, &mut draft.tags, &path, now, at).await? {
        Ok(resolved) => resolved,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let fallback = match fallback {
        Some(fallback) => fallback_through_profile(fallback, &draft, resolver, now, at).await,
        None => None,
    };
    Ok(draft.finish(resolved, fallback))
}

/// The fallback, called through its inference profile. `None` if the policy refuses it, or if a look-up fails.
async fn fallback_through_profile(
    fallback: Resolved,
    draft: &Draft,
    resolver: &Resolver,
    now: DateTime<Utc>,
    at: Instant,
) -> Option<Resolved> {
    let id = fallback.model.model_id.clone();
    let mut tags = draft.tags.clone();
    match resolver.through_profile(fallback, &mut tags, &draft.model_path, now, at).await {
        Ok(Ok(fallback)) => Some(fallback),
        Ok(Err(Refusal { problem, .. })) => {
            warn!(fallback = id, cause = problem, "the fallback cannot be called");
            None
        }
        Err(failure) => {
            warn!(fallback = id, cause = %failure, "the fallback cannot be looked up");
            None
        }
    }
}

fn check(document: &RawValue, parsed: &Value, most: usize) -> Result<Draft, Refusal> {
    let bytes = payload_bytes(parsed).map_err(unwritable)?;
    if bytes > most {
        return Err(Refusal::new("$", format!("has {bytes} bytes; at most {most} are accepted")));
    }
    let draft = document::read(parsed)?;
    numbers::check(document)?;
    Ok(draft)
}

fn unwritable(_: serde_json::Error) -> Refusal {
    Refusal::new("$", "cannot be passed on")
}

/// SHA-256 of the document in hexadecimal digits. White space and the order of fields do not change it, because the fields
/// are sorted here.
fn digest(parsed: &mut Value) -> String {
    parsed.sort_all_objects();
    let mut text = String::new();
    for byte in Sha256::digest(parsed.to_string()) {
        // A write into a text cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The request for the following states: with tags, and with a sealed prompt.
fn seal(
    complete: Complete,
    digest: String,
    resolver: &Resolver,
    now: DateTime<Utc>,
    id: Uuid,
) -> Result<Validated, Refusal> {
    let Complete { mut tags, model, prompt, estimate, fallback, notices } = complete;
    if tags.get(Tags::REQUEST_ID).is_none() {
        tags.set(Tags::REQUEST_ID, id.to_string());
    }
    let tag = |name| tags.get(name).unwrap_or_default();
    let request_key = request_key(tag(Tags::APPLICATION_ID), tag(Tags::REQUEST_ID));
    tags.set(Tags::TIMESTAMP, timestamp(now));
    tags.set(Tags::MODEL_METRIC, model.model_metric.clone());
    let counted_as = resolver.counted_as(&model);
    let sealed = Sealed::new(&prompt).map_err(unwritable)?;
    let request =
        Box::new(Request { tags, request_key, digest: Some(digest), model, estimate, counted_as, fallback, notices });
    let valid = Validated::Valid { valid: true, request, prompt: sealed };
    let bytes = payload_bytes(&valid).map_err(unwritable)?;
    if bytes > MAX_REQUEST_BYTES {
        let problem = format!(
            "has {bytes} bytes when it is packed with its tags; at most {MAX_REQUEST_BYTES} are accepted. Shorten the prompt, or send fewer or smaller pictures and files"
        );
        return Err(Refusal::new("$", problem));
    }
    Ok(valid)
}

fn invalid(parsed: &Value, refusal: Refusal, now: DateTime<Utc>, id: Uuid) -> FinalAnswer {
    let Refusal { code, path, problem, details } = refusal;
    let error = ErrorBody::new(code, format!("{path} {problem}.")).with("path", path);
    refused(parsed, details.into_iter().fold(error, |error, (name, value)| error.with(name, value)), now, id)
}

/// The denial of a request whose model cannot be looked up.
fn unavailable(parsed: &Value, failure: &Failure, now: DateTime<Utc>, id: Uuid) -> FinalAnswer {
    error!(cause = %failure, "the model cannot be looked up");
    let message = "The model could not be looked up, so nothing was sent to it; try again.";
    refused(parsed, ErrorBody::new(ErrorCode::LedgerUnavailable, message).with("reason", "ModelLookup"), now, id)
}

fn refused(parsed: &Value, error: ErrorBody, now: DateTime<Utc>, id: Uuid) -> FinalAnswer {
    let mut tags = tags::acceptable(parsed);
    if tags.get(Tags::REQUEST_ID).is_none() {
        tags.set(Tags::REQUEST_ID, id.to_string());
    }
    tags.set(Tags::TIMESTAMP, timestamp(now));
    let model = document::requested_model(parsed);
    let model = model.map(|name| AnswerModel { requested: name.to_owned(), model_id: None, model_metric: None });
    FinalAnswer::refused(tags, model, error, Vec::new())
}

#[cfg(test)]
mod rich_tests;
#[cfg(test)]
mod tests;
