//! What the ledger prevents: the same function, but it decides by CloudWatch's figure alone, as most gateways do, and holds
//! nothing. Built for the tests only, which put it in the place of `fn-reserve` and count what gets through.

use chrono::{TimeDelta, Utc};
use sentry_contract::states::{Decision, Gathered, LimitsFound, Notes, Reservation, ReserveInput, ReservedScope};
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::{Amount, Unit};
use sentry_lambda::StartError;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    sentry_lambda::run(|input| async move { Ok(check_only(&input)) }).await
}

fn check_only(input: &ReserveInput) -> Decision {
    let (Gathered::Available(LimitsFound::Found { limits, .. }), Gathered::Available(usage)) =
        (&input.limits, &input.usage)
    else {
        return denied(ErrorCode::LedgerUnavailable);
    };
    let seen = Amount::of(&usage.model.tokens, None);
    let spent = |unit: Unit, limit: u128| seen.get(unit) >= limit;
    if limits.iter().take(1).any(|limit| limit.limits.iter().any(|(unit, limit)| spent(unit, limit))) {
        return denied(ErrorCode::BudgetExceeded);
    }
    let now = Utc::now();
    let scope = |limit: &_| ReservedScope { limit: Clone::clone(limit), seen, shard: None };
    let reservation = Reservation {
        request_id: input.request_id.clone(),
        execution_id: input.execution_id.clone(),
        max_tokens: input.estimate.max_tokens,
        hold: Amount::ZERO,
        held_at: now,
        expires_at: now + TimeDelta::minutes(6),
        scopes: limits.iter().map(scope).collect(),
    };
    Decision::Approved { approved: true, reservation: Box::new(reservation), notes: Notes::default(), model: None }
}

fn denied(code: ErrorCode) -> Decision {
    let error = ErrorBody::new(code, "Denied by CloudWatch's figure alone.");
    Decision::Denied { approved: false, denial: Box::new(error.into()), budget: Vec::new() }
}
