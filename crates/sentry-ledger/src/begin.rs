//! Beginning a window in which the scope has spent already.

use chrono::{DateTime, Duration, Utc};
use sentry_contract::states::ScopeLimit;
use sentry_domain::Amount;
use sentry_history::History;

use crate::change::Change;
use crate::item::Item;
use crate::key::{Key, delete_after};
use crate::store::{Ledger, LedgerError, unavailable};

/// A window shorter than this begins at nothing: the usage history counts by days.
const SHORTEST: Duration = Duration::hours(23);

impl Ledger {
    /// The same ledger; a budget that begins in the middle of a window begins there with what `history` says.
    #[must_use]
    pub fn with_history(self, history: History) -> Self {
        Self { history: Some(history), ..self }
    }

    /// The scope's own item, in which nobody had counted anything a moment ago. It is begun with what the scope has spent in the window before.
    pub(crate) async fn begin(
        &self,
        limit: &ScopeLimit,
        key: &Key,
        own: Item,
        now: DateTime<Utc>,
    ) -> Result<Item, LedgerError> {
        let window = &limit.window;
        let is_short = window.resets_at.is_some_and(|end| end - window.start < SHORTEST);
        let Some(history) = self.history.as_ref().filter(|_| !is_short && limit.limits.in_flight.is_none()) else {
            return Ok(own);
        };
        let settled = history.spent(&limit.scope, window.start, now).await.map_err(unavailable)?;
        if settled == Amount::ZERO {
            return Ok(own);
        }
        match self.change(key, &Change::Begin { settled, delete_after: delete_after(limit) }).await? {
            Some(item) => Ok(item),
            // Somebody else has begun it.
            None => self.read_one(key).await,
        }
    }
}
