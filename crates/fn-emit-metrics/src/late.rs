//! Settlements and cancellations that the function `Settle` could not make, because the ledger or the function was not
//! available.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::answer::Spent;
use sentry_contract::states::{CancelInput, LateSettlement, MetricsRecord, RecordedEntry};
use sentry_domain::{Amount, ScopeLimit};
use sentry_lambda::cause;
use sentry_ledger::{Holder, Ledger, LedgerError, Settled, Used};
use serde_json::json;
use tokio::time::{Instant, sleep};
use tracing::error;

/// The pause between two rounds.
const PAUSE: Duration = Duration::from_secs(2);
/// Time for all rounds. The function has 75 seconds; the rest is for alerts and metrics.
const PATIENCE: Duration = Duration::from_secs(40);

/// The work that a message leaves in the ledger.
#[derive(Debug)]
pub(crate) enum Left<'a> {
    /// The settlement of a request, if its record has one.
    Settlement(&'a mut MetricsRecord),
    /// The cancellation of a reservation.
    Cancellation(&'a CancelInput),
}

impl Left<'_> {
    const fn is_nothing(&self) -> bool {
        matches!(self, Self::Settlement(MetricsRecord { settlement: None, .. }))
    }
}

/// Makes the settlements and cancellations that the function `Settle` left to the queue.
#[derive(Debug)]
pub struct LateSettlements {
    ledger: Ledger,
}

impl LateSettlements {
    /// Uses `ledger`, which needs the tables that `Settle` writes.
    #[must_use]
    pub const fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// Makes the settlements and cancellations in `left`, and adds the budget and the alerts that are due after a
    /// settlement to its record. Retries for 40 seconds if the ledger throttles or fails. `now` is the time of the call. Returns `true`
    /// for each one that is done.
    pub(crate) async fn finish(&self, left: &mut [Left<'_>], now: DateTime<Utc>) -> Vec<bool> {
        let begun = Instant::now();
        let mut finished: Vec<bool> = left.iter().map(Left::is_nothing).collect();
        loop {
            for (left, done) in left.iter_mut().zip(&mut finished).filter(|(_, done)| !**done) {
                // Without this check, a ledger that hangs would use up the function's time, and the whole batch would
                // be delivered again.
                if begun.elapsed() > PATIENCE {
                    return finished;
                }
                let now = now + elapsed(begun);
                *done = match left {
                    Left::Settlement(record) => self.settle_one(record, now).await,
                    Left::Cancellation(input) => self.cancel_one(input, now).await,
                };
            }
            if finished.iter().all(|done| *done) || begun.elapsed() + PAUSE > PATIENCE {
                return finished;
            }
            sleep(PAUSE).await;
        }
    }

    async fn cancel_one(&self, input: &CancelInput, now: DateTime<Utc>) -> bool {
        let CancelInput { request_key, execution_id, limits } = input;
        let holder = Holder { request_id: request_key, execution_id };
        let limits: Vec<&ScopeLimit> = limits.all().collect();
        let canceled = self.ledger.cancel(holder, &limits, now).await;
        if let Err(error) = &canceled {
            error!(request_key, cause = cause(error), "a late cancellation failed");
        }
        canceled.is_ok()
    }

    async fn settle_one(&self, record: &mut MetricsRecord, now: DateTime<Utc>) -> bool {
        let Some(settlement) = &record.settlement else { return true };
        match self.end(settlement, record, now).await {
            Ok(Settled { alerts, budget }) => {
                let limits = settlement.reservation.scopes.iter().map(|scope| &scope.limit);
                record.budget = RecordedEntry::all(&budget, limits);
                record.alerts = alerts;
                true
            }
            Err(error) => {
                let request_id = &settlement.reservation.request_id;
                error!(request_id, cause = cause(&error), "a late settlement failed");
                false
            }
        }
    }

    async fn end(
        &self,
        settlement: &LateSettlement,
        record: &MetricsRecord,
        now: DateTime<Utc>,
    ) -> Result<Settled, LedgerError> {
        let price = settlement.model.price.as_ref();
        let used = record.usage.map(|usage| Used {
            amount: Amount::of_request(&usage.tokens, price),
            told: json!(Spent::of(usage.tokens, price)).to_string(),
        });
        Box::pin(self.ledger.end(&settlement.reservation, used, settlement.nothing_spent, now)).await
    }
}

fn elapsed(begun: Instant) -> TimeDelta {
    TimeDelta::from_std(begun.elapsed()).unwrap_or_default()
}
