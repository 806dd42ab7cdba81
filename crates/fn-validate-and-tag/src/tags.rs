//! The rules for the tags of a request.

use sentry_contract::request::Tags;
use sentry_contract::tag_value::usable;
use serde_json::Value;

use crate::field::{Field, Refusal};

/// Limit of tags in a document. With the sentry's own tags, they still fit the 16 pairs of Converse's
/// `requestMetadata`.
const MOST_TAGS: usize = 12;
/// Longest idempotency key, in characters.
const MOST_REQUEST_ID_CHARS: usize = 64;
/// Tags that only the sentry writes.
const RESERVED: [&str; 2] = [Tags::TIMESTAMP, Tags::MODEL_METRIC];

/// Reads `tags`, which must contain an `applicationId`.
pub fn read(field: &Field<'_>) -> Result<Tags, Refusal> {
    let object = field.object()?;
    if let Some(reserved) = object.keys().find(|name| RESERVED.contains(&name.as_str())) {
        return Err(field.required(reserved)?.refuse("is written by the sentry; leave it out"));
    }
    if object.len() > MOST_TAGS {
        return Err(field.refuse(format!("has {} tags; at most {MOST_TAGS} are accepted", object.len())));
    }
    field.required(Tags::APPLICATION_ID)?;
    let mut tags = Tags::default();
    for name in object.keys() {
        usable_name(name).map_err(|problem| field.refuse(problem))?;
        let tag = field.required(name)?;
        if tag.is_nothing() && name != Tags::APPLICATION_ID {
            continue;
        }
        let value = tag.string()?;
        usable(value).map_err(|problem| tag.refuse(problem))?;
        if name == Tags::REQUEST_ID && !is_request_id(value) {
            return Err(tag.refuse(format!("must be 1 to {MOST_REQUEST_ID_CHARS} of A-Z a-z 0-9 _ -")));
        }
        tags.set(name, value);
    }
    Ok(tags)
}

/// The acceptable tags of a refused document. They allow the client to identify the answer.
pub fn acceptable(document: &Value) -> Tags {
    let given = document.get("tags").and_then(Value::as_object);
    let acceptable = given.into_iter().flatten().filter_map(|(name, value)| {
        let value = value.as_str()?;
        let fine = usable_name(name).is_ok()
            && usable(value).is_ok()
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

/// Checks that `name` is ASCII and follows the rules for values.
fn usable_name(name: &str) -> Result<(), String> {
    if !name.is_ascii() {
        return Err("has a name that must have ASCII characters only".to_owned());
    }
    usable(name).map_err(|problem| format!("has a name that {problem}"))
}
