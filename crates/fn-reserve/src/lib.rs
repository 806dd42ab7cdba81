#![doc = include_str!("../README.md")]

mod denial;
mod stand_in;

use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::answer::{BudgetEntry, Degraded, FinalAnswer, Lowered};
use sentry_contract::request::{Model, Tags};
use sentry_contract::states::{
    Admitted, Decision, Gathered, LimitsFound, MetricsRecord, Notes, Reservation, ReserveInput, ScopeLimit,
};
use sentry_contract::usage::UsageSeries;
use sentry_contract::{ErrorBody, ErrorCode, Outcome};
use sentry_domain::{Amount, Price};
use sentry_lambda::Failure;
use sentry_ledger::{Admission, Ask, Choice, Figures, Holder, Ledger};

use crate::stand_in::StandIn;

/// Decides, and holds.
#[derive(Debug)]
pub struct Reserver {
    ledger: Ledger,
    hold_for: TimeDelta,
}

impl Reserver {
    /// Holds in `ledger` for `hold_for`.
    #[must_use]
    pub const fn new(ledger: Ledger, hold_for: TimeDelta) -> Self {
        Self { ledger, hold_for }
    }

    /// Takes a hold for the request on every scope that applies, or denies it with its complete answer. Where it does not fit and the limits
    /// let another model answer, the hold may be for that one.
    ///
    /// # Errors
    /// `LedgerUnavailable` when the ledger cannot be reached. A hold may then have been taken; repeating the call finds it.
    pub async fn reserve(&self, input: ReserveInput, now: DateTime<Utc>) -> Result<Decision, Failure> {
        let request = &input.request;
        let price = request.model.price.as_ref();
        let (limits, usage) = match known(&input, price) {
            Ok(known) => known,
            Err(error) => return Ok(denied(&input, error, Vec::new())),
        };
        let ask = Ask {
            input_tokens: input_tokens(&input),
            max_tokens: request.estimate.max_tokens,
            given: request.estimate.max_tokens_given,
            has_fallback: false,
            price,
            limits,
            seen: seen(usage, limits, price),
        };
        let stand_in = StandIn::of(&input);
        let fallback = stand_in.as_ref().map(|stand_in| stand_in.ask(&request.estimate));
        let holder = Holder { request_id: &request.request_key, execution_id: &input.execution_id };
        let reserved = Box::pin(self.ledger.reserve_either(holder, &ask, fallback.as_ref(), now, self.hold_for)).await;
        let (admission, choice) = reserved.map_err(|error| Failure::caused(ErrorCode::LedgerUnavailable, &error))?;
        let age_seconds = usage.age_seconds(now);
        Ok(match admission {
            Admission::Approved(reservation) => match stand_in.filter(|_| choice == Choice::Fallback) {
                None => approved(reservation, &input, None, age_seconds),
                Some(stand_in) => {
                    let age_seconds = stand_in.usage.age_seconds(now);
                    approved(reservation, &input, Some(&stand_in.fallback.model), age_seconds)
                }
            },
            Admission::Duplicate => {
                let request_id = request.tags.get(Tags::REQUEST_ID).unwrap_or_default();
                denied(&input, denial::duplicate(request_id), Vec::new())
            }
            Admission::Denied { shortage, figures } => {
                let budget = budget(limits, &figures, ask.seen, age_seconds);
                denied(&input, denial::short(&shortage, limits), budget)
            }
        })
    }
}

/// The gathered limits and usage, if they are complete and apply to the model.
fn known<'a>(input: &'a ReserveInput, price: Option<&Price>) -> Result<(&'a [ScopeLimit], &'a UsageSeries), ErrorBody> {
    let (usage, limits, _) = &input.gathered;
    let limits = match limits {
        Gathered::Available(LimitsFound::Found { limits, .. }) => limits,
        Gathered::Available(LimitsFound::Refused { refusal }) => return Err(*refusal.clone()),
        Gathered::Unavailable { unavailable } => {
            return Err(denial::unknown(ErrorCode::LedgerUnavailable, "limit", unavailable));
        }
    };
    let usage = match usage {
        Gathered::Available(usage) => &usage.model,
        Gathered::Unavailable { unavailable } => {
            return Err(denial::unknown(ErrorCode::UsageUnavailable, "usage", unavailable));
        }
    };
    match limits.iter().find(|limit| limit.limits.usd.is_some()) {
        Some(limit) if price.is_none() => Err(denial::unpriced(limit, &input.request.model)),
        _ => Ok((limits, usage)),
    }
}

/// CloudWatch's figure for the window of the model's limit, which is the first.
fn seen(usage: &UsageSeries, limits: &[ScopeLimit], price: Option<&Price>) -> Amount {
    limits.first().map_or(Amount::ZERO, |limit| Amount::of(&usage.since(limit.window.start), price))
}

/// The smaller of both bounds: the prompt's bytes, and Bedrock's own count where there is one.
fn input_tokens(input: &ReserveInput) -> u64 {
    let (_, _, count) = &input.gathered;
    let counted = match count {
        Gathered::Available(count) => count.input_tokens,
        Gathered::Unavailable { .. } => None,
    };
    input.request.estimate.input_tokens.min(counted.unwrap_or(u64::MAX))
}

/// The approval; `called` is the fallback where it is the one to call. CloudWatch's figure of the model that is called is `age_seconds` old.
fn approved(mut reservation: Reservation, input: &ReserveInput, called: Option<&Model>, age_seconds: u64) -> Decision {
    let request = &input.request;
    let lowered = Lowered::new(request.estimate.max_tokens, reservation.max_tokens);
    let degraded = match called {
        None => lowered.map(Degraded::Clamp),
        Some(called) => Some(Degraded::Fallback {
            from: request.model.model_id.clone(),
            to: called.model_id.clone(),
            max_tokens: lowered,
        }),
    };
    if let Some(scope) = reservation.scopes.first_mut() {
        scope.usage_age_seconds = Some(age_seconds);
    }
    let model = Model { requested: request.model.requested.clone(), ..called.unwrap_or(&request.model).clone() };
    let mut tags = request.tags.clone();
    tags.set(Tags::MODEL_METRIC, model.model_metric.clone());
    let admitted = Admitted { reservation, model, tags, notes: Notes { degraded } };
    Decision::Approved { approved: true, admitted: Box::new(admitted) }
}

/// The figures that a denial was made from. CloudWatch's figure of the model is `age_seconds` old.
fn budget(limits: &[ScopeLimit], figures: &[Figures], seen: Amount, age_seconds: u64) -> Vec<BudgetEntry> {
    let mut entries: Vec<BudgetEntry> = Vec::with_capacity(limits.len());
    for (limit, figures) in limits.iter().zip(figures) {
        // The first limit is the model's, the only one that CloudWatch knows.
        let of_model = entries.is_empty();
        let entry = figures.entry(limit, if of_model { seen } else { Amount::ZERO });
        entries.push(BudgetEntry { usage_age_seconds: of_model.then_some(age_seconds), ..entry });
    }
    entries
}

/// The denial with its complete answer and, unless it is a duplicate, its message for the metrics.
fn denied(input: &ReserveInput, error: ErrorBody, budget: Vec<BudgetEntry>) -> Decision {
    let request = &input.request;
    let answer = FinalAnswer::refused(request.tags.clone(), Some((&request.model).into()), error, budget);
    let record = (answer.outcome == Outcome::Denied).then(|| {
        Box::new(MetricsRecord {
            outcome: answer.outcome,
            tags: answer.tags.clone(),
            model: (&request.model).into(),
            usage: None,
            code: answer.error.as_ref().map(|error| error.code),
            hold: None,
            degraded: None,
            alerts: Vec::new(),
            settlement: None,
        })
    });
    Decision::Denied { approved: false, answer: Box::new(answer), record }
}

#[cfg(test)]
mod tests;
