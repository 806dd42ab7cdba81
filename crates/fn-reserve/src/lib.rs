#![doc = include_str!("../README.md")]

mod denial;
mod one_request;
mod stand_in;

use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::answer::{Degraded, FinalAnswer, Lowered};
use sentry_contract::request::{Model, Tags};
use sentry_contract::states::{
    Admitted, Asked, Decision, Gathered, LimitsFound, MetricsRecord, Notes, RecordedEntry, RequestLimits, ReserveInput,
    StepTimes,
};
use sentry_contract::usage::UsageSeries;
use sentry_contract::{ErrorBody, ErrorCode, Outcome};
use sentry_domain::{Alert, Amount, BudgetEntry, Charges, Price, Reservation, ScopeLimit};
use sentry_lambda::Failure;
use sentry_ledger::{Admission, Ask, Book, Budget, Choice, Holder, Ledger, LedgerError, Preview, ScopesAhead};

use crate::one_request::Judged;
use crate::stand_in::StandIn;

/// Decides on requests, and takes their holds.
#[derive(Debug)]
pub struct Reserver {
    ledger: Ledger,
    hold_for: TimeDelta,
}

impl Reserver {
    /// Takes holds in `ledger` that expire after `hold_for`.
    #[must_use]
    pub const fn new(ledger: Ledger, hold_for: TimeDelta) -> Self {
        Self { ledger, hold_for }
    }

    /// Takes a hold for the request on every scope that applies, or denies the request with its complete answer. If the
    /// request does not fit and the limits allow `fallback`, the hold may be for the fallback model.
    ///
    /// # Errors
    /// Returns `LedgerUnavailable` if the ledger cannot be reached. A hold may then exist. A repeated call finds it.
    pub async fn reserve(&self, input: ReserveInput, now: DateTime<Utc>) -> Result<Decision, Failure> {
        self.reserve_ahead(input, None, now).await
    }

    /// Does the same as [`Self::reserve`] with items of the ledger that were read just now.
    ///
    /// # Errors
    /// The same as for [`Self::reserve`].
    pub async fn reserve_ahead(
        &self,
        input: ReserveInput,
        ahead: Option<&ScopesAhead>,
        now: DateTime<Utc>,
    ) -> Result<Decision, Failure> {
        let wanted = match Wanted::of(&input) {
            Ok(wanted) => wanted,
            Err(error) => return Ok(denied(&input, error, Vec::new(), Vec::new())),
        };
        let stand_in = StandIn::of(&input);
        let fallback = stand_in.as_ref().map(|stand_in| &stand_in.ask);
        let reserved = self.ledger.reserve_either(holder(&input), &wanted.ask, fallback, ahead, now, self.hold_for);
        let (admission, choice) = Box::pin(reserved).await.map_err(|error| unavailable(&error))?;
        Ok(decision(&input, wanted, stand_in, admission, choice, now))
    }

    /// Foresees the decision of [`Self::reserve`] without a write. An approval has the figures of its budgets, because
    /// nothing settles it later; its reservation is not held.
    ///
    /// # Errors
    /// Returns `LedgerUnavailable` if the ledger cannot be reached.
    pub async fn preview(
        &self,
        input: ReserveInput,
        now: DateTime<Utc>,
    ) -> Result<(Decision, Vec<BudgetEntry>), Failure> {
        let wanted = match Wanted::of(&input) {
            Ok(wanted) => wanted,
            Err(error) => return Ok((denied(&input, error, Vec::new(), Vec::new()), Vec::new())),
        };
        let stand_in = StandIn::of(&input);
        let fallback = stand_in.as_ref().map(|stand_in| &stand_in.ask);
        let seen = self.ledger.preview(holder(&input), &wanted.ask, fallback, now, self.hold_for).await;
        let Preview { admission, choice, budget } = seen.map_err(|error| unavailable(&error))?;
        Ok((decision(&input, wanted, stand_in, admission, choice, now), budget))
    }

    /// The figures of `limits`, which are limits of tags, without a request.
    ///
    /// # Errors
    /// Returns `LedgerUnavailable` if the ledger cannot be reached.
    pub async fn figures(&self, limits: &[ScopeLimit], now: DateTime<Utc>) -> Result<Vec<BudgetEntry>, Failure> {
        let nothing = Ask {
            input_tokens: 0,
            max_tokens: 0,
            given: true,
            has_fallback: false,
            price: None,
            charges: Charges::default(),
            budgets: limits.iter().map(|limit| Budget { limit, seen: Amount::ZERO }).collect(),
        };
        // No request has this id.
        let nobody = Holder { request_id: "figures", execution_id: "figures" };
        let seen = self.ledger.preview(nobody, &nothing, None, now, self.hold_for).await;
        Ok(seen.map_err(|error| unavailable(&error))?.budget)
    }
}

/// Makes the decision of [`Reserver::reserve`] at `now` with `book` as the ledger. It holds nothing: the caller gives the
/// reservation of an approval to [`Book::take`]. For the replay of a past month.
#[must_use]
pub fn replay(input: &ReserveInput, book: &mut Book, now: DateTime<Utc>, hold_for: TimeDelta) -> Decision {
    let wanted = match Wanted::of(input) {
        Ok(wanted) => wanted,
        Err(error) => return denied(input, error, Vec::new(), Vec::new()),
    };
    let stand_in = StandIn::of(input);
    let fallback = stand_in.as_ref().map(|stand_in| &stand_in.ask);
    let Preview { admission, choice, .. } = book.preview(holder(input), &wanted.ask, fallback, now, hold_for);
    decision(input, wanted, stand_in, admission, choice, now)
}

fn holder(input: &ReserveInput) -> Holder<'_> {
    Holder { request_id: &input.request.request_key, execution_id: &input.execution_id }
}

fn unavailable(error: &LedgerError) -> Failure {
    Failure::caused(ErrorCode::LedgerUnavailable, error)
}

/// The decision for what the ledger admits. `choice` is the model that `admission` is about.
fn decision(
    input: &ReserveInput,
    wanted: Wanted<'_>,
    stand_in: Option<StandIn<'_>>,
    admission: Admission,
    choice: Choice,
    now: DateTime<Utc>,
) -> Decision {
    let Wanted { limits, usage, would_deny, .. } = wanted;
    let age_seconds = usage.age_seconds(now);
    match admission {
        Admission::Approved { mut reservation, would_deny: short } => {
            let stand_in = stand_in.filter(|_| choice == Choice::Fallback);
            let (called, limits, age_seconds, mut would_deny) = match stand_in {
                None => (None, limits, age_seconds, would_deny),
                Some(StandIn { fallback, limits, usage, would_deny, .. }) => {
                    (Some(&fallback.model), limits, usage.age_seconds(now), would_deny)
                }
            };
            for scope in reservation.scopes.iter_mut().take(limits.len()) {
                scope.usage_age_seconds = Some(age_seconds);
            }
            would_deny.extend(short.iter().map(denial::short));
            approved(reservation, input, called, would_deny)
        }
        Admission::Duplicate(earlier) => {
            let request_id = input.request.tags.get(Tags::REQUEST_ID).unwrap_or_default();
            denied(input, denial::duplicate(request_id, &earlier), Vec::new(), Vec::new())
        }
        Admission::Denied { shortage, mut budget, alerts } => {
            for entry in budget.iter_mut().take(limits.len()) {
                entry.usage_age_seconds = Some(age_seconds);
            }
            denied(input, denial::short(&shortage), budget, alerts)
        }
    }
}

/// The request without a fallback, with all facts that the decision needs.
struct Wanted<'a> {
    ask: Ask<'a>,
    /// Limits that depend on the model.
    limits: &'a [ScopeLimit],
    usage: &'a UsageSeries,
    /// Denials that limits in `observe` mode would have made because of the request alone.
    would_deny: Vec<ErrorBody>,
}

impl<'a> Wanted<'a> {
    /// Returns `Err` if the limits or the usage are unknown, or if a limit denies the request alone.
    fn of(input: &'a ReserveInput) -> Result<Self, ErrorBody> {
        let (usage, limits, _) = &input.gathered;
        let limits = match limits {
            Gathered::Available(LimitsFound::Found { limits }) => limits,
            Gathered::Available(LimitsFound::Denied { denial }) => return Err(*denial.clone()),
            Gathered::Unavailable { unavailable } => {
                return Err(denial::unknown(ErrorCode::LedgerUnavailable, "limit", unavailable));
            }
        };
        let (model, estimate) = (&input.request.model, &input.request.estimate);
        let price = model.price.as_ref();
        let ask = Ask {
            input_tokens: input_tokens(input),
            max_tokens: estimate.max_tokens,
            given: estimate.max_tokens_given,
            has_fallback: false,
            price,
            charges: estimate.charges,
            budgets: Vec::new(),
        };
        let all: Vec<&ScopeLimit> = limits.wanted().collect();
        let Judged { max_tokens, would_deny } = one_request::judge(&ask, &all, model)?;
        let usage = match usage {
            Gathered::Available(usage) => &usage.model,
            Gathered::Unavailable { unavailable } => {
                return Err(denial::unknown(ErrorCode::UsageUnavailable, "usage", unavailable));
            }
        };
        let budgets = budgets(&limits.model, usage, price).chain(of_tags(limits)).collect();
        Ok(Self { ask: Ask { max_tokens, budgets, ..ask }, limits: &limits.model, usage, would_deny })
    }
}

/// Limits that depend on a model, each with CloudWatch's figure for its window, in dollars at `price`.
///
/// CloudWatch's figure of one model id is a lower bound for its foundation model. CloudWatch does not count requests in
/// flight.
fn budgets<'a>(
    limits: &'a [ScopeLimit],
    usage: &'a UsageSeries,
    price: Option<&'a Price>,
) -> impl Iterator<Item = Budget<'a>> {
    limits.iter().map(move |limit| {
        let counted = limit.limits.in_flight.is_none();
        let seen = if counted { Amount::of_many(&usage.since(limit.window.start), price) } else { Amount::ZERO };
        Budget { limit, seen }
    })
}

/// The limits of the tags. CloudWatch has no figures for them.
fn of_tags(limits: &RequestLimits) -> impl Iterator<Item = Budget<'_>> {
    limits.tags.iter().map(|limit| Budget { limit, seen: Amount::ZERO })
}

/// The smaller of two bounds: the prompt's estimate, and Bedrock's own count if there is one.
fn input_tokens(input: &ReserveInput) -> u64 {
    let (_, _, count) = &input.gathered;
    let counted = match count {
        Gathered::Available(count) => count.input_tokens,
        Gathered::Unavailable { .. } => None,
    };
    input.request.estimate.input_tokens.min(counted.unwrap_or(u64::MAX))
}

/// The amounts of the request, for the audit record.
fn asked(input: &ReserveInput) -> Box<Asked> {
    Box::new(Asked::of(&input.request, input_tokens(input)))
}

/// The approval. `called` is the fallback model if the hold is for it.
fn approved(
    reservation: Reservation,
    input: &ReserveInput,
    called: Option<&Model>,
    would_deny: Vec<ErrorBody>,
) -> Decision {
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
    let model = Model { requested: request.model.requested.clone(), ..called.unwrap_or(&request.model).clone() };
    let mut tags = request.tags.clone();
    tags.set(Tags::MODEL_METRIC, model.model_metric.clone());
    let notes = Notes { degraded, would_deny, notices: request.notices.clone(), asked: Some(asked(input)) };
    let admitted = Admitted { reservation, model, tags, digest: request.digest.clone(), notes };
    Decision::Approved { approved: true, admitted: Box::new(admitted) }
}

/// The denial with its complete answer and, unless it is a duplicate, its message for the metrics.
fn denied(input: &ReserveInput, error: ErrorBody, budget: Vec<BudgetEntry>, alerts: Vec<Alert>) -> Decision {
    let request = &input.request;
    let answer = FinalAnswer::refused(request.tags.clone(), Some((&request.model).into()), error, budget)
        .with_notices(request.notices.clone());
    let record = (answer.outcome == Outcome::Denied).then(|| {
        let limits = match &input.gathered.1 {
            Gathered::Available(LimitsFound::Found { limits }) => limits.wanted().collect(),
            _ => Vec::new(),
        };
        let limits = limits.iter().copied();
        Box::new(MetricsRecord {
            execution_id: Some(input.execution_id.clone()),
            outcome: answer.outcome,
            tags: answer.tags.clone(),
            model: (&request.model).into(),
            usage: None,
            code: answer.error.as_ref().map(|error| error.code),
            scopes: MetricsRecord::scopes_of(limits.clone()),
            nothing_spent: true,
            hold: None,
            degraded: None,
            would_deny: Vec::new(),
            asked: Some(asked(input)),
            alerts,
            settlement: None,
            budget: RecordedEntry::all(answer.budget.as_deref().unwrap_or_default(), limits),
            // The workflow adds the times.
            times: StepTimes::default(),
        })
    });
    Decision::Denied { approved: false, answer: Box::new(answer), record }
}

#[cfg(test)]
mod tests;
