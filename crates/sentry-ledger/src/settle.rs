//! Putting what was really used in the place of a hold.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures_util::future::join_all;
use sentry_contract::states::{Reservation, ReservedScope, ScopeLimit};
use sentry_domain::Amount;

use crate::change::Change;
use crate::figures::Figures;
use crate::item::{Hold, Item};
use crate::key::Key;
use crate::reserve::Holder;
use crate::store::{Ledger, LedgerError, ScopeItems};

/// A scope after a settlement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// Its figures.
    pub figures: Figures,
    /// The thresholds whose alert is sent or being sent.
    pub alerted: BTreeSet<u8>,
}

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Holds that had expired and are settled in full now.
    pub settled: usize,
    /// Items that could not be read or changed.
    pub failed: usize,
    /// When the next hold expires, in milliseconds since 1970.
    pub next_expiry_ms: Option<i64>,
}

impl Ledger {
    /// Settles a reservation at `actual`. Without `actual` nobody knows, and the hold stays until it expires. The scopes afterwards, in
    /// the reservation's order.
    ///
    /// Repeating it changes nothing more.
    ///
    /// # Errors
    /// When the ledger cannot be reached; some scopes may then be settled and others not.
    pub async fn settle(
        &self,
        reservation: &Reservation,
        actual: Option<Amount>,
        now: DateTime<Utc>,
    ) -> Result<Vec<After>, LedgerError> {
        let changes = settlements(reservation, actual, now);
        let each = |(place, scope)| self.settle_scope(scope, changes.get(place));
        // Every scope is tried, also when another one fails.
        let after: Vec<_> = join_all(reservation.scopes.iter().enumerate().map(each)).await;
        after.into_iter().collect()
    }

    /// Settles the reservation of a request that the model certainly never worked on: it may come again under the same id.
    ///
    /// # Errors
    /// As for [`Self::settle`].
    pub async fn release(&self, reservation: &Reservation, now: DateTime<Utc>) -> Result<Vec<After>, LedgerError> {
        let after = self.settle(reservation, Some(Amount::ZERO), now).await?;
        let holder = Holder { request_id: &reservation.request_id, execution_id: &reservation.execution_id };
        self.forget(holder.request_id, &holder.owner()).await?;
        Ok(after)
    }

    async fn settle_scope(&self, scope: &ReservedScope, change: Option<&(Key, Change)>) -> Result<After, LedgerError> {
        let changed = match change {
            Some((key, change)) => self.change(key, change).await?,
            None => None,
        };
        match changed {
            Some(own) if scope.shard.is_none() && scope.limit.shards == 1 && own.shards.is_empty() => {
                Ok(After { figures: Figures::of(&own, &[]), alerted: own.alerted })
            }
            _ => {
                let scopes = self.snapshot(std::slice::from_ref(&scope.limit)).await?;
                let items = scopes.into_iter().next().unwrap_or_default();
                Ok(After { figures: items.figures(), alerted: items.own.alerted })
            }
        }
    }

    /// Gives back whatever an execution holds whose reservation is not known.
    ///
    /// # Errors
    /// When the ledger cannot be reached; what is left then expires.
    pub async fn cancel(&self, holder: Holder<'_>, limits: &[ScopeLimit]) -> Result<(), LedgerError> {
        let given_back = self.give_back(holder, limits).await;
        // Whatever came of that, nothing was sent to the model: the client may come again under the same id.
        self.forget(holder.request_id, &holder.owner()).await.and(given_back)
    }

    async fn give_back(&self, holder: Holder<'_>, limits: &[ScopeLimit]) -> Result<(), LedgerError> {
        let scopes = self.snapshot(limits).await?;
        for (key, change) in cancellations(holder, limits, &scopes) {
            self.change(&key, &change).await?;
        }
        Ok(())
    }

    /// Settles every expired hold of the ledger. What cannot be read or changed is counted and does not keep the rest waiting.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<Swept, LedgerError> {
        let mut swept = Swept::default();
        let mut start = None;
        loop {
            let page = self.page(start).await?;
            for item in page.items {
                match item {
                    Ok((key, item)) => self.sweep_item(&key, &item, now.timestamp_millis(), &mut swept).await,
                    Err(_) => swept.failed += 1,
                }
            }
            start = page.next;
            if start.is_none() {
                return Ok(swept);
            }
        }
    }

    async fn sweep_item(&self, key: &Key, item: &Item, now_ms: i64, swept: &mut Swept) {
        let waiting = item.holds.values().filter(|hold| !hold.is_expired(now_ms)).map(|hold| hold.expires_ms);
        swept.next_expiry_ms = swept.next_expiry_ms.into_iter().chain(waiting).min();
        for (key, change) in expiries(key, item, now_ms) {
            match self.change(&key, &change).await {
                Ok(changed) => swept.settled += usize::from(changed.is_some()),
                Err(_) => swept.failed += 1,
            }
        }
    }
}

/// The change of every scope of a reservation that settles it at `actual`; none when nobody knows what was used.
#[must_use]
pub fn settlements(reservation: &Reservation, actual: Option<Amount>, now: DateTime<Utc>) -> Vec<(Key, Change)> {
    let Some(actual) = actual else { return vec![] };
    let holder = Holder { request_id: &reservation.request_id, execution_id: &reservation.execution_id };
    let hold = Hold {
        amount: reservation.hold,
        taken_ms: reservation.held_at.timestamp_millis(),
        expires_ms: reservation.expires_at.timestamp_millis(),
        owner: holder.owner(),
    };
    let lasted = u64::try_from((now - reservation.held_at).num_milliseconds()).unwrap_or_default();
    let change = |scope: &ReservedScope| {
        let key = Key::of(&scope.limit, scope.shard);
        (key, settlement(holder.request_id, &hold, actual, scope.shard.is_some(), Some(lasted)))
    };
    reservation.scopes.iter().map(change).collect()
}

/// The changes that give back whatever `holder` holds in `scopes`.
#[must_use]
pub fn cancellations(holder: Holder<'_>, limits: &[ScopeLimit], scopes: &[ScopeItems]) -> Vec<(Key, Change)> {
    let owner = holder.owner();
    let items = limits.iter().zip(scopes).flat_map(|(limit, items)| items.iter().map(move |item| (limit, item)));
    let change = |(limit, (shard, item)): (&ScopeLimit, (Option<u8>, &Item))| {
        let hold = item.holds.get(holder.request_id).filter(|hold| hold.owner == owner)?;
        let change = settlement(holder.request_id, hold, Amount::ZERO, shard.is_some(), None);
        Some((Key::of(limit, shard), change))
    };
    items.filter_map(change).collect()
}

/// The changes that settle an item's expired holds in full: nobody knows what they used, and it may have been all of it.
#[must_use]
pub fn expiries(key: &Key, item: &Item, now_ms: i64) -> Vec<(Key, Change)> {
    let change = |(id, hold): (&String, &Hold)| (key.clone(), settlement(id, hold, hold.amount, key.is_shard(), None));
    item.expired(now_ms).map(change).collect()
}

fn settlement(id: &str, hold: &Hold, actual: Amount, shard: bool, lasted_ms: Option<u64>) -> Change {
    Change::Settle { id: id.to_owned(), hold: hold.clone(), actual, shard, lasted_ms }
}
