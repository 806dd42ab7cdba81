//! The fallback model: what it would be asked for, if everything about it is known.

use sentry_contract::request::{Estimate, Model};
use sentry_contract::states::{Gathered, LimitsFound, ReserveInput, ScopeLimit};
use sentry_domain::{Amount, Price};
use sentry_ledger::Ask;

/// A model that may answer in the place of the one that was asked for.
#[derive(Debug)]
pub struct StandIn<'a> {
    /// Which.
    pub model: &'a Model,
    max_tokens: u32,
    price: Option<Price>,
    /// Its own limit, then those of the tags, which are the same as for the model that was asked for.
    limits: Vec<ScopeLimit>,
    seen: Amount,
}

impl<'a> StandIn<'a> {
    /// The request's fallback. `None` if there is none, if its limit or its usage is not known, or if it has no price for a
    /// limit in dollars: it then cannot be asked, and nobody is denied for that.
    pub fn of(input: &'a ReserveInput, price: impl Fn(&Model) -> Option<Price>) -> Option<Self> {
        let fallback = input.fallback.as_ref()?;
        let (Gathered::Available(LimitsFound::Found { limits, fallback: Some(own) }), Gathered::Available(usage)) =
            (&input.limits, &input.usage)
        else {
            return None;
        };
        let limits: Vec<ScopeLimit> = std::iter::once(&**own).chain(limits.iter().skip(1)).cloned().collect();
        let price = price(&fallback.model);
        if price.is_none() && limits.iter().any(|limit| limit.limits.usd.is_some()) {
            return None;
        }
        let seen = Amount::of(&usage.fallback.as_ref()?.tokens, price.as_ref());
        Some(Self { model: &fallback.model, max_tokens: fallback.max_tokens, price, limits, seen })
    }

    /// What it is asked for. Bedrock counted the prompt for another model, so only the bytes bound its input.
    pub fn ask(&self, estimate: &Estimate) -> Ask<'_> {
        Ask {
            input_tokens: estimate.input_tokens,
            max_tokens: self.max_tokens,
            given: estimate.max_tokens_given,
            has_fallback: false,
            price: self.price.as_ref(),
            limits: &self.limits,
            seen: self.seen,
        }
    }
}
