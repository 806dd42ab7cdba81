//! A version of `fn-reserve` without the ledger, which shows the overruns that the ledger prevents. It decides only by
//! CloudWatch's figure, as most gateways do, and holds nothing. Only the tests build it. They deploy it instead of
//! `fn-reserve` and count the requests that pass.

use chrono::{TimeDelta, Utc};
use sentry_contract::answer::FinalAnswer;
use sentry_contract::states::{Admitted, Decision, Gathered, LimitsFound, Notes, ReserveInput};
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::{Amount, Reservation, ReservedScope, Unit};
use sentry_lambda::StartError;

const MESSAGE: &str = "Denied by CloudWatch's figure alone.";

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    sentry_lambda::run(|input| async move { Ok(check_only(&input)) }).await
}

fn check_only(input: &ReserveInput) -> Decision {
    let request = &input.request;
    let (Gathered::Available(usage), Gathered::Available(LimitsFound::Found { limits }), _) = &input.gathered else {
        return denied(input, unknown());
    };
    let Some(window) = limits.model.first().map(|limit| &limit.window) else {
        return denied(input, unknown());
    };
    let seen = Amount::of_many(&usage.model.since(window.start), None);
    let spent = |unit: Unit, limit: u128| seen.get(unit) >= limit;
    if limits.model.iter().take(1).any(|limit| limit.limits.iter().any(|(unit, limit)| spent(unit, limit))) {
        return denied(input, ErrorBody::new(ErrorCode::BudgetExceeded, MESSAGE));
    }
    let now = Utc::now();
    let scope = |limit: &_| ReservedScope { limit: Clone::clone(limit), seen, usage_age_seconds: None, shard: None };
    let reservation = Reservation {
        request_id: request.request_key.clone(),
        execution_id: input.execution_id.clone(),
        max_tokens: request.estimate.max_tokens,
        hold: Amount::ZERO,
        held_at: now,
        expires_at: now + TimeDelta::minutes(6),
        scopes: limits.wanted().map(scope).collect(),
    };
    let (model, tags) = (request.model.clone(), request.tags.clone());
    let admitted = Admitted { reservation, model, tags, digest: None, notes: Notes::default() };
    Decision::Approved { approved: true, admitted: Box::new(admitted) }
}

/// The usage or the limits could not be read. The client may send the request again.
fn unknown() -> ErrorBody {
    ErrorBody::new(ErrorCode::LedgerUnavailable, MESSAGE).with("reason", "NotGathered")
}

fn denied(input: &ReserveInput, error: ErrorBody) -> Decision {
    let answer =
        FinalAnswer::refused(input.request.tags.clone(), Some((&input.request.model).into()), error, Vec::new());
    Decision::Denied { approved: false, answer: Box::new(answer), record: None }
}
