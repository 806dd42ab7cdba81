#![doc = include_str!("../README.md")]

mod keep;
mod queue;

use std::time::{Duration, Instant};

use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::ErrorCode;
use sentry_contract::answer::{FinalAnswer, Spent};
use sentry_contract::states::{Admitted, CancelInput, RepeatInput, SettleEvent, SettleInput, StepTimes};
use sentry_domain::{Amount, ScopeLimit};
use sentry_lambda::Failure;
use sentry_ledger::{Holder, Ledger, LedgerError, Settled, Used};
use sentry_models::adapters::Conclusion;
use serde::Serialize;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};

pub use keep::{AnswersTable, Kept};
pub use queue::MetricsQueue;

/// Output of the function.
#[derive(Debug, Serialize)]
#[serde(untagged)]
pub enum Ending {
    /// The final document of a settled request. The execution ends with it.
    Document(Box<FinalAnswer>),
    /// The first answer to a request that was repeated, or the answer `DuplicateRequest`.
    Repeated(Box<RawValue>),
    /// The empty output after a canceled reservation.
    Canceled {},
}

/// Settles or cancels reservations, and answers requests.
#[derive(Debug)]
pub struct Settler {
    ledger: Ledger,
    queue: MetricsQueue,
    timeout: Duration,
    answers: Option<AnswersTable>,
}

impl Settler {
    /// Settles in `ledger` and counts through `queue`. `timeout` is the time that a call by Step Functions had.
    #[must_use]
    pub const fn new(ledger: Ledger, queue: MetricsQueue, timeout: Duration) -> Self {
        Self { ledger, queue, timeout, answers: None }
    }

    /// Also keeps every answer that used tokens, in `answers`.
    #[must_use]
    pub fn keeping(self, answers: Option<AnswersTable>) -> Self {
        Self { answers, ..self }
    }

    /// Settles a reservation and returns the final document, or cancels a reservation whose amount is unknown.
    ///
    /// # Errors
    /// Returns `LedgerUnavailable` if the ledger or the queue cannot be reached. A repeated call is harmless.
    pub async fn settle(&self, event: SettleEvent, now: DateTime<Utc>) -> Result<Ending, Failure> {
        match event {
            SettleEvent::Settle(input) => self.end(*input, self.answers.as_ref(), now).await,
            SettleEvent::Cancel(input) => self.cancel(&input, now).await,
            SettleEvent::Repeat(input) => self.repeat(&input, now).await,
        }
    }

    /// Settles a request whose answer has passed by in events, and of which only the usage is at hand. The answer is not
    /// kept.
    ///
    /// # Errors
    /// The same as for [`Self::settle`].
    pub async fn settle_without_text(&self, input: SettleInput, now: DateTime<Utc>) -> Result<Ending, Failure> {
        self.end(input, None, now).await
    }

    /// The table in which answers are kept. `None` if they are not kept.
    #[must_use]
    pub const fn answers(&self) -> Option<&AnswersTable> {
        self.answers.as_ref()
    }

    async fn end(
        &self,
        input: SettleInput,
        answers: Option<&AnswersTable>,
        now: DateTime<Utc>,
    ) -> Result<Ending, Failure> {
        let begun = Instant::now();
        let SettleInput { admitted, ended, times } = input;
        let conclusion = Conclusion::of(ended, &admitted.model, self.timeout);
        let settled = self.charge(&admitted, &conclusion, now).await;
        let settled = settled.map_err(|error| Failure::caused(ErrorCode::LedgerUnavailable, &error))?;
        let document = conclusion.document(&admitted, settled.budget);
        let elapsed = TimeDelta::from_std(begun.elapsed()).unwrap_or_default();
        let times = StepTimes { finished: Some(now + elapsed), ..times };
        let record = conclusion.record(&admitted, &document, settled.alerts, times);
        let keep = async {
            // Another answer can come again under the same id, so it must not stand in the table.
            if let (Some(answers), Some(_)) = (answers, conclusion.usage()) {
                answers.keep(&document, admitted.digest.as_deref(), now).await;
            }
        };
        let ((), queued) = tokio::join!(keep, self.queue.send(&record));
        queued?;
        Ok(Ending::Document(Box::new(document)))
    }

    async fn charge(
        &self,
        admitted: &Admitted,
        conclusion: &Conclusion,
        now: DateTime<Utc>,
    ) -> Result<Settled, LedgerError> {
        let price = admitted.model.price.as_ref();
        let used = conclusion.usage().map(|usage| Used {
            amount: Amount::of_request(&usage, price),
            told: json!(Spent::of(usage, price)).to_string(),
        });
        Box::pin(self.ledger.end(&admitted.reservation, used, conclusion.nothing_spent(), now)).await
    }

    /// Returns the kept answer to a repeated request. An error of the table does not fail the request, because the answer
    /// `DuplicateRequest` is true as well.
    async fn repeat(&self, input: &RepeatInput, now: DateTime<Utc>) -> Result<Ending, Failure> {
        let kept = match &self.answers {
            Some(answers) => answers.first(input, now).await,
            None => None,
        };
        let unwritable = |error| Failure::new(ErrorCode::LedgerUnavailable, format!("the answer: {error}"));
        let answer = match kept {
            Some(answer) => answer,
            None => to_raw_value(&input.repeated).map_err(unwritable)?,
        };
        Ok(Ending::Repeated(answer))
    }

    async fn cancel(&self, input: &CancelInput, now: DateTime<Utc>) -> Result<Ending, Failure> {
        let holder = Holder { request_id: &input.request_key, execution_id: &input.execution_id };
        let limits: Vec<&ScopeLimit> = input.limits.all().collect();
        let canceled = self.ledger.cancel(holder, &limits, now).await;
        canceled.map_err(|error| Failure::caused(ErrorCode::LedgerUnavailable, &error))?;
        Ok(Ending::Canceled {})
    }
}

#[cfg(test)]
mod tests;
