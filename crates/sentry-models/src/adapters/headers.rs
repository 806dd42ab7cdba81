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
    /// From the headers, as `header` finds them by name; no counts where one of them is not understood.
    pub fn read<'h>(header: impl Fn(&str) -> Option<&'h str>) -> Self {
        let count = |kind: &str| {
            let header = header(&format!("x-amzn-bedrock-{kind}-token-count"));
            let count = |text: &str| text.parse().ok().filter(|tokens| *tokens <= MOST_TOKENS);
            header.map_or(Some(None), |text| count(text).map(Some))
        };
        let counts = || {
            Some(Self {
                input: count("input")?,
                output: count("output")?,
                cache_read: count("cache-read-input")?,
                cache_write: count("cache-write-input")?,
            })
        };
        counts().unwrap_or_default()
    }

    /// The usage, where both of its main counts are there.
    #[must_use]
    pub fn usage(&self) -> Option<TokenUsage> {
        Some(TokenUsage {
            input: self.input?,
            output: self.output?,
            cache_read: self.cache_read.unwrap_or_default(),
            cache_write: self.cache_write.unwrap_or_default(),
            ..TokenUsage::default()
        })
    }

    /// Whether anything was read or written, as far as it is told.
    pub(super) fn any_above_zero(&self) -> bool {
        let Self { input, output, cache_read, cache_write } = *self;
        [input, output, cache_read, cache_write].into_iter().flatten().any(|tokens| tokens > 0)
    }
}
