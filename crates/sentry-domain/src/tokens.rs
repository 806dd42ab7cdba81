//! The token counts of one model call.

use serde::{Deserialize, Serialize};

/// What one call to a model read and wrote, in tokens.
///
/// `input` excludes cached tokens, as Converse and Anthropic's own format report it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenUsage {
    /// Tokens of the prompt that came from no cache.
    #[serde(rename = "inputTokens")]
    pub input: u64,
    /// Tokens that the model wrote.
    #[serde(rename = "outputTokens")]
    pub output: u64,
    /// Tokens of the prompt that were read from a prompt cache.
    #[serde(rename = "cacheReadInputTokens", default)]
    pub cache_read: u64,
    /// Tokens of the prompt that were written to a prompt cache.
    #[serde(rename = "cacheWriteInputTokens", default)]
    pub cache_write: u64,
}

impl TokenUsage {
    /// Every token that the model read, cached or not: what an `input` limit counts.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_write)
    }

    /// Every token read or written.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.read().saturating_add(self.output)
    }
}
