//! The rules of limits that depend on the request alone, not on the rest of the budget.

use sentry_contract::ErrorBody;
use sentry_contract::request::Model;
use sentry_domain::{ScopeLimit, Unit};
use sentry_ledger::{Ask, LEAST_OUTPUT_TOKENS};

use crate::denial;

/// A request that no limit denies because of the request alone.
#[derive(Debug, PartialEq)]
pub struct Judged {
    /// Maximum number of output tokens. Lowered if the client did not set it.
    pub max_tokens: u32,
    /// Denials that limits in `observe` mode would have made.
    pub would_deny: Vec<ErrorBody>,
}

/// Checks the hold of `ask` for `model` against `perRequest` of each of `limits`. If the request has no price, also
/// checks that no limit is in dollars.
///
/// If the client gave no `max_tokens`, it is lowered to the number that fits, but not below 16.
///
/// # Errors
/// Returns `ModelNotPriced` or `RequestTooLarge` for the first limit that denies.
pub fn judge(ask: &Ask<'_>, limits: &[&ScopeLimit], model: &Model) -> Result<Judged, ErrorBody> {
    let denying = limits.iter().filter(|limit| limit.enforce.is_deny());
    let fitting = denying.map(|limit| lowered(ask, ask.max_tokens, limit)).min();
    let mut judged = Judged { max_tokens: fitting.unwrap_or(ask.max_tokens), would_deny: Vec::new() };
    let mut unpriced_scope: Option<&str> = None;
    for limit in limits {
        // All windows of a scope need the same price, so the scope reports it once.
        let unpriced = unpriced(ask, limit, model).filter(|_| unpriced_scope != Some(limit.scope.as_str()));
        unpriced_scope = unpriced.as_ref().map(|_| limit.scope.as_str()).or(unpriced_scope);
        let max_tokens =
            if limit.enforce.is_deny() { judged.max_tokens } else { lowered(ask, judged.max_tokens, limit) };
        for denial in unpriced.into_iter().chain(too_large(ask, max_tokens, limit)) {
            if limit.enforce.is_deny() {
                return Err(denial);
            }
            judged.would_deny.push(denial);
        }
    }
    Ok(judged)
}

/// The part of `max_tokens` that one request may write under `limit`, at least 16. The full value if the client set
/// `max_tokens`.
fn lowered(ask: &Ask<'_>, max_tokens: u32, limit: &ScopeLimit) -> u32 {
    if ask.given {
        return max_tokens;
    }
    let paid = limit.per_request.usd.map_or(u64::MAX, |most| ask.affordable_output(most));
    let most = limit.per_request.output.unwrap_or(u64::MAX).min(paid);
    u32::try_from(most).unwrap_or(u32::MAX).max(LEAST_OUTPUT_TOKENS).min(max_tokens)
}

fn too_large(ask: &Ask<'_>, max_tokens: u32, limit: &ScopeLimit) -> Option<ErrorBody> {
    let hold = ask.hold(max_tokens);
    let (unit, most) = limit.per_request.iter().find(|(unit, most)| hold.get(*unit) > *most)?;
    Some(denial::too_large(limit, unit, hold.get(unit), most))
}

fn unpriced(ask: &Ask<'_>, limit: &ScopeLimit, model: &Model) -> Option<ErrorBody> {
    let fields = [("limit.usd", &limit.limits), ("perRequest.usd", &limit.per_request)];
    let (field, _) = fields.into_iter().find(|(_, limits)| limits.get(Unit::Usd).is_some())?;
    ask.price.is_none().then(|| denial::unpriced(limit, field, model))
}

#[cfg(test)]
mod tests;
