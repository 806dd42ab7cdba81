//! Token counts in the headers of InvokeModel's answers, which Bedrock sends for every family, and the SDK does not model.

use sentry_domain::TokenUsage;

use super::body::MOST_TOKENS;

/// What the headers `x-amzn-bedrock-…-token-count` say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HeaderCounts {
    /// `input`
    pub input: Option<u64>,
    /// `output`
    pub output: Option<u64>,
    /// `cache-read-input`
    pub cache_read: Option<u64>,
    /// `cache-write-input`
    pub cache_write: Option<u64>,
}

impl HeaderCounts {
    /// From the headers, as `header` finds them by name.
    pub fn read<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Self {
        let count = |kind: &str| {
            let tokens = header(&format!("x-amzn-bedrock-{kind}-token-count"))?.parse().ok()?;
            (tokens <= MOST_TOKENS).then_some(tokens)
        };
        Self {
            input: count("input"),
            output: count("output"),
            cache_read: count("cache-read-input"),
            cache_write: count("cache-write-input"),
        }
    }

    /// The usage, where both of its main counts are there.
    #[must_use]
    pub fn usage(&self) -> Option<TokenUsage> {
        Some(TokenUsage {
            input: self.input?,
            output: self.output?,
            cache_read: self.cache_read.unwrap_or_default(),
            cache_write: self.cache_write.unwrap_or_default(),
        })
    }
}
