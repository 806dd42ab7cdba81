//! The fallback model: what it would be asked for, if everything about it is known.

use sentry_contract::ErrorBody;
use sentry_contract::request::Fallback;
use sentry_contract::states::{Gathered, LimitsFound, ReserveInput, ScopeLimit};
use sentry_contract::usage::UsageSeries;
use sentry_ledger::Ask;

use crate::one_request::{self, Judged};
use crate::{budgets, of_tags};

/// A model that may answer in the place of the one that was asked for.
#[derive(Debug)]
pub struct StandIn<'a> {
    /// Which, and the most that it would read and write.
    pub fallback: &'a Fallback,
    /// What it is asked for.
    pub ask: Ask<'a>,
    /// The limits that depend on it; those of the tags are the same as for the model that was asked for.
    pub limits: &'a [ScopeLimit],
    /// CloudWatch's figures of it.
    pub usage: &'a UsageSeries,
    /// The denials of limits that only observe, of the request by itself.
    pub would_deny: Vec<ErrorBody>,
}

impl<'a> StandIn<'a> {
    /// The request's fallback. `None` if there is none, if its limits or its usage are not known, or if one of them denies it by itself: it
    /// then cannot be asked, and nobody is denied for that.
    pub fn of(input: &'a ReserveInput) -> Option<Self> {
        let fallback = input.request.fallback.as_ref()?;
        let (Gathered::Available(usage), Gathered::Available(LimitsFound::Found { limits }), _) = &input.gathered
        else {
            return None;
        };
        if limits.fallback.is_empty() {
            return None;
        }
        let usage = usage.fallback.as_ref()?;
        let price = fallback.model.price.as_ref();
        // Bedrock counted the prompt for another model, which says nothing of this one's tokens.
        let ask = Ask {
            input_tokens: fallback.input_tokens,
            max_tokens: fallback.max_tokens,
            given: input.request.estimate.max_tokens_given,
            has_fallback: false,
            price,
            charges: input.request.estimate.charges,
            budgets: budgets(&limits.fallback, usage, price).chain(of_tags(limits)).collect(),
        };
        let all: Vec<&ScopeLimit> = limits.fallback.iter().chain(&limits.tags).collect();
        let Judged { max_tokens, would_deny } = one_request::judge(&ask, &all, &fallback.model).ok()?;
        Some(Self { fallback, ask: Ask { max_tokens, ..ask }, limits: &limits.fallback, usage, would_deny })
    }
}
