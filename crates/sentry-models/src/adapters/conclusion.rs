//! The end of an admitted request: its final document, and its message for the metrics queue.

use std::time::Duration;

use sentry_contract::answer::FinalAnswer;
use sentry_contract::request::Model;
use sentry_contract::sizes::{MAX_PAYLOAD_BYTES, payload_bytes};
use sentry_contract::states::{
    Admitted, AnswerTerms, CallFailure, Carried, Ended, MetricsRecord, ModelAnswer, RecordedEntry, SealedAnswer,
    StepTimes,
};
use sentry_contract::{ErrorBody, ErrorCode, Outcome};
use sentry_domain::{Alert, BudgetEntry, TokenUsage};
use serde_json::Value;

use super::outcome::{failed, native_failure, priced, too_large};
use super::{ModelFailure, integration};

/// The result of a model call, after it was read and opened.
#[derive(Clone, Debug, PartialEq)]
pub struct Conclusion {
    /// The answer or the failure. The failure's details may contain Bedrock's own message, so they must not be logged.
    end: Result<Box<ModelAnswer>, Box<CallFailure>>,
}

impl Conclusion {
    /// Reads `ended`, the end of a call to `model`. `timeout` is the limit of a call by Step Functions.
    #[must_use]
    pub fn of(ended: Ended, model: &Model, timeout: Duration) -> Self {
        let end = match ended {
            Ended { sealed: Some(sealed), .. } => opened(&sealed),
            Ended { failure: Some(failure), .. } => Err(Box::new(with_reason(failure))),
            Ended { result: Some(result), terms: Some(terms), .. } => native_answer(result, model, terms),
            Ended { error: Some(error), cause, .. } => {
                let failure = native_failure(&error, &cause.unwrap_or_default(), timeout);
                Err(Box::new(with_reason(*failed(failure, Carried::Sealed))))
            }
            _ => Err(Box::new(no_end().into())),
        };
        Self { end }
    }

    /// The tokens that the call used, if they are known.
    #[must_use]
    pub fn usage(&self) -> Option<TokenUsage> {
        match &self.end {
            Ok(answer) => Some(answer.usage.tokens),
            Err(failure) => failure.usage.map(|usage| usage.tokens),
        }
    }

    /// `true` if the model certainly used nothing. If it is `false` and [`Self::usage`] is `None`, the usage is
    /// unknown.
    #[must_use]
    pub fn nothing_spent(&self) -> bool {
        self.end.as_ref().is_err_and(|failure| failure.nothing_spent && failure.usage.is_none())
    }

    /// The final document, with `budget`. If the answer does not fit into it, the document has the error
    /// `OutputTooLarge` instead.
    #[must_use]
    pub fn document(&self, admitted: &Admitted, budget: Vec<BudgetEntry>) -> FinalAnswer {
        let document = self.unchecked(admitted, budget);
        match payload_bytes(&document) {
            Ok(bytes) if bytes <= MAX_PAYLOAD_BYTES => document,
            Ok(bytes) => without_answer(document, *too_large(bytes, MAX_PAYLOAD_BYTES).error),
            Err(_) => without_answer(document, *ModelFailure::malformed("it cannot be written as JSON").error),
        }
    }

    fn unchecked(&self, admitted: &Admitted, budget: Vec<BudgetEntry>) -> FinalAnswer {
        let Admitted { model, tags, notes, .. } = admitted;
        let answer = self.end.as_ref().ok().cloned();
        let failure = self.end.as_ref().err();
        let (output, usage, cost) = match answer {
            Some(answer) => (Some(answer.output), Some(answer.usage), Some(answer.cost)),
            None => (None, None, None),
        };
        FinalAnswer {
            outcome: if failure.is_none() { Outcome::Succeeded } else { Outcome::InvocationFailed },
            status_code: failure.map_or(200, |failure| failure.status_code),
            tags: tags.clone(),
            model: Some(model.into()),
            output,
            usage,
            cost,
            error: failure.map(|failure| failure.error.clone()),
            budget: Some(budget),
            degraded: notes.degraded.clone(),
            would_deny: notes.would_deny.clone(),
            notices: notes.notices.clone(),
            replayed: false,
        }
    }

    /// The message for the metrics queue about a request that was settled and answered with `document`. `times` are
    /// those of its steps.
    #[must_use]
    pub fn record(
        &self,
        admitted: &Admitted,
        document: &FinalAnswer,
        alerts: Vec<Alert>,
        times: StepTimes,
    ) -> MetricsRecord {
        let reservation = &admitted.reservation;
        let limits = reservation.scopes.iter().map(|scope| &scope.limit);
        MetricsRecord {
            execution_id: Some(reservation.execution_id.clone()),
            outcome: document.outcome,
            tags: admitted.tags.clone(),
            model: (&admitted.model).into(),
            usage: self.usage().map(Into::into),
            code: document.error.as_ref().map(|error| error.code),
            scopes: MetricsRecord::scopes_of(limits.clone()),
            nothing_spent: self.nothing_spent(),
            hold: Some(reservation.hold),
            degraded: admitted.notes.degraded.clone(),
            would_deny: admitted.notes.would_deny.clone(),
            asked: admitted.notes.asked.clone(),
            alerts,
            settlement: None,
            budget: RecordedEntry::all(document.budget.as_deref().unwrap_or_default(), limits),
            times,
        }
    }
}

fn opened(sealed: &SealedAnswer) -> Result<Box<ModelAnswer>, Box<CallFailure>> {
    let answer = sealed.answer.open::<ModelAnswer>().map(Box::new);
    answer.map_err(|_| {
        let unreadable = ModelFailure::malformed("it cannot be unpacked").spent(sealed.usage.tokens);
        failed(unreadable, Carried::Sealed)
    })
}

fn native_answer(result: Value, model: &Model, terms: AnswerTerms) -> Result<Box<ModelAnswer>, Box<CallFailure>> {
    let reply = integration::read(result, terms.charges).map_err(|failure| failed(failure, Carried::Sealed))?;
    Ok(Box::new(priced(reply, model.price, terms)))
}

/// Moves Bedrock's own message to the details. The document goes to the client that wrote the prompt.
fn with_reason(mut failure: CallFailure) -> CallFailure {
    let message = failure.bedrock_message.take().and_then(|sealed| sealed.open::<String>().ok());
    if let Some(message) = message {
        failure.error = failure.error.with("bedrockMessage", message);
    }
    failure
}

fn no_end() -> ErrorBody {
    let message = "The call of the model returned neither an answer nor a failure; try again.";
    ErrorBody::new(ErrorCode::ModelUnavailable, message).with("reason", "NoAnswer")
}

fn without_answer(document: FinalAnswer, error: ErrorBody) -> FinalAnswer {
    FinalAnswer {
        outcome: error.code.outcome(),
        status_code: error.code.status(),
        output: None,
        usage: None,
        cost: None,
        error: Some(error),
        ..document
    }
}
