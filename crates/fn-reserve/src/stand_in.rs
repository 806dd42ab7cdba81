//! The fallback model: what it would be asked for, if everything about it is known.

use sentry_contract::request::{Estimate, Fallback};
use sentry_contract::states::{Gathered, LimitsFound, ReserveInput, ScopeLimit};
use sentry_contract::usage::UsageSeries;
use sentry_domain::Amount;
use sentry_ledger::Ask;

/// A model that may answer in the place of the one that was asked for.
#[derive(Debug)]
pub struct StandIn<'a> {
    /// Which, and the most that it would read and write.
    pub fallback: &'a Fallback,
    /// Its own limit, then those of the tags, which are the same as for the model that was asked for.
    limits: Vec<ScopeLimit>,
    /// CloudWatch's figures of it.
    pub usage: &'a UsageSeries,
    seen: Amount,
}

impl<'a> StandIn<'a> {
    /// The request's fallback. `None` if there is none, if its limit or its usage is not known, or if it has no price for a
    /// limit in dollars: it then cannot be asked, and nobody is denied for that.
    pub fn of(input: &'a ReserveInput) -> Option<Self> {
        let fallback = input.request.fallback.as_ref()?;
        let (Gathered::Available(usage), Gathered::Available(LimitsFound::Found { limits, fallback: Some(own) }), _) =
            &input.gathered
        else {
            return None;
        };
        let limits: Vec<ScopeLimit> = std::iter::once(&**own).chain(limits.iter().skip(1)).cloned().collect();
        let price = fallback.model.price.as_ref();
        if price.is_none() && limits.iter().any(|limit| limit.limits.usd.is_some()) {
            return None;
        }
        let usage = usage.fallback.as_ref()?;
        let seen = crate::seen(usage, &limits, price);
        Some(Self { fallback, limits, usage, seen })
    }

    /// What it is asked for. Bedrock counted the prompt for another model, which says nothing of this one's tokens.
    pub fn ask(&self, estimate: &Estimate) -> Ask<'_> {
        Ask {
            input_tokens: self.fallback.input_tokens,
            max_tokens: self.fallback.max_tokens,
            given: estimate.max_tokens_given,
            has_fallback: false,
            price: self.fallback.model.price.as_ref(),
            limits: &self.limits,
            seen: self.seen,
        }
    }
}
