//! The steps after the approval: the call of the model, and its settlement.

use backon::Retryable;
use chrono::Utc;
use fn_invoke_model::Opened;
use fn_settle::Ending;
use sentry_contract::answer::FinalAnswer;
use sentry_contract::states::{
    Admitted, CallFailure, CancelInput, Ended, Gathered, Invoked, LateSettlement, LimitsFound, MetricsRecord,
    QueuedTask, RequestLimits, ReserveInput, SettleEvent, SettleInput, StepTimes,
};
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_models::adapters::Conclusion;
use serde_json::json;
use serde_json::value::{RawValue, to_raw_value};
use tracing::{error, warn};

use crate::steps::{Approved, Steps, again};

impl Steps {
    /// Calls the model and settles. Returns the final document.
    pub async fn finish(&self, approved: Approved) -> FinalAnswer {
        let ended = self.call(&approved).await;
        self.settle(approved.admitted, ended, approved.times, true).await
    }

    /// The state `Invoke Model`.
    async fn call(&self, approved: &Approved) -> Ended {
        let invoked = match event(approved) {
            Ok(event) => self.invoker.invoke(event).await,
            Err(failure) => Invoked::Failure(failure),
        };
        match invoked {
            Invoked::Sealed(sealed) => Ended { sealed: Some(*sealed), ..Ended::default() },
            Invoked::Failure(failure) => Ended { failure: Some(*failure), ..Ended::default() },
            // Only the answer to an open prompt.
            Invoked::Answer(_) => Ended::default(),
        }
    }

    /// The state `Invoke Model`, for an answer in events.
    ///
    /// # Errors
    /// If the model fails before its first event.
    pub(crate) async fn open(&self, approved: &Approved) -> Result<Opened, Box<CallFailure>> {
        self.invoker.open(event(approved)?).await
    }

    /// The state `Settle`, and `Queue Settlement` and `Read Answer` after it has failed. An answer that is not
    /// whole, because its text has passed by in events, is not kept.
    pub(crate) async fn settle(
        &self,
        admitted: Admitted,
        ended: Ended,
        times: StepTimes,
        is_whole: bool,
    ) -> FinalAnswer {
        let times = StepTimes { ended: Some(Utc::now()), ..times };
        let settle = async || {
            let input = SettleInput { admitted: admitted.clone(), ended: ended.clone(), times };
            if is_whole {
                self.settler.settle(SettleEvent::Settle(Box::new(input)), Utc::now()).await
            } else {
                self.settler.settle_without_text(input, Utc::now()).await
            }
        };
        match settle.retry(again()).await {
            Ok(Ending::Document(document)) => *document,
            Ok(Ending::Repeated(_) | Ending::Canceled {}) => self.settle_later(&admitted, ended, times).await,
            Err(failure) => {
                error!(cause = %failure, "a request could not be settled; the queue settles it");
                self.settle_later(&admitted, ended, times).await
            }
        }
    }

    async fn settle_later(&self, admitted: &Admitted, ended: Ended, times: StepTimes) -> FinalAnswer {
        let conclusion = Conclusion::of(ended, &admitted.model, std::time::Duration::ZERO);
        let document = conclusion.document(admitted, Vec::new());
        let record = late(admitted, &conclusion, &document, StepTimes { queued: Some(Utc::now()), ..times });
        if let Err(failure) = (|| self.queue.send(&record)).retry(again()).await {
            error!(cause = %failure, "a settlement could not be queued; the hold stays until it expires");
        }
        document
    }

    /// `Cancel Reservation`, and `Queue Cancellation` after it has failed.
    pub(crate) async fn cancel(&self, input: &ReserveInput) {
        let limits = match &input.gathered.1 {
            Gathered::Available(LimitsFound::Found { limits }) => *limits.clone(),
            _ => RequestLimits::default(),
        };
        let (request_key, execution_id) = (input.request.request_key.clone(), input.execution_id.clone());
        let cancel = CancelInput { request_key, execution_id, limits };
        let event = || SettleEvent::Cancel(cancel.clone());
        if let Err(failure) = (|| self.settler.settle(event(), Utc::now())).retry(again()).await {
            warn!(cause = %failure, "a reservation could not be canceled; the queue cancels it");
            let task = QueuedTask::Cancellation(Box::new(cancel.clone()));
            if let Err(failure) = (|| self.queue.send_task(&task)).retry(again()).await {
                error!(cause = %failure, "a cancellation could not be queued; a hold stays until it expires");
            }
        }
    }
}

/// The message with the settlement that remains to be made.
fn late(admitted: &Admitted, conclusion: &Conclusion, document: &FinalAnswer, times: StepTimes) -> MetricsRecord {
    let record = conclusion.record(admitted, document, Vec::new(), times);
    let settlement = LateSettlement {
        reservation: admitted.reservation.clone(),
        model: admitted.model.clone(),
        nothing_spent: conclusion.nothing_spent(),
    };
    MetricsRecord { settlement: Some(settlement), ..record }
}

/// The input of `Invoke Model`.
///
/// # Errors
/// If it cannot be written. Then the model was never called.
fn event(approved: &Approved) -> Result<Box<RawValue>, Box<CallFailure>> {
    let Admitted { model, tags, reservation, .. } = &approved.admitted;
    let max_tokens = reservation.max_tokens;
    let event = json!({"model": model, "tags": tags, "maxTokens": max_tokens, "prompt": approved.prompt});
    to_raw_value(&event).map_err(|_| {
        let error = ErrorBody::new(ErrorCode::ModelUnavailable, "The model could not be called; try again.");
        Box::new(CallFailure { nothing_spent: true, ..error.into() })
    })
}
