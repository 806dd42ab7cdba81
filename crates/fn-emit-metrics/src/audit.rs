//! The audit record: who asked for what, how it ended, what it took. No prompt and no answer comes this far.

use std::io::Write;

use sentry_contract::states::MetricsRecord;
use serde_json::{Value, json};

/// Writes the line, whatever the log level is.
pub fn write(record: &MetricsRecord) {
    // There is nowhere to report a log that cannot be written to.
    let _ = writeln!(std::io::stderr(), "{}", line(record));
}

fn line(record: &MetricsRecord) -> Value {
    let tokens = record.usage.map(|usage| usage.tokens).unwrap_or_default();
    json!({
        "level": "INFO",
        "message": "request",
        "timestamp": record.tags.get("timestamp"),
        "outcome": record.outcome,
        "code": record.code,
        "model": record.model.requested,
        "model_id": record.model.model_id,
        "input_tokens": tokens.read(),
        "output_tokens": tokens.output,
        "tags": record.tags,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_line_tells_who_what_how_and_how_much() {
        let record = json!({
            "outcome": "InvocationFailed",
            "code": "OutputTooLarge",
            "tags": {"applicationId": "helper", "team": "blue", "timestamp": "2026-11-21T05:00:00.123456Z"},
            "model": {"requested": "nova-lite", "modelId": "amazon.nova-lite-v1:0"},
            "usage": {"inputTokens": 2, "outputTokens": 3, "cacheReadInputTokens": 4, "cacheWriteInputTokens": 5, "totalTokens": 14}
        });
        let expected = json!({
            "level": "INFO", "message": "request", "timestamp": "2026-11-21T05:00:00.123456Z",
            "outcome": "InvocationFailed", "code": "OutputTooLarge", "model": "nova-lite", "model_id": "amazon.nova-lite-v1:0",
            "input_tokens": 11, "output_tokens": 3,
            "tags": {"applicationId": "helper", "team": "blue", "timestamp": "2026-11-21T05:00:00.123456Z"}
        });
        assert_eq!(line(&serde_json::from_value(record).unwrap()), expected);
    }
}
