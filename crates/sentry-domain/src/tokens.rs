//! The token counts of one model call.

use serde::{Deserialize, Serialize};

/// The way in which Bedrock processes a request, which decides the rates. The names are those of Converse's
/// `serviceTier`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ServiceTier {
    /// On demand, at the standard rates.
    #[default]
    Default,
    /// Slower, at lower rates.
    Flex,
    /// Faster, at higher rates.
    Priority,
    /// Capacity that is paid by the hour. Its tokens have no rates.
    Reserved,
}

impl ServiceTier {
    /// Every tier, in order of declaration.
    pub const ALL: &'static [Self] = &[Self::Default, Self::Flex, Self::Priority, Self::Reserved];

    /// The name, as documents write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::Flex => "flex",
            Self::Priority => "priority",
            Self::Reserved => "reserved",
        }
    }
}

/// The lifetime of an entry in a prompt cache. The names are those of Converse's `ttl`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CacheTtl {
    /// A lifetime of five minutes, Bedrock's default.
    #[default]
    #[serde(rename = "5m")]
    FiveMinutes,
    /// A lifetime of one hour.
    #[serde(rename = "1h")]
    OneHour,
}

impl CacheTtl {
    /// Every lifetime, in ascending order.
    pub const ALL: &'static [Self] = &[Self::FiveMinutes, Self::OneHour];

    /// The name, as documents write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::FiveMinutes => "5m",
            Self::OneHour => "1h",
        }
    }
}

/// The tokens that one model call read and wrote, and the tier that processed it.
///
/// `input` excludes cached tokens, as in Converse and in Anthropic's own format. The names with a capital are those of Step
/// Functions' service integration.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenUsage {
    /// Prompt tokens that are neither read from a cache nor written to one.
    #[serde(rename = "inputTokens", alias = "InputTokens")]
    pub input: u64,
    /// Tokens that the model wrote.
    #[serde(rename = "outputTokens", alias = "OutputTokens")]
    pub output: u64,
    /// Prompt tokens that were read from a prompt cache.
    #[serde(rename = "cacheReadInputTokens", alias = "CacheReadInputTokens", default)]
    pub cache_read: u64,
    /// Prompt tokens that were written to a prompt cache, with any lifetime.
    #[serde(rename = "cacheWriteInputTokens", alias = "CacheWriteInputTokens", default)]
    pub cache_write: u64,
    /// The part of `cache_write` that is kept for one hour. The rest is kept for five minutes.
    #[serde(skip)]
    pub cache_write_1h: u64,
    /// The tier that processed the call.
    #[serde(skip)]
    pub tier: ServiceTier,
}

impl TokenUsage {
    /// All tokens that the model read, cached or not. An `input` limit counts these.
    #[must_use]
    pub fn read(&self) -> u64 {
        self.input.saturating_add(self.cache_read).saturating_add(self.cache_write)
    }

    /// All tokens that were read or written.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.read().saturating_add(self.output)
    }

    /// The part of `cache_write` that is kept for five minutes.
    #[must_use]
    pub const fn cache_write_5m(&self) -> u64 {
        self.cache_write.saturating_sub(self.cache_write_1h)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_written_as_bedrock_writes_them() {
        for tier in ServiceTier::ALL {
            assert_eq!(serde_json::to_value(tier).unwrap(), tier.name());
        }
        for ttl in CacheTtl::ALL {
            assert_eq!(serde_json::to_value(ttl).unwrap(), ttl.name());
        }
    }
}
