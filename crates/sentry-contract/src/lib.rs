#![doc = include_str!("../README.md")]

pub mod answer;
pub mod content;
pub mod error;
mod prompt;
pub mod request;
pub mod states;
pub mod tools;

pub use error::{ErrorBody, ErrorCode, Outcome};

/// CloudWatch namespace of the sentry's own metrics.
pub const METRIC_NAMESPACE: &str = "GenAIRateLimiting";

/// Largest input, output and state payload of a Step Functions execution, in bytes.
///
/// Source: AWS Step Functions Developer Guide, "Step Functions service quotas".
pub const MAX_PAYLOAD_BYTES: usize = 262_144;

/// The length in bytes of `text` as a JSON string, quotes included: how much room a document takes that travels inside another one.
#[must_use]
pub fn escaped_len(text: &str) -> usize {
    text.bytes()
        .map(|byte| match byte {
            b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
            0x00..=0x1f => 6,
            _ => 1,
        })
        .sum::<usize>()
        + 2
}

#[cfg(test)]
mod tests {
    use super::escaped_len;

    #[test]
    fn the_escaped_length_is_what_serde_json_writes() {
        for text in
            ["", "plain", "a \"quoted\" \\ line\n\r\t", "\u{0}\u{1f}\u{8}\u{c}", "größer 🦀", "{\"k\":\"v\\n\"}"]
        {
            assert_eq!(escaped_len(text), serde_json::to_string(text).unwrap().len(), "{text:?}");
        }
    }
}
