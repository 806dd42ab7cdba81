//! OpenAI's Chat Completions API: its request as a document of the sentry, and the sentry's answer as its response.
//!
//! Source: OpenAI API Reference, "Chat Completions", and the types of openai-python 3.57.0, read in November 2026.

mod content;
mod errors;
mod events;
mod messages;
mod request;
mod response;
mod tools;

use axum::http::HeaderMap;
use chrono::{DateTime, Utc};

use crate::api::Asked;
use crate::caller::Caller;
use crate::errors::ApiError;
use crate::identity::{given_tags, tags};
use crate::messages::with_user;

pub use errors::{error, response_of};
pub use events::Chat;
pub use request::{Request, read_invoked};

/// Reads a request that came at `now`.
///
/// # Errors
/// If the request is not acceptable, or claims a tag that contradicts the caller's.
pub fn asked(caller: &Caller, headers: &HeaderMap, body: &[u8], now: DateTime<Utc>) -> Result<Asked, ApiError> {
    let Request { model, prompt, tags: mut given, user, in_events, with_usage } = request::read(body)?;
    given.extend(given_tags(headers)?);
    let tags = tags(caller, with_user(caller, given, user))?;
    let document = prompt.document(&model, &tags)?;
    let form = Chat::new(now.timestamp(), with_usage);
    Ok(Asked { document, in_events, form: Box::new(form) })
}

#[cfg(test)]
mod tests;
