//! The end of a reservation: its settlement or release, the figures for the answer, and the alerts that are due.

use chrono::{DateTime, Utc};
use futures_util::future::try_join;
use sentry_domain::{Alert, Amount, BudgetEntry, Reservation, ReservedScope};

use crate::alert::due_alerts;
use crate::holder::Holder;
use crate::settle::After;
use crate::store::{Ledger, LedgerError};

/// The scopes of a request after its settlement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settled {
    /// Every scope that applied, after the settlement.
    pub budget: Vec<BudgetEntry>,
    /// Alerts that are due after the settlement.
    pub alerts: Vec<Alert>,
}

/// The known usage of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Used {
    /// The amount to charge.
    pub amount: Amount,
    /// The text for requests with the same id in the next 48 hours; see [`Earlier::Settled`](crate::Earlier::Settled).
    pub told: String,
}

impl Ledger {
    /// Ends a reservation: charges `used`, or releases the hold if `used` is absent and `nothing_spent` is `true`. If
    /// neither is known, the hold stays until it expires.
    ///
    /// A repeated call changes nothing more.
    ///
    /// # Errors
    /// If the ledger cannot be reached. Some scopes may then be settled and others not.
    pub async fn end(
        &self,
        reservation: &Reservation,
        used: Option<Used>,
        nothing_spent: bool,
        now: DateTime<Utc>,
    ) -> Result<Settled, LedgerError> {
        let after = match used {
            Some(Used { amount, told }) => {
                let told = self.tell(Holder::from(reservation), &told, now);
                try_join(self.settle(reservation, Some(amount), now), told).await?.0
            }
            None if nothing_spent => self.release(reservation, now).await?,
            None => self.settle(reservation, None, now).await?,
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
