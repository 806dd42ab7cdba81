//! The decision on a request.

use sentry_domain::{Alert, BudgetEntry, Reservation};

use crate::admission::Shortage;
use crate::requests::Earlier;

/// The result of a request for a hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// The hold is taken in every scope.
    Approved {
        /// The hold, as it must be settled.
        reservation: Reservation,
        /// The shortages of the limits that only observe.
        would_deny: Vec<Shortage>,
    },
    /// The request does not fit. Nothing is held.
    Denied {
        /// The limit that denies, and by how much it is exceeded.
        shortage: Shortage,
        /// Every limit, with the figures by which it was judged.
        budget: Vec<BudgetEntry>,
        /// Alerts that are due. If every request is denied, nothing else reports usage that bypasses the sentry.
        alerts: Vec<Alert>,
    },
    /// An earlier request has the same id.
    Duplicate(Earlier),
}

/// The model that an admission is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// The model that the client asked for.
    Wanted,
    /// The model that answers if the limits allow `fallback`.
    Fallback,
}
