#![doc = include_str!("../README.md")]

mod queue;

use std::time::Duration;

use chrono::{DateTime, Utc};
use sentry_contract::ErrorCode;
use sentry_contract::answer::FinalAnswer;
use sentry_contract::states::{Admitted, CancelInput, LateSettlement, SettleEvent, SettleInput, Settled};
use sentry_domain::Amount;
use sentry_lambda::{Failure, cause};
use sentry_ledger::{Holder, Ledger, LedgerError};
use sentry_models::adapters::Conclusion;
use serde::Serialize;
use tracing::warn;

pub use queue::MetricsQueue;

/// Output of the function.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Ending {
    /// Of a settled request: the final document, which the execution ends with.
    Document(Box<FinalAnswer>),
    /// Of a cancelled reservation: nothing.
    Cancelled {},
}

/// Ends reservations and answers requests.
#[derive(Debug)]
pub struct Settler {
    ledger: Ledger,
    queue: MetricsQueue,
    timeout: Duration,
}

impl Settler {
    /// Settles in `ledger` and counts through `queue`. A call by Step Functions had `timeout` to answer.
    #[must_use]
    pub const fn new(ledger: Ledger, queue: MetricsQueue, timeout: Duration) -> Self {
        Self { ledger, queue, timeout }
    }

    /// Ends a reservation and gives the final document, or takes back a reservation whose extent nobody knows.
    ///
    /// A settlement that the ledger does not take is left to the queue's function; the answer is then without a budget.
    ///
    /// # Errors
    /// `LedgerUnavailable` when a reservation cannot be taken back, or the queue cannot be reached. Repeating the call is harmless.
    pub async fn settle(&self, event: SettleEvent, now: DateTime<Utc>) -> Result<Ending, Failure> {
        match event {
            SettleEvent::Settle(input) => self.end(*input, now).await,
            SettleEvent::Cancel(input) => self.cancel(&input).await,
        }
    }

    async fn end(&self, input: SettleInput, now: DateTime<Utc>) -> Result<Ending, Failure> {
        let SettleInput { admitted, ended } = input;
        let conclusion = Conclusion::of(ended, &admitted.model, self.timeout);
        let (settled, settlement) = match self.charge(&admitted, &conclusion, now).await {
            Ok(settled) => (settled, None),
            Err(error) => {
                let request_id = &admitted.reservation.request_id;
                warn!(request_id, cause = cause(&error), "the ledger did not settle; the queue's function will");
                (Settled::default(), Some(late(&admitted, &conclusion)))
            }
        };
        let document = conclusion.document(&admitted, settled.budget);
        let record = conclusion.record(&admitted, &document, settled.alerts, settlement);
        self.queue.send(&record).await?;
        Ok(Ending::Document(Box::new(document)))
    }

    async fn charge(
        &self,
        admitted: &Admitted,
        conclusion: &Conclusion,
        now: DateTime<Utc>,
    ) -> Result<Settled, LedgerError> {
        let price = admitted.model.price.as_ref();
        let actual = conclusion.usage().map(|usage| Amount::of(&usage, price));
        Box::pin(self.ledger.end(&admitted.reservation, actual, conclusion.nothing_spent(), now)).await
    }

    async fn cancel(&self, input: &CancelInput) -> Result<Ending, Failure> {
        let holder = Holder { request_id: &input.request_key, execution_id: &input.execution_id };
        let cancelled = self.ledger.cancel(holder, &input.limits).await;
        cancelled.map_err(|error| Failure::caused(ErrorCode::LedgerUnavailable, &error))?;
        Ok(Ending::Cancelled {})
    }
}

fn late(admitted: &Admitted, conclusion: &Conclusion) -> LateSettlement {
    LateSettlement {
        reservation: admitted.reservation.clone(),
        model: admitted.model.clone(),
        nothing_spent: conclusion.nothing_spent(),
    }
}

#[cfg(test)]
mod tests;
