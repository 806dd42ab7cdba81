//! `maxTokens` and `MaxTokens`: the same structures under the names of Bedrock and those of Step Functions.

use serde_json::Value;

/// Members of Converse's structures whose content is the caller's own JSON, or has keys that are data: their names stay as they are.
///
/// Source: the service model of `bedrock-runtime` (2023-09-30), its documents and maps: `tests/test_native.py` compares them. (The two
/// assessments are a guardrail's trace, which nobody reads here.)
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
/// Its binary values.
const BINARY: [&str; 2] = ["bytes", "redactedContent"];

/// Bedrock's names as Step Functions writes them.
#[must_use]
pub fn pascal(value: Value) -> Value {
    renamed(value, &|name| with_first(name, |first| first.to_ascii_uppercase()))
}

/// Step Functions' names as Bedrock writes them.
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

/// Whether a request, under Bedrock's names, has a binary value in it.
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
