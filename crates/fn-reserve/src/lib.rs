#![doc = include_str!("../README.md")]

mod denial;
mod stand_in;

use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::answer::{Degraded, Lowered};
use sentry_contract::request::Model;
use sentry_contract::states::{
    Decision, Gathered, LimitsFound, Notes, Reservation, ReserveInput, ScopeLimit, UsageFigure,
};
use sentry_contract::{ErrorBody, ErrorCode};
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

    /// Takes a hold for the request on every scope that applies, or says why not. Where it does not fit and the limits let
    /// another model answer, the hold may be for that one.
    ///
    /// # Errors
    /// `LedgerUnavailable` when the ledger cannot be reached. A hold may then have been taken; repeating the call finds it.
    pub async fn reserve(&self, input: ReserveInput, now: DateTime<Utc>) -> Result<Decision, Failure> {
        let price = input.model.price.as_ref();
        let (limits, usage) = match known(&input, price) {
            Ok(known) => known,
            Err(error) => return Ok(denied(error, &[], &[], Amount::ZERO)),
        };
        let ask = Ask {
            input_tokens: input_tokens(&input),
            max_tokens: input.estimate.max_tokens,
            given: input.estimate.max_tokens_given,
            has_fallback: false,
            price,
            limits,
            seen: Amount::of(&usage.tokens, price),
        };
        let stand_in = StandIn::of(&input);
        let fallback = stand_in.as_ref().map(|stand_in| stand_in.ask(&input.estimate));
        let holder = Holder { request_id: &input.request_id, execution_id: &input.execution_id };
        let reserved = self.ledger.reserve_either(holder, &ask, fallback.as_ref(), now, self.hold_for).await;
        let (admission, choice) = reserved.map_err(|error| Failure::caused(ErrorCode::LedgerUnavailable, &error))?;
        Ok(match admission {
            Admission::Approved(reservation) => {
                let called = stand_in.as_ref().filter(|_| choice == Choice::Fallback);
                approved(reservation, &input, called.map(|stand_in| &stand_in.fallback.model))
            }
            Admission::Duplicate => denied(denial::duplicate(&input.request_id), &[], &[], Amount::ZERO),
            Admission::Denied { shortage, figures } => {
                denied(denial::short(&shortage, limits), limits, &figures, ask.seen)
            }
        })
    }
}

/// What was gathered, if it is complete and applies to the model.
fn known<'a>(input: &'a ReserveInput, price: Option<&Price>) -> Result<(&'a [ScopeLimit], &'a UsageFigure), ErrorBody> {
    let limits = match &input.limits {
        Gathered::Available(LimitsFound::Found { limits, .. }) => limits,
        Gathered::Available(LimitsFound::Refused { refusal }) => return Err(*refusal.clone()),
        Gathered::Unavailable { unavailable } => {
            return Err(denial::unknown(ErrorCode::LedgerUnavailable, "limit", unavailable));
        }
    };
    let usage = match &input.usage {
        Gathered::Available(usage) => &usage.model,
        Gathered::Unavailable { unavailable } => {
            return Err(denial::unknown(ErrorCode::UsageUnavailable, "usage", unavailable));
        }
    };
    match limits.iter().find(|limit| limit.limits.usd.is_some()) {
        Some(limit) if price.is_none() => Err(denial::unpriced(limit, &input.model)),
        _ => Ok((limits, usage)),
    }
}

/// The smaller of both bounds: the prompt's bytes, and Bedrock's own count where there is one.
fn input_tokens(input: &ReserveInput) -> u64 {
    let counted = match &input.count {
        Gathered::Available(count) => count.input_tokens,
        Gathered::Unavailable { .. } => None,
    };
    input.estimate.input_tokens.min(counted.unwrap_or(u64::MAX))
}

/// The approval; `called` is the fallback where it is the one to call.
fn approved(reservation: Reservation, input: &ReserveInput, called: Option<&Model>) -> Decision {
    let lowered = Lowered::new(input.estimate.max_tokens, reservation.max_tokens);
    let degraded = match called {
        None => lowered.map(Degraded::Clamp),
        Some(called) => Some(Degraded::Fallback {
            from: input.model.model_id.clone(),
            to: called.model_id.clone(),
            max_tokens: lowered,
        }),
    };
    let requested = &input.model.requested;
    let model = called.map(|called| Box::new(Model { requested: requested.clone(), ..called.clone() }));
    Decision::Approved { approved: true, reservation: Box::new(reservation), notes: Notes { degraded }, model }
}

/// The denial, with the figures that it was made from.
fn denied(error: ErrorBody, limits: &[ScopeLimit], figures: &[Figures], seen: Amount) -> Decision {
    let entry = |(place, (limit, figures)): (usize, (&ScopeLimit, &Figures))| {
        figures.entry(limit, if place == 0 { seen } else { Amount::ZERO })
    };
    let budget = limits.iter().zip(figures).enumerate().map(entry).collect();
    Decision::Denied { approved: false, denial: Box::new(error.into()), budget }
}

#[cfg(test)]
mod tests;
