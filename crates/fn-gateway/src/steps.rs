//! The steps of the rate limiter up to the decision, in one process. Every decision is made by the library of the
//! function that makes it in the workflow.

use std::sync::Arc;
use std::time::{Duration, Instant};

use backon::{ConstantBuilder, Retryable};
use chrono::Utc;
use fn_count_tokens::TokenCounter;
use fn_fetch_usage::UsageSource;
use fn_invoke_model::Invoker;
use fn_lookup_limit::LimitsTable;
use fn_month_range::month_range;
use fn_reserve::Reserver;
use fn_settle::{MetricsQueue, Settler};
use fn_validate_and_tag::{Resolver, validate_and_tag};
use sentry_contract::answer::FinalAnswer;
use sentry_contract::request::Request;
use sentry_contract::states::{
    Admitted, CountTokensInput, Decision, Gathered, LookupLimitInput, MetricsRecord, RepeatInput, ReserveInput,
    StepTimes, TokenCount, Validated,
};
use sentry_contract::usage::MonthRangeInput;
use sentry_contract::{ErrorBody, ErrorCode, Sealed};
use sentry_lambda::Failure;
use sentry_ledger::ScopesAhead;
use sentry_models::home_of_profile;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use tracing::{error, warn};
use uuid::Uuid;

use crate::ahead::{Ahead, ReadAhead};
use crate::caller::Caller;

/// The steps of a request, each with its clients.
#[derive(Debug)]
pub struct Steps {
    /// Resolves models, for `Validate And Tag`.
    pub resolver: Resolver,
    /// CloudWatch's figures, for `Fetch Usage`.
    pub usage: UsageSource,
    /// The limits table, for `Lookup Limit`.
    pub limits: LimitsTable,
    /// Remembers which limits and budgets a caller's requests have.
    pub ahead: Arc<Ahead>,
    /// Bedrock's counts of prompts, for `Count Tokens`.
    pub counter: TokenCounter,
    /// Takes holds, for `Reserve`.
    pub reserver: Reserver,
    /// Takes the holds of requests for events, which last as long as a stream can.
    pub stream_reserver: Reserver,
    /// Calls models, for `Invoke Model`.
    pub invoker: Invoker,
    /// Settles and cancels holds, for `Settle` and `Cancel Reservation`.
    pub settler: Settler,
    /// The queue of `Emit Metrics`.
    pub queue: MetricsQueue,
}

/// A request that may be sent to its model.
#[derive(Debug)]
pub struct Approved {
    /// The hold, the model and the tags.
    pub admitted: Admitted,
    /// The prompt, which logs do not contain.
    pub prompt: Sealed,
    /// The times of the steps so far.
    pub times: StepTimes,
}

/// The end of the steps before the call.
#[derive(Debug)]
pub enum Decided {
    /// The hold is taken.
    Approved(Box<Approved>),
    /// The request was refused or denied, or the answer is a kept one. Nothing was called.
    Answered(Box<FinalAnswer>),
    /// The caller may not use the model. Nothing was counted.
    ModelNotAllowed(String),
}

impl Steps {
    /// Decides on `document`, which `caller` sends. An approval has taken its hold, which lasts longer for an answer
    /// `in_events`.
    pub async fn decide(&self, document: &RawValue, caller: &Caller, in_events: bool) -> Decided {
        let started = Utc::now();
        let (request, prompt) =
            match validate_and_tag(document, &self.resolver, started, Instant::now(), Uuid::new_v4()).await {
                Validated::Refused { answer, .. } => return Decided::Answered(answer),
                Validated::Valid { request, prompt, .. } => (*request, prompt),
            };
        match self.allows(caller, &request).await {
            Ok(true) => {}
            Ok(false) => return Decided::ModelNotAllowed(request.model.requested),
            Err(failure) => return Decided::Answered(Box::new(unavailable(&request, failure.name()))),
        }
        let mut times = StepTimes { started: Some(started), validated: Some(Utc::now()), ..StepTimes::default() };
        let input = self.gathered(request, &prompt, caller).await;
        times.gathered = Some(Utc::now());
        let reserver = if in_events { &self.stream_reserver } else { &self.reserver };
        let ahead = || caller.ahead.as_ref().and_then(ReadAhead::fresh).map(|read| &read.scopes);
        let decision = (|| reserver.reserve_ahead(input.clone(), ahead(), Utc::now())).retry(again()).await;
        times.decided = Some(Utc::now());
        match decision {
            Ok(Decision::Approved { admitted, .. }) => {
                if let Some(record) = &caller.record {
                    self.ahead.remember_scopes(record, ScopesAhead::keys_of(&admitted.reservation));
                }
                Decided::Approved(Box::new(Approved { admitted: *admitted, prompt, times }))
            }
            Ok(Decision::Denied { answer, record, .. }) => {
                if let Some(record) = record {
                    self.count(MetricsRecord { times, ..*record }).await;
                }
                let kept = self.kept(&answer, &input.request).await;
                Decided::Answered(kept.map_or(answer, Box::new))
            }
            Err(failure) => {
                error!(cause = %failure, "the decision could not be made");
                self.cancel(&input).await;
                let answer = unavailable(&input.request, failure.name());
                self.count(no_decision(&input, times)).await;
                Decided::Answered(Box::new(answer))
            }
        }
    }

    /// The decision on `document`, without a hold. An approval returns the figures of its budgets.
    ///
    /// # Errors
    /// The answer of a request that would be refused or denied.
    pub async fn preview(
        &self,
        document: &RawValue,
        caller: &Caller,
    ) -> Result<Vec<sentry_domain::BudgetEntry>, Box<FinalAnswer>> {
        let now = Utc::now();
        let (request, prompt) =
            match validate_and_tag(document, &self.resolver, now, Instant::now(), Uuid::new_v4()).await {
                Validated::Refused { answer, .. } => return Err(answer),
                Validated::Valid { request, prompt, .. } => (*request, prompt),
            };
        match self.allows(caller, &request).await {
            Ok(true) => {}
            Ok(false) => {
                let error = ErrorBody::new(ErrorCode::UnknownModel, "The caller may not use this model.");
                return Err(Box::new(FinalAnswer::refused(request.tags, None, error, Vec::new())));
            }
            Err(failure) => return Err(Box::new(unavailable(&request, failure.name()))),
        }
        let input = self.gathered(request, &prompt, caller).await;
        match self.reserver.preview(input.clone(), now).await {
            Ok((Decision::Approved { .. }, budget)) => Ok(budget),
            Ok((Decision::Denied { answer, .. }, _)) => Err(answer),
            Err(failure) => Err(Box::new(unavailable(&input.request, failure.name()))),
        }
    }

    /// `true` if `caller` may use the model of `request`. An application inference profile has a budget and a bill of its
    /// own, so the record of the caller must name it, unless the policy has chosen it by the caller's tags.
    async fn allows(&self, caller: &Caller, request: &Request) -> Result<bool, Failure> {
        let model = &request.model;
        let named = |models: &[String]| models.iter().any(|each| *each == model.requested || *each == model.model_id);
        if let Some(models) = &caller.models {
            let foundation = |each: &String| Some(each) == model.foundation.as_ref();
            if named(models) {
                return Ok(true);
            }
            if !models.iter().any(foundation) {
                return Ok(false);
            }
        }
        if home_of_profile(&model.model_id).is_none() {
            return Ok(true);
        }
        let chosen = self.resolver.resolve(&model.requested, Utc::now().date_naive(), Instant::now()).await?;
        Ok(chosen.is_ok_and(|resolved| home_of_profile(&resolved.model.model_id).is_none()))
    }

    /// `Gather`: usage, limits and token count at once. A look-up that fails leaves its name.
    async fn gathered(&self, request: Request, prompt: &Sealed, caller: &Caller) -> ReserveInput {
        let now = Utc::now();
        let model = request.model.clone();
        let range = month_range(MonthRangeInput { model: model.clone(), fallback: request.fallback.clone() }, now);
        let wanted = LookupLimitInput { model, tags: request.tags.clone(), fallback: request.fallback.clone() };
        let count = async {
            match &request.counted_as {
                Some(counted_as) => {
                    let input = CountTokensInput { counted_as: counted_as.clone(), prompt: prompt.clone() };
                    self.counter.count(&input, Instant::now()).await
                }
                None => TokenCount { input_tokens: None },
            }
        };
        let ahead = caller.ahead.as_ref().and_then(ReadAhead::fresh).map(|read| &read.limits);
        let (usage, limits, count) =
            tokio::join!(self.usage.fetch(&range, now), self.limits.lookup_ahead(&wanted, ahead, now), count);
        if let Some(record) = &caller.record {
            self.ahead.remember_limits(record, self.limits.keys(&wanted));
        }
        ReserveInput {
            execution_id: format!("gateway:{}", Uuid::new_v4()),
            gathered: (available(usage), available(limits), Gathered::Available(count)),
            request,
        }
    }

    /// `Find Kept Answer`: the first answer, if `answer` says that `request` repeats a settled one with the same document.
    async fn kept(&self, answer: &FinalAnswer, request: &Request) -> Option<FinalAnswer> {
        let (answers, error) = (self.settler.answers()?, answer.error.as_ref()?);
        let is_settled = error.details.get("state").and_then(Value::as_str) == Some("settled");
        if error.code != ErrorCode::DuplicateRequest || !is_settled {
            return None;
        }
        let input = RepeatInput { repeated: json!(answer), digest: request.digest.clone() };
        let kept = answers.first(&input, Utc::now()).await?;
        // A message of serde can contain text of the answer.
        let unreadable =
            |problem: serde_json::Error| error!(column = problem.column(), "a kept answer is not understood");
        serde_json::from_str(kept.get()).map_err(unreadable).ok()
    }

    /// Queues the message of a denied request. An answer is never withheld because it could not be counted.
    async fn count(&self, record: MetricsRecord) {
        if let Err(failure) = (|| self.queue.send(&record)).retry(again()).await {
            warn!(cause = %failure, "a denied request could not be counted");
        }
    }
}

/// Two repetitions, with up to a second of pause before each. Only for steps that may be repeated.
pub(crate) fn again() -> ConstantBuilder {
    ConstantBuilder::default().with_delay(Duration::from_millis(500)).with_jitter().with_max_times(2)
}

fn available<T>(result: Result<T, Failure>) -> Gathered<T> {
    match result {
        Ok(found) => Gathered::Available(found),
        Err(failure) => {
            error!(cause = %failure, "a look-up before the decision failed");
            Gathered::Unavailable { unavailable: failure.name().to_owned() }
        }
    }
}

/// The answer to a request without a decision: the state `Budget Unavailable` of the workflow.
fn unavailable(request: &Request, reason: &str) -> FinalAnswer {
    let message = "The budget could not be determined, so nothing was sent to the model; try again.";
    let error = ErrorBody::new(ErrorCode::LedgerUnavailable, message).with("reason", reason);
    FinalAnswer::refused(request.tags.clone(), Some((&request.model).into()), error, Vec::new())
}

/// The message of a request without a decision.
fn no_decision(input: &ReserveInput, times: StepTimes) -> MetricsRecord {
    MetricsRecord {
        execution_id: Some(input.execution_id.clone()),
        outcome: ErrorCode::LedgerUnavailable.outcome(),
        tags: input.request.tags.clone(),
        model: (&input.request.model).into(),
        usage: None,
        code: Some(ErrorCode::LedgerUnavailable),
        scopes: Vec::new(),
        nothing_spent: false,
        hold: None,
        degraded: None,
        would_deny: Vec::new(),
        asked: None,
        alerts: Vec::new(),
        settlement: None,
        budget: Vec::new(),
        times,
    }
}
