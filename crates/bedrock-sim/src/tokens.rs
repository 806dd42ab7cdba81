//! The simulator's token counts. They depend only on the text, which makes them predictable in tests.

use serde_json::{Map, Value};

/// The largest count in Bedrock's wire format, which is a 32-bit signed integer.
pub const MAX_TOKENS: u64 = 2_147_483_647;
const BYTES_PER_TOKEN: u64 = 4;
const TOKENS_PER_MESSAGE: u64 = 3;

/// Input tokens of several messages. A message has its UTF-8 bytes divided by 4, rounded up, plus 3.
pub fn input_tokens<'a>(messages: impl IntoIterator<Item = &'a str>) -> u64 {
    messages.into_iter().map(message_tokens).fold(0, u64::saturating_add).min(MAX_TOKENS)
}

fn message_tokens(text: &str) -> u64 {
    of_bytes(text.len()).saturating_add(TOKENS_PER_MESSAGE)
}

/// Tokens of a text with this number of bytes.
pub fn of_bytes(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(MAX_TOKENS).div_ceil(BYTES_PER_TOKEN)
}

/// Tokens of a JSON object in its most compact form.
pub fn of_json(object: &Map<String, Value>) -> u64 {
    of_bytes(serde_json::to_string(object).map_or(0, |text| text.len()))
}

/// Output tokens of a text, which are its words.
pub fn output_tokens(text: &str) -> u64 {
    u64::try_from(text.split_whitespace().count()).unwrap_or(MAX_TOKENS).min(MAX_TOKENS)
}

/// The token counts of one call.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Input tokens that were neither read from nor written to the prompt cache.
    pub input: u64,
    /// Output tokens, including those of thoughts.
    pub output: u64,
    /// Input tokens read from the prompt cache. `None` if neither the request nor a directive uses the cache.
    pub cache_read: Option<u64>,
    /// Input tokens written to the prompt cache. `None` if neither the request nor a directive uses the cache.
    pub cache_write: Option<u64>,
    /// The part of `cache_write` that is kept for one hour.
    pub cache_write_long: u64,
}

impl Usage {
    /// All tokens of the call, including cached tokens.
    pub fn total(&self) -> u64 {
        [self.output, self.cache_read.unwrap_or(0), self.cache_write.unwrap_or(0)]
            .into_iter()
            .fold(self.input, u64::saturating_add)
            .min(MAX_TOKENS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_is_a_quarter_of_the_bytes_rounded_up_plus_three_a_message() {
        assert_eq!(input_tokens([]), 0);
        assert_eq!(input_tokens([""]), 3);
        assert_eq!(input_tokens(["abcd"]), 4);
        assert_eq!(input_tokens(["abcde"]), 5);
        assert_eq!(input_tokens(["éé", "abcd"]), 8);
    }

    #[test]
    fn output_is_the_words() {
        assert_eq!(output_tokens(""), 0);
        assert_eq!(output_tokens(" one  two\nthree "), 3);
    }

    #[test]
    fn the_total_has_every_token() {
        let usage = Usage { input: 1, output: 2, cache_read: Some(3), cache_write: Some(4), cache_write_long: 1 };
        assert_eq!(usage.total(), 10);
        assert_eq!(Usage { input: MAX_TOKENS, ..usage }.total(), MAX_TOKENS);
    }
}
