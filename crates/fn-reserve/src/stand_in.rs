//! The request to the fallback model, if all facts for it are known.

use sentry_contract::ErrorBody;
use sentry_contract::request::Fallback;
use sentry_contract::states::{Gathered, LimitsFound, ReserveInput};
use sentry_contract::usage::UsageSeries;
use sentry_domain::ScopeLimit;
use sentry_ledger::Ask;

use crate::one_request::{self, Judged};
use crate::{budgets, of_tags};

/// A model that may answer instead of the requested model.
#[derive(Debug)]
pub struct StandIn<'a> {
    /// The fallback model, and the most that it would read and write.
    pub fallback: &'a Fallback,
    /// The amounts and the budgets of the request to this model.
    pub ask: Ask<'a>,
    /// The limits that depend on this model. The limits of the tags are those of the requested model too.
    pub limits: &'a [ScopeLimit],
    /// CloudWatch's figures of this model.
    pub usage: &'a UsageSeries,
    /// Denials that limits in `observe` mode would have made because of the request alone.
    pub would_deny: Vec<ErrorBody>,
}

impl<'a> StandIn<'a> {
    /// The fallback of the request. `None` if there is none, if its limits or its usage are unknown, or if one of its
    /// limits denies the request alone. The fallback is then not used, and the request is not denied because of this.
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
        // Bedrock counted the prompt for another model, so its count does not apply to this one.
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
