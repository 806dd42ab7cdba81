//! Directives in a prompt, such as `[[sim fault=throttling times=2]]` and `[[sim output-tokens=143]]`.

use crate::{error::ApiError, faults::Fault, tokens::MAX_TOKENS};

const OPEN: &str = "[[sim";
const CLOSE: &str = "]]";
/// Maximum size of a reply that a directive can ask for, in bytes.
const MAX_OUTPUT_BYTES: u64 = 20_000_000;

/// Faults that affect only `CountTokens`, not model calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountFault {
    /// `CountTokens` does not support the model.
    Off,
    /// `CountTokens` never sends an answer.
    Hang,
    /// `CountTokens` answers with a `ThrottlingException`.
    Throttle,
}

impl CountFault {
    /// The fault with this name in a directive.
    pub fn named(name: &str) -> Option<Self> {
        match name {
            "off" => Some(Self::Off),
            "hang" => Some(Self::Hang),
            "throttle" => Some(Self::Throttle),
            _ => None,
        }
    }
}

/// Directives of a prompt. The simulator computes every value that is absent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Directives {
    /// Fault of the model call.
    pub fault: Option<Fault>,
    /// Text that the fault's error message repeats. Bedrock's messages also repeat parts of a request.
    pub error_text: Option<String>,
    /// Number of calls with the same text that the fault applies to. If it is absent, the fault applies to all of
    /// them.
    pub times: Option<u64>,
    /// Fault of a call to `CountTokens`.
    pub count_tokens: Option<CountFault>,
    /// Number of input tokens to report.
    pub input_tokens: Option<u64>,
    /// Number of output tokens to report.
    pub output_tokens: Option<u64>,
    /// Number of tokens that the model writes, unless the request's maximum is lower.
    pub wanted_tokens: Option<u64>,
    /// Number of input tokens read from the prompt cache.
    pub cache_read: Option<u64>,
    /// Number of input tokens written to the prompt cache for five minutes.
    pub cache_write: Option<u64>,
    /// Number of input tokens written to the prompt cache for one hour.
    pub cache_write_long: Option<u64>,
    /// Latency of the call, in milliseconds.
    pub latency_ms: Option<u64>,
    /// Number of words of reasoning before the reply, even if the request does not turn thinking on.
    pub reasoning: Option<u64>,
    /// `true` if the reasoning is returned as `redactedContent`.
    pub redacted: bool,
    /// Exact size of the reply, in bytes.
    pub output_bytes: Option<u64>,
    /// Stop reason to report, which may be an unknown one.
    pub stop_reason: Option<String>,
    /// Name of the tool that the model asks for.
    pub tool: Option<String>,
    /// Number of words in each event of a stream.
    pub chunk_words: Option<u64>,
    /// Pause before each event of a stream after the first, in milliseconds.
    pub chunk_delay_ms: Option<u64>,
    /// Number of events after which the connection of a stream is lost.
    pub cut_after: Option<u64>,
    /// Number of events after which a stream ends with an exception.
    pub fail_after: Option<u64>,
}

impl Directives {
    /// Reads all directives of a text. If one is repeated, the last value applies.
    ///
    /// # Errors
    /// A `ValidationException` that names the directive that cannot be parsed.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        let mut directives = Self::default();
        let mut rest = text;
        while let Some((_, after)) = rest.split_once(OPEN) {
            let Some((inside, after)) = after.split_once(CLOSE) else {
                return Err(ApiError::validation("bedrock-sim: a [[sim directive is not closed with ]]."));
            };
            for word in inside.split_whitespace() {
                directives.set(word)?;
            }
            rest = after;
        }
        Ok(directives)
    }

    /// Input tokens written to the prompt cache, with both lifetimes together. `None` if no directive sets them.
    pub fn writes_to_cache(&self) -> Option<u64> {
        match (self.cache_write, self.cache_write_long) {
            (None, None) => None,
            (short, long) => Some(short.unwrap_or(0).saturating_add(long.unwrap_or(0)).min(MAX_TOKENS)),
        }
    }

    /// `true` if a directive sets a number of input tokens. The prompt cache is then not used.
    pub fn tells_input(&self) -> bool {
        self.input_tokens.or(self.cache_read).or(self.writes_to_cache()).is_some()
    }

    fn set(&mut self, word: &str) -> Result<(), ApiError> {
        let unknown = || ApiError::validation(format!("bedrock-sim: unknown directive {word}."));
        let (name, value) = word.split_once('=').ok_or_else(unknown)?;
        match name {
            "fault" => self.fault = Some(Fault::named(value).ok_or_else(unknown)?),
            "count-tokens" => self.count_tokens = Some(CountFault::named(value).ok_or_else(unknown)?),
            "tool" => self.tool = Some(value.to_owned()),
            "stop-reason" => self.stop_reason = Some(value.to_owned()),
            "error-text" => self.error_text = Some(value.to_owned()),
            "chunk-words" => self.chunk_words = Some(number(word, value, MAX_TOKENS)?),
            "chunk-delay-ms" => self.chunk_delay_ms = Some(number(word, value, MAX_TOKENS)?),
            "cut-after" => self.cut_after = Some(number(word, value, MAX_TOKENS)?),
            "fail-after" => self.fail_after = Some(number(word, value, MAX_TOKENS)?),
            "times" => self.times = Some(number(word, value, u64::MAX)?),
            "input-tokens" => self.input_tokens = Some(number(word, value, MAX_TOKENS)?),
            "output-tokens" => self.output_tokens = Some(number(word, value, MAX_TOKENS)?),
            "wanted-tokens" => self.wanted_tokens = Some(number(word, value, MAX_TOKENS)?),
            "cache-read" => self.cache_read = Some(number(word, value, MAX_TOKENS)?),
            "cache-write-1h" => self.cache_write_long = Some(number(word, value, MAX_TOKENS)?),
            "cache-write" => self.cache_write = Some(number(word, value, MAX_TOKENS)?),
            "latency-ms" => self.latency_ms = Some(number(word, value, u64::MAX)?),
            "reasoning-form" if value == "redacted" => self.redacted = true,
            "reasoning" => self.reasoning = Some(number(word, value, MAX_TOKENS)?),
            "output-bytes" => self.output_bytes = Some(number(word, value, MAX_OUTPUT_BYTES)?),
            _ => return Err(unknown()),
        }
        Ok(())
    }
}

fn number(word: &str, value: &str, max: u64) -> Result<u64, ApiError> {
    value
        .parse()
        .ok()
        .filter(|number| *number <= max)
        .ok_or_else(|| ApiError::validation(format!("bedrock-sim: {word} is not an integer from 0 to {max}.")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::faults::Exception;

    #[test]
    fn text_without_directives_asks_for_nothing() {
        assert_eq!(Directives::parse("Explain [[S3]] ]]").unwrap(), Directives::default());
    }

    #[test]
    fn every_fault_can_be_asked_for_by_name() {
        for (name, fault) in Fault::ALL {
            let parsed = Directives::parse(&format!("Hi [[sim fault={name} times=2]]")).unwrap();
            assert_eq!((parsed.fault, parsed.times), (Some(fault), Some(2)));
        }
    }

    #[test]
    fn figures_of_several_directives_are_combined() {
        let text = "a [[sim output-tokens=143 input-tokens=21 cache-read=5]] b [[sim cache-write=7 cache-write-1h=9 reasoning-form=redacted latency-ms=300\n\
                    output-bytes=200000 stop-reason=end_turn tool=find fault=throttling error-text=MARKER count-tokens=hang chunk-words=3 chunk-delay-ms=20 cut-after=4 fail-after=5]]";
        let expected = Directives {
            fault: Some(Fault::Exception(Exception::Throttling)),
            error_text: Some("MARKER".to_owned()),
            times: None,
            count_tokens: Some(CountFault::Hang),
            input_tokens: Some(21),
            output_tokens: Some(143),
            wanted_tokens: None,
            cache_read: Some(5),
            cache_write: Some(7),
            cache_write_long: Some(9),
            latency_ms: Some(300),
            reasoning: None,
            redacted: true,
            output_bytes: Some(200_000),
            stop_reason: Some("end_turn".to_owned()),
            tool: Some("find".to_owned()),
            chunk_words: Some(3),
            chunk_delay_ms: Some(20),
            cut_after: Some(4),
            fail_after: Some(5),
        };
        assert_eq!(Directives::parse(text).unwrap(), expected);
    }

    #[test]
    fn a_directive_that_cannot_be_read_is_refused_by_name() {
        for (text, named) in [
            ("[[sim fault=trottling]]", "fault=trottling"),
            ("[[sim output-token=1]]", "output-token=1"),
            ("[[sim output-tokens=-1]]", "output-tokens=-1"),
            ("[[sim output-tokens=2147483648]]", "output-tokens=2147483648"),
            ("[[sim hang]]", "hang"),
            ("[[sim count-tokens=on]]", "count-tokens=on"),
            ("[[sim fault=hang", "not closed"),
        ] {
            let error = Directives::parse(text).unwrap_err();
            assert_eq!(error.kind, "ValidationException");
            assert!(error.message.contains(named), "{}", error.message);
        }
    }
}
