//! Tags in the form of Bedrock's own operations.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde_json::Value;

use crate::error::ApiError;
use crate::fields::Fields;

/// The most tags of a resource that a user may set.
///
/// Source: AWS General Reference, "Tagging AWS resources".
pub const MOST_TAGS: usize = 50;
const MOST_KEY: usize = 128;
const MOST_VALUE: usize = 256;
/// The tags in the list `name`, as `CreateInferenceProfile` and `TagResource` have it.
pub fn tags(fields: &Fields<'_>, name: &'static str) -> Result<BTreeMap<String, String>, ApiError> {
    let mut tags = BTreeMap::new();
    for tag in fields.list(name)?.into_iter().flatten() {
        let text = |field: &str| tag.get(field).and_then(Value::as_str);
        let (Some(key), Some(value)) = (text("key"), text("value")) else {
            return Err(ApiError::validation("A tag has no key or no value."));
        };
        let is_key = !key.is_empty() && key.chars().count() <= MOST_KEY && key.chars().all(is_allowed);
        if !is_key || value.chars().count() > MOST_VALUE || !value.chars().all(is_allowed) {
            return Err(ApiError::validation(
                "1 validation error detected: Value at 'tags' failed to satisfy constraint: Member must satisfy regular \
                 expression pattern: [a-zA-Z0-9\\s._:/=+@-]*",
            ));
        }
        if tags.insert(key.to_owned(), value.to_owned()).is_some() {
            return Err(ApiError::validation("Duplicate tag keys found."));
        }
    }
    if tags.len() > MOST_TAGS { Err(too_many()) } else { Ok(tags) }
}

/// Characters of keys and values, by the service model: `[a-zA-Z0-9\s._:/=+@-]*`.
fn is_allowed(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter.is_whitespace() || "._:/=+@-".contains(letter)
}

/// The error for more than [`MOST_TAGS`] tags.
pub fn too_many() -> ApiError {
    ApiError::new(
        "TooManyTagsException",
        StatusCode::BAD_REQUEST,
        "The request contains more tags than can be associated with a resource (50).",
    )
}
