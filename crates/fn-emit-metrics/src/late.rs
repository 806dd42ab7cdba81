//! Settlements that `Settle` could not make, because the ledger or the function was not available.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::states::{LateSettlement, MetricsRecord, Settled};
use sentry_domain::Amount;
use sentry_lambda::cause;
use sentry_ledger::{Ledger, LedgerError};
use tokio::time::{Instant, sleep};
use tracing::error;

/// The pause between two rounds.
const PAUSE: Duration = Duration::from_secs(2);
/// Time for all rounds. The function has 60 seconds; the rest is for alerts and metrics.
const PATIENCE: Duration = Duration::from_secs(40);

/// Settles requests that the function `Settle` left to the queue.
#[derive(Debug)]
pub struct LateSettlements {
    ledger: Ledger,
}

impl LateSettlements {
    /// `ledger` needs the tables that `Settle` writes.
    #[must_use]
    pub const fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// Settles what is left of `records`, and adds the alerts that are due to each. A ledger that throttles or fails is tried again for 40
    /// seconds. `now` is the moment of the call. Returns for each record whether it is settled.
    pub(crate) async fn settle(&self, records: &mut [&mut MetricsRecord], now: DateTime<Utc>) -> Vec<bool> {
        let begun = Instant::now();
        let mut settled: Vec<bool> = records.iter().map(|record| record.settlement.is_none()).collect();
        loop {
            for (record, done) in records.iter_mut().zip(&mut settled).filter(|(_, done)| !**done) {
                // A ledger that hangs would otherwise use up the function's time, and the whole batch would come again.
                if begun.elapsed() > PATIENCE {
                    return settled;
                }
                *done = self.settle_one(record, now + elapsed(begun)).await;
            }
            if settled.iter().all(|done| *done) || begun.elapsed() + PAUSE > PATIENCE {
                return settled;
            }
            sleep(PAUSE).await;
        }
    }

    async fn settle_one(&self, record: &mut MetricsRecord, now: DateTime<Utc>) -> bool {
        let Some(settlement) = &record.settlement else { return true };
        match self.end(settlement, record, now).await {
            Ok(Settled { alerts, .. }) => {
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
        let actual = record.usage.map(|usage| Amount::of_request(&usage.tokens, price));
        Box::pin(self.ledger.end(&settlement.reservation, actual, settlement.nothing_spent, now)).await
    }
}

fn elapsed(begun: Instant) -> TimeDelta {
    TimeDelta::from_std(begun.elapsed()).unwrap_or_default()
}
