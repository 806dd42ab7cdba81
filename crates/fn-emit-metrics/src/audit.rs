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

    /// The line for a request with all tags, and with the fields of `more`.
    fn line_of(more: Value) -> Value {
        let mut record = json!({
            "executionId": "arn:aws:states:us-east-1:111122223333:express:limiter:name:0f0e",
            "tags": {"applicationId": "helper", "costCenter": "support", "team": "blue", "requestId": "r1",
                     "timestamp": "2026-11-21T05:00:00.123456Z", "modelMetric": "amazon.nova-lite-v1:0"},
            "model": {"requested": "nova-lite", "modelId": "amazon.nova-lite-v1:0", "modelMetric": "amazon.nova-lite-v1:0"}
        });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        written(record)
    }

    #[test]
    fn the_line_tells_who_what_how_and_how_much() {
        let hold = json!({"input": 120, "output": 300, "usd": "0.0000792", "requests": 1, "inFlight": 1});
        let usage = json!({"inputTokens": 2, "outputTokens": 3, "cacheReadInputTokens": 4, "cacheWriteInputTokens": 5, "totalTokens": 14});
        let answered = json!({"outcome": "Succeeded", "usage": usage, "hold": hold});
        insta::assert_json_snapshot!("answered", line_of(answered));
        let denied = json!({"outcome": "Denied", "code": "BudgetExceeded", "nothingSpent": true});
        insta::assert_json_snapshot!("denied", line_of(denied));
        let clamp = json!({"action": "clamp", "from": 2048, "to": 300});
        let failed = json!({"outcome": "InvocationFailed", "code": "ModelTimeout", "hold": hold, "degraded": clamp});
        insta::assert_json_snapshot!("failed", line_of(failed));
        let unread = json!({"outcome": "InvocationFailed", "code": "OutputTooLarge", "usage": usage, "hold": hold});
        insta::assert_json_snapshot!("failed_with_known_usage", line_of(unread));
        let window = json!({"name": "2026-11", "key": "2026-11", "start": "2026-11-01T00:00:00Z", "resetsAt": "2026-12-01T00:00:00Z"});
        let scope = json!({"scope": "costCenter#support", "source": "costCenter", "item": "costCenter#support", "window": window,
                           "limits": {"output": 5_000}, "seen": {"input": 0, "output": 0, "usd": "0"}});
        let reservation = json!({"requestId": "r1", "executionId": "run-1", "maxTokens": 300, "hold": hold,
                                 "heldAt": "2026-11-21T05:00:00Z", "expiresAt": "2026-11-21T05:06:00Z", "scopes": [scope]});
        let model = json!({"requested": "nova-pro", "modelId": "amazon.nova-lite-v1:0", "modelMetric": "amazon.nova-lite-v1:0", "family": "nova"});
        let fallback = json!({"action": "fallback", "from": "amazon.nova-pro-v1:0", "to": "amazon.nova-lite-v1:0",
                              "maxTokens": {"from": 2048, "to": 300}});
        let denial = json!({"code": "BudgetExceeded", "message": "The requests of user#jo are used up.", "retryable": false,
                            "details": {"scope": "user#jo", "exceeded": "requests", "needed": 1, "remaining": 0}});
        let late = json!({"outcome": "Succeeded", "usage": usage, "hold": hold, "degraded": fallback, "wouldDeny": [denial],
                          "settlement": {"reservation": reservation, "model": model}, "model": model});
        insta::assert_json_snapshot!("settled_late_by_the_fallback", line_of(late));
    }
}
