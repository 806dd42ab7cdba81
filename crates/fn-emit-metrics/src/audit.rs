//! The audit record: the request's tags, its outcome and its usage. It contains no prompt and no answer.

use std::io::Write;

use sentry_contract::answer::Degraded;
use sentry_contract::request::Tags;
use sentry_contract::states::MetricsRecord;
use sentry_contract::{ErrorBody, ErrorCode, Outcome};
use sentry_domain::Usd;
use serde::Serialize;

/// Writes the line at every log level.
pub fn write(record: &MetricsRecord) {
    let Ok(line) = serde_json::to_string(&line(record)) else { return };
    // If the log cannot be written to, there is nowhere to report it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// The fields of the line, with units in their names. From the hold on, fields that a request does not have are
/// omitted.
#[derive(Debug, Serialize)]
struct Line<'a> {
    level: &'static str,
    message: &'static str,
    timestamp: Option<&'a str>,
    outcome: Outcome,
    code: Option<ErrorCode>,
    model: &'a str,
    model_id: &'a str,
    input_tokens: u64,
    output_tokens: u64,
    tags: &'a Tags,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_input_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_output_tokens: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    held_usd: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded_from_model_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded_from_tokens: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    degraded_to_tokens: Option<u32>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    settled_late: bool,
    /// Denials that limits in `observe` mode would have made. The objects are those of the answer.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    would_deny: &'a [ErrorBody],
}

fn line(record: &MetricsRecord) -> Line<'_> {
    let tokens = record.usage.map(|usage| usage.tokens).unwrap_or_default();
    let lowered = record.degraded.as_ref().and_then(Degraded::lowered);
    Line {
        level: "INFO",
        message: "request",
        timestamp: record.tags.get(Tags::TIMESTAMP),
        outcome: record.outcome,
        code: record.code,
        model: &record.model.requested,
        model_id: &record.model.model_id,
        input_tokens: tokens.read(),
        output_tokens: tokens.output,
        tags: &record.tags,
        held_input_tokens: record.hold.map(|hold| hold.input),
        held_output_tokens: record.hold.map(|hold| hold.output),
        held_usd: record.hold.map(|hold| hold.usd),
        degraded: record.degraded.as_ref().map(Degraded::action),
        degraded_from_model_id: match &record.degraded {
            Some(Degraded::Fallback { from, .. }) => Some(from),
            _ => None,
        },
        degraded_from_tokens: lowered.map(|lowered| lowered.from),
        degraded_to_tokens: lowered.map(|lowered| lowered.to),
        settled_late: record.settlement.is_some(),
        would_deny: &record.would_deny,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn written(record: Value) -> Value {
        serde_json::to_value(line(&serde_json::from_value(record).unwrap())).unwrap()
    }

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
        assert_eq!(written(record), expected);
    }

    #[test]
    fn the_hold_and_what_became_of_it_are_told_where_there_is_one() {
        let record = json!({
            "outcome": "InvocationFailed",
            "code": "ModelTimeout",
            "tags": {},
            "model": {"requested": "nova-lite", "modelId": "amazon.nova-lite-v1:0"},
            "hold": {"input": 120, "output": 300, "usd": "0.0000792"},
            "degraded": {"action": "clamp", "from": 2048, "to": 300}
        });
        let expected = json!({
            "level": "INFO", "message": "request", "timestamp": null,
            "outcome": "InvocationFailed", "code": "ModelTimeout", "model": "nova-lite", "model_id": "amazon.nova-lite-v1:0",
            "input_tokens": 0, "output_tokens": 0, "tags": {},
            "held_input_tokens": 120, "held_output_tokens": 300, "held_usd": "0.000079200",
            "degraded": "clamp", "degraded_from_tokens": 2048, "degraded_to_tokens": 300
        });
        assert_eq!(written(record), expected);
    }

    #[test]
    fn a_fallback_tells_both_models() {
        let degraded = json!({"action": "fallback", "from": "amazon.nova-pro-v1:0", "to": "amazon.nova-lite-v1:0"});
        let record = json!({
            "outcome": "Succeeded", "tags": {}, "degraded": degraded,
            "model": {"requested": "nova-pro", "modelId": "amazon.nova-lite-v1:0"},
        });
        let line = written(record);
        assert_eq!((&line["degraded"], &line["model_id"]), (&json!("fallback"), &json!("amazon.nova-lite-v1:0")));
        assert_eq!(
            (&line["degraded_from_model_id"], line.get("degraded_to_tokens")),
            (&json!("amazon.nova-pro-v1:0"), None)
        );
    }

    #[test]
    fn what_limits_that_observe_would_have_denied_is_told_as_the_answer_tells_it() {
        let denial = json!({"code": "BudgetExceeded", "message": "The requests of user#jo are used up.", "retryable": false,
                            "details": {"scope": "user#jo"}});
        let record = json!({
            "outcome": "Succeeded", "tags": {}, "wouldDeny": [denial],
            "model": {"requested": "nova-pro", "modelId": "amazon.nova-lite-v1:0"},
        });
        assert_eq!(written(record)["would_deny"], json!([denial]));
    }
}
