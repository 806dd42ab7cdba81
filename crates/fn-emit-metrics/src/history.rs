//! Counts every decided request of a batch in the usage history.

use chrono::{DateTime, Utc};
use sentry_contract::states::MetricsRecord;
use sentry_history::{Decided, History, Recorded};
use sentry_lambda::cause;
use tracing::{error, warn};

/// Counts requests in the usage history.
#[derive(Debug)]
pub struct UsageHistory {
    history: History,
    budget_tags: Vec<String>,
}

impl UsageHistory {
    /// Counts in `history`. `budget_tags` names the declared tags with budgets, separated by commas.
    #[must_use]
    pub fn new(history: History, budget_tags: &str) -> Self {
        let names = budget_tags.split(',').map(str::trim).filter(|name| !name.is_empty());
        Self { history, budget_tags: names.map(str::to_owned).collect() }
    }

    /// Counts each of `requests` (the id of its message, and its record), unless it was counted before. Returns `true`
    /// for each message that needs no other delivery for the history.
    pub(crate) async fn count<'a>(
        &self,
        requests: impl Iterator<Item = (&'a str, &'a MetricsRecord)>,
        now: DateTime<Utc>,
    ) -> Vec<bool> {
        // The timestamp is valid, because the message was read before.
        let decided: Vec<_> = requests.map(|(id, record)| Decided::of(record, id, &self.budget_tags)).collect();
        let known: Vec<Decided> = decided.iter().flatten().cloned().collect();
        let report = self.history.record(&known, now).await;
        if let Some(problem) = &report.problem {
            let requests = report.recorded.iter().filter(|became| **became == Recorded::Failed).count();
            error!(
                requests,
                cause = cause(problem),
                "requests are not counted in the usage history, and will be tried again"
            );
        }
        let mut recorded = report.recorded.into_iter();
        let done = decided.iter().map(|decided| match decided {
            Err(_) => false,
            Ok(decided) => match recorded.next() {
                Some(Recorded::Counted | Recorded::Before) => true,
                Some(Recorded::TooOld) => {
                    let Decided { id, at, .. } = decided;
                    warn!(id, %at, "a request is too old for the usage history: nobody knows whether it was counted");
                    true
                }
                Some(Recorded::Failed) | None => false,
            },
        });
        done.collect()
    }
}
