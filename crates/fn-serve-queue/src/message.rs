//! A message of the queue as a request with an identity.

use std::collections::BTreeMap;

use sentry_contract::sizes::{MAX_DOCUMENT_BYTES, MAX_PAYLOAD_BYTES};
use sentry_contract::{ErrorBody, ErrorCode, Sealed};
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use thiserror::Error as ThisError;

use sentry_lambda::sqs::Record;

/// Attribute with the ARN of the queue that receives the answer.
pub(crate) const REPLY_TO: &str = "ReplyTo";
/// Attribute that says if a request waits for the reset of a budget that is used up.
pub(crate) const WHEN_EXCEEDED: &str = "WhenExceeded";
/// Attribute with the first id of a message that the function has sent again.
pub(crate) const FIRST_ID: &str = "FirstMessageId";

/// Longest application id, in characters. The same as of every tag.
const MOST_CHARACTERS: usize = 255;

/// The message has no place for an answer, so it becomes a dead letter. No variant contains text of the body.
#[derive(Debug, PartialEq, Eq, ThisError)]
pub enum Poison {
    /// The body is not JSON.
    #[error("the body is not JSON: {0} error at line {1}, column {2}")]
    NoJson(&'static str, usize, usize),
    /// The body is JSON, but no document of a request.
    #[error("the body is not a JSON object with an object `tags`")]
    NoDocument,
    /// Answers are kept by application.
    #[error("tags.applicationId is missing or is not text of 1 to 255 characters, so the answer has no place")]
    NoApplication,
}

/// A request that has a place for its answer.
#[derive(Clone, PartialEq)]
pub struct Asked {
    /// The tag `applicationId`, the first part of the answer's key.
    pub application_id: String,
    /// The tag `requestId`, or else the id of the message.
    pub request_id: String,
    /// The id that SQS gave the message when it was sent for the first time.
    pub first_id: String,
    /// SHA-256 of the body, in hexadecimal digits.
    pub digest: String,
    /// The document with its `requestId`, as the rate limiter receives it: packed if it is too large otherwise. Empty if it
    /// is refused because of its size.
    pub document: String,
    /// The ARN of the queue that receives the answer.
    pub reply_to: Option<String>,
    /// `true` if the request waits for the reset of a budget that is used up.
    pub waits_for_reset: bool,
    /// The cause that refuses the request before the rate limiter sees it.
    pub refusal: Option<ErrorBody>,
    /// The tags of the document that are text.
    pub tags: Value,
}

impl Asked {
    /// Reads a message. `reply_queues` are the ARNs of queues that may receive answers.
    ///
    /// # Errors
    /// If the answer has no place.
    pub fn read(record: &Record, reply_queues: &[String]) -> Result<Self, Poison> {
        let fields = fields(&record.body)?;
        let tags: BTreeMap<String, Value> =
            fields.get("tags").and_then(|tags| serde_json::from_str(tags.get()).ok()).ok_or(Poison::NoDocument)?;
        let application = tags.get("applicationId").and_then(Value::as_str);
        let application = application.filter(|id| !id.is_empty() && id.chars().count() <= MOST_CHARACTERS);
        let application_id = application.ok_or(Poison::NoApplication)?.to_owned();
        let first_id = record.attribute(FIRST_ID).filter(|id| is_request_id(id)).unwrap_or(&record.message_id);
        let given = tags.get("requestId").filter(|id| !id.is_null() && id.as_str() != Some(""));
        let document = if given.is_some() { record.body.clone() } else { with_request_id(&record.body, first_id)? };
        let request_id = given.and_then(Value::as_str).filter(|id| is_request_id(id)).unwrap_or(first_id).to_owned();
        let written = document.len();
        let document = fitted(document);
        let refusal = refusal(record, written, document.as_deref(), reply_queues);
        Ok(Self {
            application_id,
            request_id,
            first_id: first_id.to_owned(),
            digest: format!("{:x}", Hex(&Sha256::digest(&record.body))),
            document: document.unwrap_or_default(),
            reply_to: record.attribute(REPLY_TO).filter(|arn| reply_queues.iter().any(|it| it == arn)).map(Into::into),
            waits_for_reset: record.attribute(WHEN_EXCEEDED) == Some("wait"),
            refusal,
            tags: tags.into_iter().filter(|(_, value)| value.is_string()).collect(),
        })
    }
}

/// Bytes that are written as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl std::fmt::LowerHex for Hex<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// `true` if a text is a valid `tags.requestId`.
fn is_request_id(id: &str) -> bool {
    (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte))
}

fn fields(text: &str) -> Result<BTreeMap<String, Box<RawValue>>, Poison> {
    serde_json::from_str(text).map_err(|error| match error.classify() {
        serde_json::error::Category::Data => Poison::NoDocument,
        category => {
            let what = if category == serde_json::error::Category::Eof { "end" } else { "syntax" };
            Poison::NoJson(what, error.line(), error.column())
        }
    })
}

/// The document with a `requestId`. Every other field stays as it is written, numbers included.
fn with_request_id(body: &str, request_id: &str) -> Result<String, Poison> {
    let mut document = fields(body)?;
    let tags = document.get("tags").ok_or(Poison::NoDocument)?;
    let mut tags: BTreeMap<String, Box<RawValue>> =
        Deserialize::deserialize(&mut serde_json::Deserializer::from_str(tags.get()))
            .map_err(|_| Poison::NoDocument)?;
    let id = serde_json::value::to_raw_value(request_id).map_err(|_| Poison::NoDocument)?;
    tags.insert("requestId".to_owned(), id);
    let tags = serde_json::value::to_raw_value(&tags).map_err(|_| Poison::NoDocument)?;
    document.insert("tags".to_owned(), tags);
    serde_json::to_string(&document).map_err(|_| Poison::NoDocument)
}

/// The input of an execution for `document`. It is packed if it is larger than an input can be. `None` if it is too large
/// in spite of that.
fn fitted(document: String) -> Option<String> {
    if document.len() <= MAX_PAYLOAD_BYTES {
        return Some(document);
    }
    if document.len() > MAX_DOCUMENT_BYTES {
        return None;
    }
    let raw: &RawValue = serde_json::from_str(&document).ok()?;
    let packed = json!({"packed": Sealed::new(&raw).ok()?}).to_string();
    (packed.len() <= MAX_PAYLOAD_BYTES).then_some(packed)
}

/// The refusal of a message whose attributes are not understood, or whose document, of `written` bytes, does not fit into
/// the input of an execution.
fn refusal(record: &Record, written: usize, document: Option<&str>, reply_queues: &[String]) -> Option<ErrorBody> {
    let refused = |path: &str, message: String| {
        Some(ErrorBody::new(ErrorCode::InvalidRequest, message).with("path", json!(path)))
    };
    if record.attribute(REPLY_TO).is_some_and(|arn| !reply_queues.iter().any(|allowed| allowed == arn)) {
        let message = "The attribute ReplyTo is not one of the stack's parameter ReplyQueueArns. \
                       Use one of these ARNs, or leave it out and read the answer from the answers table.";
        return refused(REPLY_TO, message.to_owned());
    }
    if record.attribute(WHEN_EXCEEDED).is_some_and(|value| !["wait", "answer"].contains(&value)) {
        return refused(WHEN_EXCEEDED, "The attribute WhenExceeded must be wait or answer.".to_owned());
    }
    if document.is_none() {
        let message = format!(
            "The document has {written} bytes and does not fit into the {MAX_PAYLOAD_BYTES} bytes of an execution when it is packed. \
             Shorten the prompt, or send fewer or smaller pictures and files."
        );
        return refused("$", message);
    }
    None
}

#[cfg(test)]
mod tests;
