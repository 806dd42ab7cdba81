//! A decided request, as the history counts it.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sentry_contract::request::Tags;
use sentry_contract::states::MetricsRecord;
use thiserror::Error;

use crate::scopes;
use crate::sums::Sums;

/// How long after its request a marker is kept, in days. A message waits four days in the queue and fourteen in the dead-letter queue.
/// Redriven, it may do so once more, and two days are left over.
pub const MARKED_DAYS: i64 = 2 * (4 + 14) + 2;

/// A record without the time of its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the tag timestamp is no instant")]
pub struct NoInstant;

/// A decided request: what it counts, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// What tells the decision from every other: its execution. Two messages with the same one are counted once.
    pub id: String,
    /// When the request came in. Its UTC day is the day that it counts for.
    pub at: DateTime<Utc>,
    /// The scopes that it counts for.
    pub scopes: BTreeSet<String>,
    /// What it adds to each of them.
    pub sums: Sums,
}

impl Decided {
    /// The request of `record`, which came with the message `message_id`. `budget_tags` are the tags that have budgets of their own.
    ///
    /// A message of a version that did not write the execution is known by its own id, which SQS keeps when it delivers again.
    ///
    /// # Errors
    /// When the record has no timestamp.
    pub fn of(record: &MetricsRecord, message_id: &str, budget_tags: &[String]) -> Result<Self, NoInstant> {
        let late = record.settlement.as_ref().map(|late| late.reservation.execution_id.as_str());
        let id = record.execution_id.as_deref().or(late).unwrap_or(message_id);
        let at = record.tags.get(Tags::TIMESTAMP).and_then(|text| text.parse().ok()).ok_or(NoInstant)?;
        Ok(Self { id: id.to_owned(), at, scopes: scopes::of(record, budget_tags), sums: Sums::of(record) })
    }

    /// The UTC day that it counts for.
    #[must_use]
    pub fn day(&self) -> NaiveDate {
        self.at.date_naive()
    }

    /// When its marker may be deleted.
    pub(crate) fn marked_until(&self) -> DateTime<Utc> {
        self.at + TimeDelta::days(MARKED_DAYS)
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A record of an answer, changed by `more`.
    pub fn record(more: Value) -> MetricsRecord {
        let mut record = json!({
            "executionId": "run-1",
            "outcome": "Succeeded",
            "tags": {"applicationId": "helper", "timestamp": "2026-11-21T23:59:59.999999Z", "modelMetric": "us.claude"},
            "model": {"requested": "claude", "modelId": "us.claude", "modelMetric": "us.claude", "foundation": "claude",
                      "price": {"input": "3", "output": "15", "cacheRead": "0.30", "cacheWrite5m": "3.75"}}
        });
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn a_decision_is_known_by_its_execution() {
        let id = |record: &MetricsRecord| Decided::of(record, "m1", &[]).unwrap().id;
        assert_eq!(id(&record(json!({}))), "run-1");
        assert_eq!(id(&record(json!({"executionId": null}))), "m1");
        let window = json!({"name": "2026-11", "key": "2026-11", "start": "2026-11-01T00:00:00Z"});
        let scope = json!({"scope": "user#jo", "source": "user", "item": "user#jo", "window": window, "limits": {"input": 1},
                           "seen": {"input": 0, "output": 0, "usd": "0"}});
        let reservation = json!({"requestId": "r", "executionId": "run-2", "maxTokens": 1, "hold": {"input": 1, "output": 1, "usd": "0"},
                                 "heldAt": "2026-11-21T12:00:00Z", "expiresAt": "2026-11-21T12:06:00Z", "scopes": [scope]});
        let model =
            json!({"requested": "claude", "modelId": "us.claude", "modelMetric": "us.claude", "family": "anthropic"});
        let late = record(json!({"executionId": null, "settlement": {"reservation": reservation, "model": model}}));
        assert_eq!(id(&late), "run-2");
        assert!(Decided::of(&late, "m1", &[]).unwrap().scopes.contains("user#jo"));
    }

    #[test]
    fn a_request_counts_for_the_utc_day_that_it_came_in() {
        let decided = Decided::of(&record(json!({})), "m1", &[]).unwrap();
        assert_eq!(decided.day().to_string(), "2026-11-21");
        assert_eq!(Decided::of(&record(json!({"tags": {}})), "m1", &[]), Err(NoInstant));
    }
}
