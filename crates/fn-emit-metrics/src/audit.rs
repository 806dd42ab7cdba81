//! The audit record: the request's tags, its outcome and its usage. It contains no prompt and no answer.

use sentry_contract::answer::{Cost, Degraded};
use sentry_contract::request::{PriceSource, Tags};
use sentry_contract::states::{Asked, MetricsModel, MetricsRecord, StepMilliseconds};
use sentry_contract::{ErrorBody, ErrorCode, Outcome};
use sentry_domain::{BudgetEntry, Usd, UsdDifference};
use serde::Serialize;

/// The version of the record. It changes only if the meaning of a field changes.
const VERSION: u8 = 1;

/// Writes the line at every log level.
pub fn write(record: &MetricsRecord) {
    let Ok(line) = serde_json::to_string(&line(record)) else { return };
    put(&line);
}

#[cfg(not(test))]
fn put(line: &str) {
    use std::io::Write;
    // If the log cannot be written to, there is nowhere to report it.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[cfg(test)]
fn put(line: &str) {
    tests::LINES.with_borrow_mut(|lines| lines.push(line.to_owned()));
}

/// The fields of the line, with units in their names. Optional fields are omitted if a request does not have them.
/// `docs/AUDIT.md` describes each field.
#[derive(Debug, Serialize)]
struct Line<'a> {
    level: &'static str,
    message: &'static str,
    v: u8,
    timestamp: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    execution_id: Option<&'a str>,
    outcome: Outcome,
    code: Option<ErrorCode>,
    model: &'a str,
    model_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_metric: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    foundation: Option<&'a str>,
    usage: UsageKnown,
    input_tokens: u64,
    output_tokens: u64,
    cache_read_tokens: u64,
    cache_write_tokens: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    priced: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cost_usd: Option<Usd>,
    #[serde(skip_serializing_if = "Option::is_none")]
    saved_usd: Option<UsdDifference>,
    price_source: &'static str,
    tags: &'a Tags,
    /// The object is that of the message, with the names of the workflow's documents.
    #[serde(skip_serializing_if = "Option::is_none")]
    asked: Option<&'a Asked>,
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
    /// Before the budget, because Logs Insights finds only the first 200 fields of a line.
    /// Source: Amazon CloudWatch Logs user guide, "Supported logs and discovered fields", read in November 2026.
    #[serde(skip_serializing_if = "StepMilliseconds::is_empty")]
    steps_ms: StepMilliseconds,
    budget: Vec<&'a BudgetEntry>,
}

/// Knowledge of the tokens that the model used.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
enum UsageKnown {
    /// The model reported the tokens.
    Known,
    /// The model may have used tokens, but nobody knows how many.
    Unknown,
    /// The model certainly used nothing.
    Nothing,
}

impl UsageKnown {
    fn of(record: &MetricsRecord) -> Self {
        let late = record.settlement.as_ref().is_some_and(|late| late.nothing_spent);
        match record.usage {
            Some(_) => Self::Known,
            None if late || record.nothing_spent || record.outcome == Outcome::Denied => Self::Nothing,
            None => Self::Unknown,
        }
    }
}

const fn price_source(model: &MetricsModel) -> &'static str {
    match (model.price, model.price_source) {
        (None, _) => "none",
        (Some(_), PriceSource::Catalogue) => "catalogue",
        (Some(_), PriceSource::CatalogueTable) => "catalogueTable",
    }
}

fn line(record: &MetricsRecord) -> Line<'_> {
    let tokens = record.usage.map(|usage| usage.tokens).unwrap_or_default();
    let lowered = record.degraded.as_ref().and_then(Degraded::lowered);
    let cost = record.usage.map(|usage| Cost::of(&usage.tokens, record.model.price.as_ref()));
    let execution_of_settlement = record.settlement.as_ref().map(|late| late.reservation.execution_id.as_str());
    Line {
        level: "INFO",
        message: "request",
        v: VERSION,
        timestamp: record.tags.get(Tags::TIMESTAMP),
        execution_id: record.execution_id.as_deref().or(execution_of_settlement),
        outcome: record.outcome,
        code: record.code,
        model: &record.model.requested,
        model_id: &record.model.model_id,
        model_metric: record.model.model_metric.as_deref(),
        foundation: record.model.foundation.as_deref(),
        usage: UsageKnown::of(record),
        input_tokens: tokens.read(),
        output_tokens: tokens.output,
        cache_read_tokens: tokens.cache_read,
        cache_write_tokens: tokens.cache_write,
        priced: cost.as_ref().map(|cost| cost.priced),
        cost_usd: cost.as_ref().and_then(|cost| cost.usd),
        saved_usd: cost.and_then(|cost| cost.saved),
        price_source: price_source(&record.model),
        tags: &record.tags,
        asked: record.asked.as_deref(),
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
        steps_ms: record.times.milliseconds(),
        budget: record.budget.iter().map(|recorded| &recorded.entry).collect(),
    }
}

#[cfg(test)]
pub mod tests {
    use std::cell::RefCell;

    use super::*;
    use serde_json::{Value, json};

    thread_local! {
        /// The lines that the test of this thread has written.
        pub static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    fn written(record: Value) -> Value {
        serde_json::to_value(line(&serde_json::from_value(record).unwrap())).unwrap()
    }

    /// The line for a request with all tags, and with the fields of `more`.
    fn line_of(more: Value) -> Value {
        let mut record = json!({
            "executionId": "arn:aws:states:us-east-1:111122223333:express:limiter:name:0f0e",
            "tags": {"applicationId": "helper", "costCenter": "support", "team": "blue", "requestId": "r1",
                     "timestamp": "2026-11-21T05:00:00.123456Z", "modelMetric": "amazon.nova-lite-v1:0"},
            "model": {"requested": "nova-lite", "modelId": "amazon.nova-lite-v1:0", "modelMetric": "amazon.nova-lite-v1:0",
                      "foundation": "amazon.nova-lite-v1:0",
                      "price": {"input": "0.06", "output": "0.24", "cacheRead": "0.015", "cacheWrite5m": "0.06"}}
        });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        written(record)
    }

    #[test]
    fn the_line_tells_who_what_how_and_how_much() {
        let hold = json!({"input": 120, "output": 300, "usd": "0.0000792", "requests": 1, "inFlight": 1});
        let usage = json!({"inputTokens": 2, "outputTokens": 3, "cacheReadInputTokens": 4, "cacheWriteInputTokens": 5, "totalTokens": 14});
        let times = json!({"started": "2026-11-21T05:00:00.120Z", "validated": "2026-11-21T05:00:00.123Z", "gathered": "2026-11-21T05:00:00.135Z",
                           "decided": "2026-11-21T05:00:00.145Z", "ended": "2026-11-21T05:00:00.957Z", "finished": "2026-11-21T05:00:00.966Z"});
        let units = json!({"limit": 5_000, "used": 3, "reserved": 0, "remaining": 4_997});
        let entry = json!({"scope": "costCenter#support", "window": "2026-11", "resetsAt": "2026-12-01T00:00:00Z", "source": "costCenter",
                           "output": units, "startsAt": "2026-11-01T00:00:00Z"});
        let price = json!({"input": "0.06", "output": "0.24"});
        let lite = json!({"requested": "nova-lite", "modelId": "amazon.nova-lite-v1:0", "modelMetric": "amazon.nova-lite-v1:0",
                          "foundation": "amazon.nova-lite-v1:0", "price": price});
        let asked = json!({"inputTokens": 120, "maxTokens": 300, "maxTokensGiven": true, "model": lite});
        let answered = json!({"outcome": "Succeeded", "usage": usage, "hold": hold, "asked": asked, "times": times, "budget": [entry]});
        insta::assert_json_snapshot!("answered", line_of(answered));
        let early = json!({"started": "2026-11-21T05:00:00.120Z", "validated": "2026-11-21T05:00:00.123Z", "gathered": "2026-11-21T05:00:00.135Z",
                           "decided": "2026-11-21T05:00:00.145Z"});
        let dollars = json!({"limit": "10.00", "used": "9.999999", "reserved": "0.00", "remaining": "0.000001"});
        let full = json!({"scope": "costCenter#support", "window": "total", "source": "default", "usd": dollars, "enforce": "observe",
                          "usageAgeSeconds": 12});
        let fallback = json!({"model": lite, "inputTokens": 120, "maxTokens": 300});
        let asked = json!({"inputTokens": 150, "maxTokens": 2_048, "charges": {"tier": "flex", "cache": "1h"}, "model": lite, "fallback": fallback});
        let denied = json!({"outcome": "Denied", "code": "BudgetExceeded", "nothingSpent": true, "asked": asked, "times": early, "budget": [full]});
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
