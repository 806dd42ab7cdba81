//! A decided request in the form in which the history counts it.

use std::collections::BTreeSet;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sentry_contract::request::Tags;
use sentry_contract::states::MetricsRecord;
use thiserror::Error;

use crate::scopes;
use crate::sums::Sums;

/// Days for which a marker is kept after its request. A message waits four days in the queue and fourteen in the
/// dead-letter queue. After a redrive it can wait that long once more. Two days are added as a margin.
pub const MARKED_DAYS: i64 = 2 * (4 + 14) + 2;

/// The error for a record whose `timestamp` tag is missing or unreadable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the tag timestamp is no instant")]
pub struct NoInstant;

/// A decided request, the numbers that it adds, and the scopes that it counts for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// The identity of the decision: its execution. Two messages with the same identity are counted once.
    pub id: String,
    /// The time at which the request came in. The request counts for the UTC day of this time.
    pub at: DateTime<Utc>,
    /// The scopes that the request counts for.
    pub scopes: BTreeSet<String>,
    /// The numbers that the request adds to each scope.
    pub sums: Sums,
}

impl Decided {
    /// The request of `record`, which came with the message `message_id`. `budget_tags` are the tags that have budgets
    /// of their own.
    ///
    /// A record of an older version does not name the execution. Its identity is the message id, which SQS keeps on a
    /// redelivery.
    ///
    /// # Errors
    /// If the record has no readable timestamp.
    pub fn of(record: &MetricsRecord, message_id: &str, budget_tags: &[String]) -> Result<Self, NoInstant> {
        let late = record.settlement.as_ref().map(|late| late.reservation.execution_id.as_str());
        let id = record.execution_id.as_deref().or(late).unwrap_or(message_id);
        let at = record.tags.get(Tags::TIMESTAMP).and_then(|text| text.parse().ok()).ok_or(NoInstant)?;
        Ok(Self { id: id.to_owned(), at, scopes: scopes::of(record, budget_tags), sums: Sums::of(record) })
    }

    /// The UTC day that the request counts for.
    #[must_use]
    pub fn day(&self) -> NaiveDate {
        self.at.date_naive()
    }

    /// The time after which the marker may be deleted.
    pub(crate) fn marked_until(&self) -> DateTime<Utc> {
        self.at + TimeDelta::days(MARKED_DAYS)
    }
}

#[cfg(test)]
pub mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A record of an answer, with the fields of `more`.
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
