//! The rules for tags.

use sentry_contract::request::Tags;
use serde_json::Value;

use crate::field::{Field, Offence};

/// Most tags in a document: with the sentry's own they still fit the 16 pairs of Converse's `requestMetadata`.
const MOST_TAGS: usize = 12;
/// Longest value of a CloudWatch dimension that is accepted, in characters.
const MOST_CHARS: usize = 255;
/// Longest idempotency key, in characters.
const MOST_REQUEST_ID_CHARS: usize = 64;
/// Tags that only the sentry writes.
const RESERVED: [&str; 2] = [Tags::TIMESTAMP, Tags::MODEL_METRIC];

/// Reads `tags`, which must hold an `applicationId`.
pub fn read(field: &Field<'_>) -> Result<Tags, Offence> {
    let object = field.object()?;
    if let Some(reserved) = object.keys().find(|name| RESERVED.contains(&name.as_str())) {
        return Err(field.required(reserved)?.offence("is written by the sentry; leave it out"));
    }
    if object.len() > MOST_TAGS {
        return Err(field.offence(format!("has {} tags; at most {MOST_TAGS} are accepted", object.len())));
    }
    field.required(Tags::APPLICATION_ID)?;
    let mut tags = Tags::default();
    for name in object.keys() {
        usable("has a name that", name).map_err(|problem| field.offence(problem))?;
        let tag = field.required(name)?;
        let value = tag.string()?;
        usable("", value).map_err(|problem| tag.offence(problem))?;
        if name == Tags::REQUEST_ID && !is_request_id(value) {
            return Err(tag.offence(format!("must be 1 to {MOST_REQUEST_ID_CHARS} of A-Z a-z 0-9 _ -")));
        }
        tags.set(name, value);
    }
    Ok(tags)
}

/// The tags of a document that is refused, as far as they are acceptable, so that its answer can be found again.
pub fn acceptable(document: &Value) -> Tags {
    let given = document.get("tags").and_then(Value::as_object);
    let acceptable = given.into_iter().flatten().filter_map(|(name, value)| {
        let value = value.as_str()?;
        let fine = usable("", name).is_ok()
            && usable("", value).is_ok()
            && !RESERVED.contains(&name.as_str())
            && (name != Tags::REQUEST_ID || is_request_id(value));
        fine.then(|| (name.clone(), value.to_owned()))
    });
    Tags(acceptable.take(MOST_TAGS).collect())
}

fn is_request_id(value: &str) -> bool {
    (1..=MOST_REQUEST_ID_CHARS).contains(&value.len())
        && value.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
}

/// Whether `text` can be the value of a CloudWatch dimension, and is no other spelling of a value that looks the same.
///
/// Source: Amazon CloudWatch API Reference, `Dimension`: ASCII, at least one character that is not a space, no control
/// characters, not starting with a colon.
fn usable(what: &str, text: &str) -> Result<(), String> {
    let problem = if text.is_empty() {
        "must not be empty".to_owned()
    } else if !text.is_ascii() {
        "must have ASCII characters only".to_owned()
    } else if text.len() > MOST_CHARS {
        format!("must have at most {MOST_CHARS} characters")
    } else if text.bytes().any(|byte| byte.is_ascii_control()) {
        "must have no control characters".to_owned()
    } else if text.starts_with(':') {
        "must not start with a colon".to_owned()
    } else if text.trim().is_empty() {
        "must have a character that is not a space".to_owned()
    } else if text.trim() != text {
        // Two spellings that look alike would have two budgets.
        "must not begin or end with a space".to_owned()
    } else {
        return Ok(());
    };
    Err(format!("{what} {problem}").trim_start().to_owned())
}
