#![doc = include_str!("../README.md")]

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sentry_contract::ErrorCode;
use sentry_contract::states::{Alert, ScopeLimit, SettleEvent, SettleInput, Settled};
use sentry_domain::{Amount, Unit};
use sentry_lambda::Failure;
use sentry_ledger::{After, Holder, Ledger, LedgerError};

/// Ends reservations.
#[derive(Debug)]
pub struct Settler {
    ledger: Ledger,
}

impl Settler {
    /// Settles in `ledger`.
    #[must_use]
    pub const fn new(ledger: Ledger) -> Self {
        Self { ledger }
    }

    /// Ends a reservation, or takes back one whose extent nobody knows.
    ///
    /// # Errors
    /// `LedgerUnavailable` when the ledger cannot be reached. Repeating the call is harmless.
    pub async fn settle(&self, event: SettleEvent, now: DateTime<Utc>) -> Result<Settled, Failure> {
        let settled = match event {
            SettleEvent::Settle(input) => self.end(&input, now).await,
            SettleEvent::Cancel(input) => {
                let holder = Holder { request_id: &input.request_id, execution_id: &input.execution_id };
                self.ledger.cancel(holder, &input.limits).await.map(|()| Settled::default())
            }
        };
        settled.map_err(|error| Failure::caused(ErrorCode::LedgerUnavailable, &error))
    }

    async fn end(&self, input: &SettleInput, now: DateTime<Utc>) -> Result<Settled, LedgerError> {
        let actual = input.usage.as_ref().map(|usage| Amount::of(usage, input.model.price.as_ref()));
        let after = if actual.is_none() && input.nothing_spent {
            self.ledger.release(&input.reservation, now).await?
        } else {
            self.ledger.settle(&input.reservation, actual, now).await?
        };
        let mut settled = Settled::default();
        for (scope, after) in input.reservation.scopes.iter().zip(after) {
            settled.budget.push(after.figures.entry(&scope.limit, scope.seen));
            settled.alerts.extend(alerts(&scope.limit, scope.seen, &after));
        }
        Ok(settled)
    }
}

/// The thresholds that are reached and not yet reported.
fn alerts(limit: &ScopeLimit, seen: Amount, after: &After) -> Vec<Alert> {
    let used = after.figures.used(seen);
    let reached = |threshold: u8| {
        limit.limits.iter().find(|(unit, most)| *most > 0 && used.get(*unit) * 100 >= most * u128::from(threshold))
    };
    let alert = |threshold: u8, (unit, most): (Unit, u128)| Alert {
        scope: limit.scope.clone(),
        window: limit.window.name.clone(),
        window_key: limit.window.key.clone(),
        resets_at: limit.window.resets_at,
        threshold,
        unit,
        limit: unit.written(most),
        used: unit.written(used.get(unit)),
    };
    let due: BTreeSet<u8> =
        limit.alert_at.iter().copied().filter(|threshold| !after.alerted.contains(threshold)).collect();
    due.into_iter().filter_map(|threshold| Some(alert(threshold, reached(threshold)?))).collect()
}

#[cfg(test)]
mod tests;
