//! The next step for a request, by the answer of the rate limiter.

use chrono::{DateTime, Utc};
use sentry_contract::ErrorCode;
use sentry_domain::Usd;
use serde_json::Value;

/// Codes after which a request comes again.
const COMES_AGAIN: [ErrorCode; 5] = [
    ErrorCode::BudgetReserved,
    ErrorCode::ModelThrottled,
    ErrorCode::ModelUnavailable,
    ErrorCode::UsageUnavailable,
    ErrorCode::LedgerUnavailable,
];
/// Wait for a code that has no wait of its own, in seconds.
const DEFAULT_WAIT: u64 = 30;
/// Wait for another execution of the same request, in seconds.
const IN_FLIGHT_WAIT: u64 = 15;

/// The next step for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The document is the answer.
    Answer,
    /// The request comes again after this number of seconds.
    Wait(u64),
    /// The request was settled by another execution.
    Settled,
}

/// Judges `answer`, which came at `now`. `waits_for_reset` is the choice of the client for a used-up budget.
pub fn verdict(answer: &Value, waits_for_reset: bool, now: DateTime<Utc>) -> Verdict {
    if answer.get("replayed").is_some() {
        return Verdict::Settled;
    }
    let Some(error) = answer.get("error") else { return Verdict::Answer };
    let code: Option<ErrorCode> = error.get("code").and_then(|code| serde_json::from_value(code.clone()).ok());
    match code {
        Some(code) if COMES_AGAIN.contains(&code) => {
            Verdict::Wait(error.get("retryAfterSeconds").and_then(Value::as_u64).unwrap_or(DEFAULT_WAIT))
        }
        Some(ErrorCode::BudgetExceeded) if waits_for_reset && fits_later(answer, error) => {
            seconds_to_reset(error, now).map_or(Verdict::Answer, Verdict::Wait)
        }
        Some(ErrorCode::DuplicateRequest) => match error.pointer("/details/state").and_then(Value::as_str) {
            Some("in_flight") => Verdict::Wait(IN_FLIGHT_WAIT),
            _ => Verdict::Settled,
        },
        _ => Verdict::Answer,
    }
}

/// Seconds until the window of the limit resets. `None` if it never resets.
fn seconds_to_reset(error: &Value, now: DateTime<Utc>) -> Option<u64> {
    let at = error.pointer("/details/resetsAt")?.as_str()?;
    let at = DateTime::parse_from_rfc3339(at).ok()?.with_timezone(&Utc);
    // One more, because a part of a second is left out.
    Some(u64::try_from((at - now).num_seconds()).unwrap_or(0).saturating_add(1))
}

/// `false` if the request needs more than the whole limit, so that no reset helps.
fn fits_later(answer: &Value, error: &Value) -> bool {
    let detail = |name: &str| error.get("details").and_then(|details| details.get(name));
    let text = |name: &str| detail(name).and_then(Value::as_str);
    let (Some(scope), Some(unit), Some(needed)) = (text("scope"), text("exceeded"), detail("needed")) else {
        return true;
    };
    let entries = answer.get("budget").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let is_it = |entry: &&Value| {
        entry.get("scope").and_then(Value::as_str) == Some(scope)
            && entry.get("window").and_then(Value::as_str) == text("window")
    };
    let limit = entries.iter().find(is_it).and_then(|entry| entry.get(unit)?.get("limit"));
    let usd = |value: &Value| value.as_str().and_then(|text| text.parse::<Usd>().ok());
    match (limit, needed.as_u64()) {
        (Some(limit), Some(needed)) => limit.as_u64().is_none_or(|limit| needed <= limit),
        (Some(limit), None) => match (usd(limit), usd(needed)) {
            (Some(limit), Some(needed)) => needed <= limit,
            _ => true,
        },
        (None, _) => true,
    }
}

#[cfg(test)]
mod tests;
