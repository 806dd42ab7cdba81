//! Renames fields between Bedrock (`maxTokens`) and Step Functions (`MaxTokens`). The structures are the same.

use serde_json::Value;

/// Members of Converse's structures that hold the caller's own JSON, or have keys that are data. The names in them are
/// not changed.
///
/// Source: the documents and maps in the service model of `bedrock-runtime` (2023-09-30). `tests/test_native.py`
/// compares the lists. The two assessments are part of a guardrail's trace, which the sentry does not read.
const FREE_FORM: [&str; 8] = [
    "additionalModelRequestFields",
    "additionalModelResponseFields",
    "input",
    "inputAssessment",
    "json",
    "outputAssessments",
    "promptVariables",
    "requestMetadata",
];
/// Members of Converse's structures that hold binary values.
const BINARY: [&str; 2] = ["bytes", "redactedContent"];

/// Converts Bedrock's names to those of Step Functions.
#[must_use]
pub fn pascal(value: Value) -> Value {
    renamed(value, &|name| with_first(name, |first| first.to_ascii_uppercase()))
}

/// Converts the names of Step Functions to those of Bedrock.
#[must_use]
pub fn camel(value: Value) -> Value {
    renamed(value, &lower_first)
}

fn renamed(value: Value, rename: &dyn Fn(&str) -> String) -> Value {
    match value {
        Value::Array(values) => values.into_iter().map(|value| renamed(value, rename)).collect(),
        Value::Object(fields) => {
            let field = |(name, value): (String, Value)| {
                let value = if is_free_form(&name) { value } else { renamed(value, rename) };
                (rename(&name), value)
            };
            Value::Object(fields.into_iter().map(field).collect())
        }
        scalar => scalar,
    }
}

/// `true` if a request with Bedrock's names contains a binary value.
pub fn has_bytes(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(has_bytes),
        Value::Object(fields) => fields
            .iter()
            .any(|(name, value)| BINARY.contains(&name.as_str()) || (!is_free_form(name) && has_bytes(value))),
        _ => false,
    }
}

fn is_free_form(name: &str) -> bool {
    FREE_FORM.contains(&lower_first(name).as_str())
}

fn lower_first(name: &str) -> String {
    with_first(name, |first| first.to_ascii_lowercase())
}

fn with_first(name: &str, change: impl Fn(char) -> char) -> String {
    let mut letters = name.chars();
    letters.next().map(change).into_iter().chain(letters).collect()
}
