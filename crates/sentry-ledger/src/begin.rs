//! Begins the item of a window in which the scope has already spent something.

use chrono::{DateTime, Duration, Utc};
use sentry_domain::{Amount, ScopeLimit};
use sentry_history::History;

use crate::change::Change;
use crate::item::Item;
use crate::key::{Key, delete_after};
use crate::store::{Ledger, LedgerError, unavailable};

/// A window shorter than this begins at zero, because the usage history counts by days.
const SHORTEST: Duration = Duration::hours(23);

impl Ledger {
    /// Adds the usage history to the ledger. When a scope's first request in a window begins the scope's item, the
    /// item then starts with the usage that `history` reports for that window.
    #[must_use]
    pub fn with_history(self, history: History) -> Self {
        Self { history: Some(history), ..self }
    }

    /// Begins the scope's own item with the usage that the history reports for the window. `own` is the item as it was
    /// read a moment ago, with nothing counted in it.
    pub(crate) async fn begin(
        &self,
        limit: &ScopeLimit,
        key: &Key,
        own: Item,
        now: DateTime<Utc>,
    ) -> Result<Item, LedgerError> {
        let settled = self.spent_before(limit, now).await?;
        if settled == Amount::ZERO {
            return Ok(own);
        }
        match self.change(key, &Change::Begin { settled, delete_after: delete_after(limit) }).await? {
            Some(item) => Ok(item),
            // Another request has begun the item.
            None => self.read_one(key).await,
        }
    }
    /// The usage that the history reports for the window. Zero without a history, and for a window that begins at zero.
    pub(crate) async fn spent_before(&self, limit: &ScopeLimit, now: DateTime<Utc>) -> Result<Amount, LedgerError> {
        let window = &limit.window;
        let is_short = window.resets_at.is_some_and(|end| end - window.start < SHORTEST);
        let Some(history) = self.history.as_ref().filter(|_| !is_short && limit.limits.in_flight.is_none()) else {
            return Ok(Amount::ZERO);
        };
        history.spent(&limit.scope, window.start, now).await.map_err(unavailable)
    }
}
