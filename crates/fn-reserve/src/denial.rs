//! What a client is told when nothing is sent to the model.

use sentry_contract::request::Model;
use sentry_contract::states::ScopeLimit;
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::Unit;
use sentry_ledger::Shortage;
use serde_json::{Value, json};

/// The request does not fit: for good, or for now.
pub fn short(shortage: &Shortage, limits: &[ScopeLimit]) -> ErrorBody {
    let Some(limit) = limits.get(shortage.place) else {
        return unknown(ErrorCode::LedgerUnavailable, "budget", "NoSuchLimit");
    };
    let (scope, window) = (&limit.scope, &limit.window.name);
    let resets_at = json!(limit.window.resets_at);
    let until = resets_at.as_str().unwrap_or_default();
    let Shortage { unit, needed, remaining, .. } = shortage;
    let kind = unit.noun();
    let error = match shortage.retry_after_seconds {
        Some(seconds) => {
            let message = format!(
                "The {kind} of {scope} for {window} that are left are held by requests in flight; try again in {seconds} seconds."
            );
            ErrorBody::new(ErrorCode::BudgetReserved, message).retry_after(seconds)
        }
        None if *remaining == 0 => {
            let message = format!(
                "The {kind} of {scope} are used up for {window}. Wait until {until}, or ask an admin to raise the limit."
            );
            ErrorBody::new(ErrorCode::BudgetExceeded, message)
        }
        None => {
            let message = format!(
                "The request may need {} {kind}, and {scope} has {} left for {window}. Ask for less, wait until {until}, or ask an admin to raise the limit.",
                unit.written(*needed),
                unit.written(*remaining),
            );
            ErrorBody::new(ErrorCode::BudgetExceeded, message)
        }
    };
    error
        .with("scope", scope.clone())
        .with("window", window.clone())
        .with("resetsAt", resets_at)
        .with("exceeded", unit.name())
        .with("needed", figure(*unit, *needed))
        .with("remaining", figure(*unit, *remaining))
}

/// Another execution works on the request, or has.
pub fn duplicate(request_id: &str) -> ErrorBody {
    let message = format!(
        "A request with the requestId {request_id} is in flight or was settled in the last 48 hours, so nothing was sent to the model. Use its answer, or give a new requestId."
    );
    ErrorBody::new(ErrorCode::DuplicateRequest, message).with("requestId", request_id)
}

/// A limit in dollars cannot be kept for a request without a price: the model has none, or the request asks for another service tier.
pub fn unpriced(limit: &ScopeLimit, model: &Model) -> ErrorBody {
    let message = format!(
        "{} has a limit in dollars, and the price of this request to {} is not known, so it cannot be kept and nothing is allowed. Limit tokens instead, add the model's price to the catalogue, or ask for the default service tier.",
        limit.scope, model.model_id
    );
    ErrorBody::new(ErrorCode::LimitMalformed, message)
        .with("item", limit.item.clone())
        .with("field", "limit.usd")
        .with("model", model.model_id.clone())
}

/// Something that the decision needs could not be read.
pub fn unknown(code: ErrorCode, what: &str, reason: &str) -> ErrorBody {
    let message =
        format!("The {what} cannot be read, so the budget cannot be known and the request is denied. Try again.");
    ErrorBody::new(code, message).with("reason", reason)
}

/// Tokens as a number, dollars as a decimal string.
fn figure(unit: Unit, plain: u128) -> Value {
    match unit {
        Unit::Usd => unit.written(plain).into(),
        Unit::Input | Unit::Output => u64::try_from(plain).unwrap_or(u64::MAX).into(),
    }
}
