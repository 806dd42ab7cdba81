//! Beginning a window in which the scope has spent already.

use std::fmt;
use std::sync::Arc;

use chrono::{DateTime, Duration, Utc};
use futures_util::future::BoxFuture;
use sentry_contract::states::ScopeLimit;
use sentry_domain::Amount;

use crate::change::Change;
use crate::item::Item;
use crate::key::{Key, delete_after};
use crate::store::{Ledger, LedgerError};

/// A window shorter than this begins at nothing: the usage history counts by days.
const SHORTEST: Duration = Duration::hours(23);

/// What a scope has spent since an instant, as the usage history knows it.
pub trait Spent: fmt::Debug + Send + Sync {
    /// What `scope` has spent from `from` until `now`.
    ///
    /// # Errors
    /// When the history cannot be read: nothing is then allowed.
    fn spent<'a>(
        &'a self,
        scope: &'a str,
        from: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> BoxFuture<'a, Result<Amount, Box<dyn std::error::Error + Send + Sync>>>;
}

impl Ledger {
    /// The same ledger; a budget that begins in the middle of a window begins there with what `history` says.
    #[must_use]
    pub fn with_history(mut self, history: impl Spent + 'static) -> Self {
        self.history = Some(Arc::new(history));
        self
    }

    /// The scope's own item, which was not there a moment ago. It is begun with what the scope has spent in the window before.
    pub(crate) async fn begin(&self, limit: &ScopeLimit, key: &Key, now: DateTime<Utc>) -> Result<Item, LedgerError> {
        let window = &limit.window;
        let is_short = window.resets_at.is_some_and(|end| end - window.start < SHORTEST);
        let Some(history) = self.history.as_ref().filter(|_| !is_short && limit.limits.in_flight.is_none()) else {
            return Ok(Item::default());
        };
        let settled = history.spent(&limit.scope, window.start, now).await.map_err(LedgerError::Unavailable)?;
        if settled == Amount::ZERO {
            return Ok(Item::default());
        }
        match self.change(key, &Change::Begin { settled, delete_after: delete_after(limit) }).await? {
            Some(item) => Ok(item),
            // Somebody else has begun it.
            None => self.read_one(key).await,
        }
    }
}
