//! What the formats of InvokeModel have in common: objects without empty fields, and answers that may be anything.

use sentry_domain::TokenUsage;
use serde_json::{Map, Value};

use super::adapter::Refusal;

/// More tokens than this no call has: the largest count that Converse can report.
///
/// Source: Amazon Bedrock API Reference, TokenUsage: integers of 32 bits.
pub const MOST_TOKENS: u64 = i32::MAX as u64;

/// A JSON object in the making.
#[derive(Default)]
pub struct Fields(Map<String, Value>);

impl Fields {
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.to_owned(), value.into());
        self
    }

    /// Leaves the field out where there is no value.
    pub fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(value) => self.with(name, value),
            None => self,
        }
    }

    /// Leaves the field out where the list is empty.
    pub fn list(self, name: &str, values: &[String]) -> Self {
        if values.is_empty() { self } else { self.with(name, values) }
    }

    pub fn done(self) -> Value {
        Value::Object(self.0)
    }
}

/// The string at `pointer` (RFC 6901).
pub fn text<'a>(answer: &'a Value, pointer: &str) -> Option<&'a str> {
    answer.pointer(pointer)?.as_str()
}

/// The number of tokens at `pointer`.
pub fn count(answer: &Value, pointer: &str) -> Option<u64> {
    answer.pointer(pointer)?.as_u64().filter(|tokens| *tokens <= MOST_TOKENS)
}

/// The number of tokens at `pointer`, 0 where there is no such field. One that is not understood is not 0.
pub fn count_or_zero(answer: &Value, pointer: &str) -> Option<u64> {
    answer.pointer(pointer).filter(|value| !value.is_null()).map_or(Some(0), |_| count(answer, pointer))
}

/// The usage without cached tokens, where both counts are there.
pub fn uncached(input: Option<u64>, output: Option<u64>) -> Option<TokenUsage> {
    Some(TokenUsage { input: input?, output: output?, ..TokenUsage::default() })
}

/// The texts of a list of content blocks, one after the other.
pub fn block_texts(answer: &Value, pointer: &str) -> Option<String> {
    let blocks = answer.pointer(pointer)?.as_array()?;
    Some(blocks.iter().filter_map(|block| text(block, "/text")).collect())
}

/// `text`, unless it has a mark that separates turns in the model's template: whoever writes one in a message could speak in another's name.
pub fn without_marks(text: String, marks: &[&str]) -> Result<String, Refusal> {
    if marks.iter().any(|mark| text.contains(mark)) {
        let because = "a message has a mark in it that separates turns in the model's own format";
        return Err(Refusal { parameter: "messages", because });
    }
    Ok(text)
}
