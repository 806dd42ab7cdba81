//! The end of a reservation: its settlement or its release, the figures for the answer, and the alerts that are due.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sentry_contract::answer::BudgetEntry;
use sentry_contract::states::{Alert, Reservation, ReservedScope, ScopeLimit, Settled};
use sentry_domain::{Amount, Unit};

use crate::settle::After;
use crate::store::{Ledger, LedgerError};

impl Ledger {
    /// Ends a reservation: charges `actual`, or releases the hold where the model certainly used nothing. Where neither is known, the hold
    /// stays until it expires.
    ///
    /// Repeating it changes nothing more.
    ///
    /// # Errors
    /// When the ledger cannot be reached; some scopes may then be settled and others not.
    pub async fn end(
        &self,
        reservation: &Reservation,
        actual: Option<Amount>,
        nothing_spent: bool,
        now: DateTime<Utc>,
    ) -> Result<Settled, LedgerError> {
        let after = if actual.is_none() && nothing_spent {
            self.release(reservation, now).await?
        } else {
            self.settle(reservation, actual, now).await?
        };
        let mut settled = Settled::default();
        for (scope, after) in reservation.scopes.iter().zip(after) {
            settled.budget.push(entry(scope, &after));
            settled.alerts.extend(due_alerts(&scope.limit, after.figures.used(scope.seen), &after.alerted));
        }
        Ok(settled)
    }
}

fn entry(scope: &ReservedScope, after: &After) -> BudgetEntry {
    let entry = after.figures.entry(&scope.limit, scope.seen);
    BudgetEntry { usage_age_seconds: scope.usage_age_seconds, ..entry }
}

/// The thresholds of a limit that are reached by what is `used` and not yet reported.
pub(crate) fn due_alerts(limit: &ScopeLimit, used: Amount, alerted: &BTreeSet<u8>) -> Vec<Alert> {
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
    let due: BTreeSet<u8> = limit.alert_at.iter().copied().filter(|threshold| !alerted.contains(threshold)).collect();
    due.into_iter().filter_map(|threshold| Some(alert(threshold, reached(threshold)?))).collect()
}
