//! The errors of denied requests. Limits that only observe report the same errors.

use sentry_contract::answer::Spent;
use sentry_contract::request::Model;
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::{ScopeLimit, Unit};
use sentry_ledger::{Earlier, Shortage};
use serde_json::{Value, json};

/// The request does not fit, either permanently or because of holds.
pub fn short(shortage: &Shortage) -> ErrorBody {
    let Shortage { limit, unit, needed, remaining, retry_after_seconds, .. } = shortage;
    let (scope, window) = (&limit.scope, &limit.window);
    let kind = unit.noun();
    let within = match (window.resets_at, window.name.as_str()) {
        (Some(_), name) => format!("for {name}"),
        (None, "total") => "in total".to_owned(),
        (None, name) => format!("in {name}"),
    };
    let (code, message) = match (unit, retry_after_seconds) {
        (Unit::InFlight, seconds) if limit.limits.in_flight != Some(0) => {
            let allowed = limit.limits.get(*unit).unwrap_or_default();
            let (held, seconds) = (allowed.saturating_sub(*remaining), seconds.unwrap_or(1));
            let message = format!(
                "{held} requests of {scope} are in flight, of {allowed} allowed; try again in {seconds} seconds."
            );
            (ErrorCode::BudgetReserved, message)
        }
        (Unit::InFlight, _) => {
            let message = format!("The limit of {scope} allows no request in flight. Ask an admin to raise the limit.");
            (ErrorCode::BudgetExceeded, message)
        }
        (_, Some(seconds)) => {
            let message = format!(
                "Requests in flight hold the {kind} of {scope} that are left {within}; try again in {seconds} seconds."
            );
            (ErrorCode::BudgetReserved, message)
        }
        (_, None) if *remaining == 0 => {
            let what = format!("The {kind} of {scope} are used up {within}.");
            let advice = match until(limit) {
                Some(until) => format!("Wait until {until}, or ask an admin to raise the limit."),
                None => "They never reset, so ask an admin to raise the limit.".to_owned(),
            };
            (ErrorCode::BudgetExceeded, format!("{what} {advice}"))
        }
        (_, None) => {
            let (needed, left) = (unit.written(*needed), unit.written(*remaining));
            let what = format!("The request may need {needed} {kind}, and {scope} has {left} left {within}.");
            let advice = match until(limit) {
                Some(until) => format!("Ask for less, wait until {until}, or ask an admin to raise the limit."),
                None => "Ask for less, or ask an admin to raise the limit.".to_owned(),
            };
            (ErrorCode::BudgetExceeded, format!("{what} {advice}"))
        }
    };
    let mut error = ErrorBody::new(code, message).with("scope", scope.clone()).with("window", window.name.clone());
    if let Some(resets_at) = window.resets_at {
        error = error.with("resetsAt", json!(resets_at));
    }
    if let (ErrorCode::BudgetReserved, Some(seconds)) = (code, retry_after_seconds) {
        error = error.retry_after(*seconds);
    }
    error
        .with("exceeded", unit.name())
        .with("needed", figure(*unit, *needed))
        .with("remaining", figure(*unit, *remaining))
}

/// The time at which the window resets, in the format of answers.
fn until(limit: &ScopeLimit) -> Option<String> {
    limit.window.resets_at.and_then(|instant| json!(instant).as_str().map(str::to_owned))
}

/// The request alone would hold `needed` of `unit`, more than the `most` that one request may hold.
pub fn too_large(limit: &ScopeLimit, unit: Unit, needed: u128, most: u128) -> ErrorBody {
    let (scope, kind) = (&limit.scope, unit.noun());
    let message = format!(
        "The request may need {} {kind}, and one request of {scope} may hold {} at most. Ask for less: a shorter prompt, or a lower max_tokens.",
        unit.written(needed),
        unit.written(most),
    );
    ErrorBody::new(ErrorCode::RequestTooLarge, message)
        .with("scope", scope.clone())
        .with("item", limit.item.clone())
        .with("exceeded", unit.name())
        .with("needed", figure(unit, needed))
        .with("limit", figure(unit, most))
}

/// Another execution handles the request, or has handled it.
pub fn duplicate(request_id: &str, earlier: &Earlier) -> ErrorBody {
    let (state, is) = match earlier {
        Earlier::InFlight => ("in_flight", "is in flight"),
        Earlier::Settled { .. } => ("settled", "was settled in the last 48 hours"),
    };
    let message = format!(
        "A request with the requestId {request_id} {is}, so nothing was sent to the model. Use its answer, or give a new requestId."
    );
    let error = ErrorBody::new(ErrorCode::DuplicateRequest, message).with("requestId", request_id).with("state", state);
    let Earlier::Settled { told: Some(told) } = earlier else { return error };
    // A text that a later version wrote might not be understood. The state is true in any case.
    let Ok(Spent { usage, cost }) = serde_json::from_str(told) else { return error };
    error.with("usage", json!(usage)).with("cost", json!(cost))
}

/// The limit in dollars that `field` of the item names cannot be enforced, because the request has no price. Either the
/// model has none, or the request asks for another service tier.
pub fn unpriced(limit: &ScopeLimit, field: &str, model: &Model) -> ErrorBody {
    let message = format!(
        "{} has a limit in dollars, and the price of this request to {} is not known, so the request is denied. Limit tokens instead, add the model's price to the catalogue, or ask for the default service tier.",
        limit.scope, model.model_id
    );
    ErrorBody::new(ErrorCode::ModelNotPriced, message)
        .with("scope", limit.scope.clone())
        .with("item", limit.item.clone())
        .with("field", field)
        .with("model", model.model_id.clone())
}

/// A fact that the decision needs could not be read.
pub fn unknown(code: ErrorCode, what: &str, reason: &str) -> ErrorBody {
    let message =
        format!("The {what} cannot be read, so the budget cannot be known and the request is denied. Try again.");
    ErrorBody::new(code, message).with("reason", reason)
}

/// A count as a number, or dollars as a decimal string.
fn figure(unit: Unit, plain: u128) -> Value {
    match unit {
        Unit::Usd => unit.written(plain).into(),
        _ => u64::try_from(plain).unwrap_or(u64::MAX).into(),
    }
}
