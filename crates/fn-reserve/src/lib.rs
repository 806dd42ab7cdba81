#![doc = include_str!("../README.md")]

mod denial;

use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::answer::Degraded;
use sentry_contract::states::{
    Decision, Gathered, LimitsFound, Notes, Reservation, ReserveInput, ScopeLimit, UsageFigure,
};
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::{Amount, Price};
use sentry_lambda::Failure;
use sentry_ledger::{Admission, Ask, Figures, Holder, Ledger};
use sentry_models::Catalogue;

/// Decides, and holds.
#[derive(Debug)]
pub struct Reserver {
    ledger: Ledger,
    catalogue: Catalogue,
    region: String,
    hold_for: TimeDelta,
}

impl Reserver {
    /// Holds in `ledger` for `hold_for`, at the prices of `region`.
    #[must_use]
    pub fn new(ledger: Ledger, catalogue: Catalogue, region: String, hold_for: TimeDelta) -> Self {
        Self { ledger, catalogue, region, hold_for }
    }

    /// Takes a hold for the request on every scope that applies, or says why not.
    ///
    /// # Errors
    /// `LedgerUnavailable` when the ledger cannot be reached. A hold may then have been taken; repeating the call finds it.
    pub async fn reserve(&self, input: ReserveInput, now: DateTime<Utc>) -> Result<Decision, Failure> {
        // What was added live, or stands behind a profile, is in no bundled catalogue.
        let listed = || self.catalogue.price(&input.model.model_id, &self.region);
        let price = input.model.price.or_else(listed);
        let (limits, usage) = match known(&input, price.as_ref()) {
            Ok(known) => known,
            Err(error) => return Ok(denied(error, &[], &[], Amount::ZERO)),
        };
        let ask = Ask {
            input_tokens: input_tokens(&input),
            max_tokens: input.estimate.max_tokens,
            given: input.estimate.max_tokens_given,
            price: price.as_ref(),
            limits,
            seen: Amount::of(&usage.tokens, price.as_ref()),
        };
        let holder = Holder { request_id: &input.request_id, execution_id: &input.execution_id };
        let admission = self.ledger.reserve(holder, &ask, now, self.hold_for).await;
        let admission = admission.map_err(|error| Failure::caused(ErrorCode::LedgerUnavailable, &error))?;
        Ok(match admission {
            Admission::Approved(reservation) => approved(reservation, input.estimate.max_tokens),
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
        Gathered::Available(LimitsFound::Limits(limits)) => limits,
        Gathered::Available(LimitsFound::Refusal(refusal)) => return Err(*refusal.clone()),
        Gathered::Unavailable { unavailable } => {
            return Err(denial::unknown(ErrorCode::LedgerUnavailable, "limit", unavailable));
        }
    };
    let usage = match &input.usage {
        Gathered::Available(usage) => usage,
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

fn approved(reservation: Reservation, wanted: u32) -> Decision {
    let to = reservation.max_tokens;
    let degraded = (to < wanted).then_some(Degraded::Clamp { from: wanted, to });
    Decision::Approved { approved: true, reservation: Box::new(reservation), notes: Notes { degraded } }
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
