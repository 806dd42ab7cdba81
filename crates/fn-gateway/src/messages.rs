//! Anthropic's Messages API: its request as a document of the sentry, and the sentry's answers, events and errors in its
//! form. It is also the body of `InvokeModel` for models of Anthropic.
//!
//! Source: Claude Docs, "Messages"; Amazon Bedrock User Guide, "Anthropic Claude Messages API".

mod answer;
mod blocks;
mod error;
mod request;

use std::collections::BTreeMap;

use crate::caller::Caller;
use axum::body::Bytes;
use axum::http::HeaderMap;
use sentry_contract::answer::{FinalAnswer, Output};
use sentry_contract::request::Tags;
use sentry_models::adapters::ModelFailure;
use sentry_models::adapters::stream::Event;
use serde_json::Value;

use crate::api::{Asked, Form};
use crate::errors::{ApiError, Reason};
use crate::fields::{Fields, invalid};
use crate::identity::{given_tags, tags};
use crate::invoke_headers::Options;
use crate::native::Native;
use crate::sse;

pub use answer::Messages;
pub use error::error;
pub use request::{Read, read};

/// The header with the version of the API.
const VERSION_HEADER: &str = "anthropic-version";
/// The header with features that are not generally available, separated by commas.
const BETA_HEADER: &str = "anthropic-beta";
/// The tag of the end user, if `userId` is already the user of the key.
const END_USER: &str = "endUserId";

/// The version of the API, which the client chooses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `2023-06-01`, which Amazon Bedrock calls `bedrock-2023-05-31`.
    First,
    /// `2026-10-21`: without sampling parameters. Source: Claude Docs, "Versions".
    Second,
}

impl Version {
    /// Reads the version in the field or header `path`.
    ///
    /// # Errors
    /// If it is none of those whose form the gateway writes.
    pub fn of(path: &str, version: &str) -> Result<Self, ApiError> {
        match version {
            "bedrock-2023-05-31" | "2023-06-01" => Ok(Self::First),
            "2026-10-21" => Ok(Self::Second),
            _ => Err(invalid(path, "must be bedrock-2023-05-31, 2023-06-01 or 2026-10-21")),
        }
    }
}

/// Reads a request to `/v1/messages`.
///
/// # Errors
/// If the request is not acceptable, or claims a tag that contradicts the key.
pub fn asked(caller: &Caller, headers: &HeaderMap, body: &[u8]) -> Result<Asked, ApiError> {
    let version = text_of(headers, VERSION_HEADER)?.ok_or_else(|| invalid(VERSION_HEADER, "is required"))?;
    let version = Version::of(VERSION_HEADER, version)?;
    if let Some(features) = text_of(headers, BETA_HEADER)? {
        features.split(',').try_for_each(|feature| request::known_feature(BETA_HEADER, feature.trim()))?;
    }
    let mut fields = Fields::of_body(body)?;
    let model = fields.required_text("model")?;
    let in_events = fields.typed("stream", "true or false")?.unwrap_or(false);
    let mut read = read(fields, version)?;
    let mut given = given_tags(headers)?;
    given.extend(Options::of(headers, in_events)?.apply(&mut read.prompt)?);
    let tags = tags(caller, with_user(caller, given, read.user))?;
    let document = read.prompt.document(&model, &tags)?;
    Ok(Asked { document, in_events, form: Box::new(Served(Messages::new(read.only_stop))) })
}

/// The text of a header.
///
/// # Errors
/// If it is not ASCII.
fn text_of<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, ApiError> {
    let header = headers.get(name).map(|value| value.to_str()).transpose();
    header.map_err(|_| invalid(name, "must be ASCII"))
}

/// `tags` with the end user that a request names. The caller's tags or the given ones may already name a user, who keeps the tag `userId`.
pub fn with_user(
    caller: &Caller,
    mut tags: BTreeMap<String, String>,
    user: Option<String>,
) -> BTreeMap<String, String> {
    if let Some(user) = user {
        let named = tags.contains_key(Tags::USER_ID) || caller.tags.contains_key(Tags::USER_ID);
        tags.entry(if named { END_USER } else { Tags::USER_ID }.to_owned()).or_insert(user);
    }
    tags
}

/// Messages over HTTP, with server-sent events.
struct Served(Messages);

impl Served {
    fn events(parts: Vec<Value>) -> Bytes {
        let name = |part: &Value| part.get("type").and_then(Value::as_str).unwrap_or_default().to_owned();
        parts.iter().flat_map(|part| sse::event(&name(part), part)).collect()
    }
}

impl Form for Served {
    fn whole(&self, answer: &FinalAnswer, output: &Output, _latency_ms: u64) -> Value {
        self.0.whole(answer, output)
    }

    fn headers(&self, answer: &FinalAnswer, _latency_ms: u64) -> Vec<(&'static str, String)> {
        // Anthropic's clients show this header as the id of a request.
        answer.tags.get(Tags::REQUEST_ID).map(|id| ("request-id", id.to_owned())).into_iter().collect()
    }

    fn begin(&mut self, request_id: &str, model: &str) {
        self.0.begin(request_id, model);
    }

    fn content_type(&self) -> &'static str {
        sse::EVENT_STREAM
    }

    fn event(&mut self, event: &Event) -> Bytes {
        Self::events(self.0.parts(event))
    }

    fn broken(&mut self, failure: &ModelFailure) -> Bytes {
        let message = format!("{} [sentry: {}]", failure.error.message, failure.error.code.name());
        Self::events(vec![error::body(Reason::Code(failure.error.code), &message)])
    }

    fn end(&mut self, answer: &FinalAnswer) -> Bytes {
        let Some(usage) = &answer.usage else {
            let unknown = ApiError::of_refusal(answer);
            return Self::events(vec![error::body(unknown.reason, &unknown.message)]);
        };
        Self::events(self.0.end(usage))
    }
}

#[cfg(test)]
mod tests;
