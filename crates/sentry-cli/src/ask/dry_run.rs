//! The decision about a request, without a write: the functions' own code, in this process.

use std::time::Instant;

use chrono::{TimeDelta, Utc};
use fn_fetch_usage::{SharedFigures, UsageSource};
use fn_month_range::month_range;
use fn_reserve::Reserver;
use fn_validate_and_tag::validate_and_tag;
use sentry_contract::answer::FinalAnswer;
use sentry_contract::request::Request;
use sentry_contract::states::{Admitted, Decision, Gathered, LookupLimitInput, ReserveInput, TokenCount, Validated};
use sentry_contract::usage::MonthRangeInput;
use sentry_domain::BudgetEntry;
use sentry_lambda::Failure as FunctionFailure;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::failure::Failure;
use crate::stack::Stack;

/// The decision that the stack would make now.
pub enum Foreseen {
    /// The request would be admitted.
    Approved { admitted: Box<Admitted>, budget: Vec<BudgetEntry> },
    /// The request would be refused or denied, with this answer.
    Refused(Box<FinalAnswer>),
}

/// Decides on `document` as the stack would.
///
/// Bedrock's own count of the prompt's tokens is not asked for, so the hold is that of the estimate, which is never
/// lower.
///
/// # Errors
/// If AWS cannot be reached.
pub async fn foresee(stack: &Stack, document: &Value) -> Result<Foreseen, Failure> {
    let now = Utc::now();
    let resolver = stack.resolver()?;
    let raw = serde_json::value::to_raw_value(document);
    let raw = raw.map_err(|error| Failure::Usage(format!("the request cannot be written as JSON: {error}")))?;
    let request = match validate_and_tag(&raw, &resolver, now, Instant::now(), Uuid::new_v4()).await {
        Validated::Refused { answer, .. } => return Ok(Foreseen::Refused(answer)),
        Validated::Valid { request, .. } => *request,
    };
    let input = gathered(stack, request).await?;
    let hold_seconds = stack.parameter("HoldSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or_default();
    let ledger = stack.ledger().await?.with_history(stack.history()?);
    let reserver = Reserver::new(ledger, TimeDelta::seconds(hold_seconds));
    let (decision, budget) = reserver.preview(input, now).await.map_err(|failure| unavailable(&failure))?;
    Ok(match decision {
        Decision::Approved { admitted, .. } => Foreseen::Approved { admitted, budget },
        Decision::Denied { answer, .. } => Foreseen::Refused(answer),
    })
}

/// Looks up what the workflow gathers before the decision. A look-up that fails denies the request there, so it does here.
async fn gathered(stack: &Stack, request: Request) -> Result<ReserveInput, Failure> {
    let now = Utc::now();
    let model = request.model.clone();
    let range = month_range(MonthRangeInput { model: model.clone(), fallback: request.fallback.clone() }, now);
    // With an age of 0, the source asks CloudWatch itself, and shares nothing through the ledger.
    let shared = SharedFigures::new(stack.dynamodb(), stack.output("LedgerTableName")?.to_owned());
    let usage = UsageSource::new(stack.cloudwatch(), shared, 0);
    let limits = stack.limits_table()?;
    let wanted = LookupLimitInput { model, tags: request.tags.clone(), fallback: request.fallback.clone() };
    let (usage, limits) = tokio::join!(usage.fetch(&range, now), limits.lookup(&wanted, now));
    Ok(ReserveInput {
        execution_id: format!("dry-run:{}", Uuid::new_v4()),
        request,
        gathered: (available(usage), available(limits), Gathered::Available(TokenCount { input_tokens: None })),
    })
}

fn available<T>(result: Result<T, FunctionFailure>) -> Gathered<T> {
    match result {
        Ok(found) => Gathered::Available(found),
        Err(failure) => Gathered::Unavailable { unavailable: failure.name().to_owned() },
    }
}

fn unavailable(failure: &FunctionFailure) -> Failure {
    Failure::Unreachable(format!("the decision cannot be foreseen: {failure}"))
}

impl Foreseen {
    /// The decision as JSON.
    pub fn json(&self) -> Value {
        match self {
            Self::Refused(answer) => json!({"wouldBe": answer.outcome, "answer": answer}),
            Self::Approved { admitted, budget } => json!({
                "wouldBe": "Approved",
                "model": admitted.model.model_id,
                "maxTokens": admitted.reservation.max_tokens,
                "hold": admitted.reservation.hold,
                "degraded": admitted.notes.degraded,
                "wouldDeny": admitted.notes.would_deny,
                "notices": admitted.notes.notices,
                "budget": budget,
            }),
        }
    }
}
