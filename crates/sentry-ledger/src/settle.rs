//! Settlement: replaces a hold with the amount that was used.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use futures_util::future::{join_all, try_join_all};
use sentry_domain::{Amount, Reservation, ReservedScope, ScopeLimit};

use crate::admission::Budget;
use crate::alert::due_alerts;
use crate::change::Change;
use crate::figures::Figures;
use crate::holder::Holder;
use crate::item::{Hold, Item};
use crate::key::{Key, delete_after};
use crate::spread;
use crate::store::{Ledger, LedgerError};

/// Milliseconds for which an execution stays barred. This is much longer than a write of one of its functions can be
/// on its way.
const BARRED_MS: i64 = 120_000;

/// The largest mean number of shards that a settlement reads while an alert may be due.
const FEW_SHARDS: usize = 8;

/// A scope after a settlement.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct After {
    /// The figures of the scope. If it has shards, settled usage that other shards have not handed over since their
    /// last renewal counts as held.
    pub figures: Figures,
    /// The thresholds whose alert is sent, or is being sent.
    pub alerted: BTreeSet<u8>,
}

impl Ledger {
    /// Settles a reservation at `actual`. If `actual` is absent, the usage is unknown and the hold stays until it
    /// expires. Returns the scopes afterwards, in the order of the reservation.
    ///
    /// A repeated call changes nothing more.
    ///
    /// # Errors
    /// If the ledger cannot be reached. Some scopes may then be settled and others not.
    pub async fn settle(
        &self,
        reservation: &Reservation,
        actual: Option<Amount>,
        now: DateTime<Utc>,
    ) -> Result<Vec<After>, LedgerError> {
        let changes = settlements(reservation, actual, now);
        let now_ms = now.timestamp_millis();
        let each = |(place, scope)| self.settle_scope(scope, &reservation.hold, changes.get(place), now_ms);
        // Every scope is tried, even if another one fails.
        let after: Vec<_> = join_all(reservation.scopes.iter().enumerate().map(each)).await;
        after.into_iter().collect()
    }

    /// Settles the reservation of a request that the model certainly never worked on. The client may send the same id
    /// again.
    ///
    /// # Errors
    /// The same as for [`Self::settle`].
    pub async fn release(&self, reservation: &Reservation, now: DateTime<Utc>) -> Result<Vec<After>, LedgerError> {
        let after = self.settle(reservation, Some(Amount::ZERO), now).await?;
        let holder = Holder::from(reservation);
        self.forget(holder.request_id, &holder.owner()).await?;
        Ok(after)
    }

    async fn settle_scope(
        &self,
        scope: &ReservedScope,
        hold: &Amount,
        change: Option<&(Key, Change)>,
        now_ms: i64,
    ) -> Result<After, LedgerError> {
        let changed = match change {
            Some((key, change)) => self.change(key, change).await?,
            None => None,
        };
        let own_key = Key::of(&scope.limit, None);
        let (own, shard) = match (changed, scope.shard) {
            (Some(own), None) => (own, None),
            (None, None) => (self.read_one(&own_key).await?, None),
            (Some(shard), Some(_)) => {
                let mut found = self.glance(std::slice::from_ref(&own_key)).await?;
                (found.remove(&own_key).unwrap_or_default(), Some(shard))
            }
            (None, Some(number)) => {
                let [own, shard] = self.read_both(&own_key, &own_key.shard(number)).await?;
                (own, Some(shard))
            }
        };
        if let Some(shard) = &shard {
            let budget = Budget { limit: &scope.limit, seen: scope.seen };
            self.grow_from(budget, &own, shard, hold, now_ms).await;
        }
        let mut figures = Figures::of(&own, &shard);
        if !own.shards.is_empty() && may_be_due(scope, &own, &figures) && is_looked_at(own.shards.len()) {
            let keys: Vec<Key> = own.shards.keys().map(|number| own_key.shard(*number)).collect();
            figures = Figures::of(&own, self.glance(&keys).await?.values());
        }
        Ok(After { figures, alerted: own.alerted })
    }

    /// Gives back every hold of an execution whose reservation is not known, and bars writes that are still on their
    /// way.
    ///
    /// # Errors
    /// If the ledger cannot be reached. A hold that is left then expires.
    pub async fn cancel(
        &self,
        holder: Holder<'_>,
        limits: &[&ScopeLimit],
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let given_back = self.give_back(holder, limits, now).await;
        // Even if that failed, nothing was sent to the model, so the client may send the same id again.
        self.give_up(holder.request_id, &holder.owner(), now).await.and(given_back)
    }

    pub(crate) async fn give_back(
        &self,
        holder: Holder<'_>,
        limits: &[&ScopeLimit],
        now: DateTime<Utc>,
    ) -> Result<(), LedgerError> {
        let items = self.bar(holder, limits, now).await?;
        let changes = items.iter().filter_map(|(key, item)| Some((key, cancellation(holder, key, item)?)));
        try_join_all(changes.map(|(key, change)| async move { self.change(key, &change).await })).await?;
        Ok(())
    }

    /// Bars an execution from every item in which it can still take a hold. Returns these items, with the holds that
    /// it has.
    async fn bar(
        &self,
        holder: Holder<'_>,
        limits: &[&ScopeLimit],
        now: DateTime<Utc>,
    ) -> Result<Vec<(Key, Item)>, LedgerError> {
        let barred = try_join_all(limits.iter().map(|limit| self.bar_from(holder, limit, now))).await?;
        Ok(barred.into_iter().flatten().collect())
    }

    async fn bar_from(
        &self,
        holder: Holder<'_>,
        limit: &ScopeLimit,
        now: DateTime<Utc>,
    ) -> Result<Vec<(Key, Item)>, LedgerError> {
        let (bar, own_key) = (&barring(holder, limit, now), Key::of(limit, None));
        let own = self.change(&own_key, bar).await?.unwrap_or_default();
        let shards: Vec<Key> = places_of(holder, limit, &own, now).map(|shard| own_key.shard(shard)).collect();
        let items = try_join_all(shards.iter().map(|key| self.change(key, bar))).await?;
        let mut barred: Vec<(Key, Item)> =
            shards.into_iter().zip(items.into_iter().map(Option::unwrap_or_default)).collect();
        barred.push((own_key, own));
        Ok(barred)
    }
}

/// `true` if an alert may be due that `figures` do not show, because settled usage of shards still counts as held.
fn may_be_due(scope: &ReservedScope, own: &Item, figures: &Figures) -> bool {
    let due = |used| due_alerts(&scope.limit, used, &own.alerted).len();
    due(own.committed().max(scope.seen)) > due(figures.used(scope.seen))
}

/// `true` if a settlement reads all shards for an alert. It always does if they are few. Otherwise it does at random,
/// often enough that one of many settlements reads them.
fn is_looked_at(shards: usize) -> bool {
    shards <= FEW_SHARDS || fastrand::usize(..shards) < FEW_SHARDS
}

/// The change that bars an execution from an item.
#[must_use]
pub fn barring(holder: Holder<'_>, limit: &ScopeLimit, now: DateTime<Utc>) -> Change {
    let until_ms = now.timestamp_millis() + BARRED_MS;
    Change::Bar { owner: holder.owner(), until_ms, delete_after: delete_after(limit) }
}

/// The shards in which an execution may have taken a hold, or may still take one. A shard without a lease gives no
/// hold now, but it can get a lease while a write for it is still on its way.
pub fn places_of(holder: Holder<'_>, limit: &ScopeLimit, own: &Item, now: DateTime<Utc>) -> impl Iterator<Item = u16> {
    let spread = spread::spread(limit, own.spread);
    let has_changed_lately = own.spread_at_ms > now.timestamp_millis() - BARRED_MS;
    spread::candidates(holder.spot())
        .filter(move |shard| has_changed_lately || own.shards.contains_key(shard) || spread > 1 && *shard < spread)
}

/// The changes that settle a reservation at `actual`, one per scope. Empty if `actual` is absent.
#[must_use]
pub fn settlements(reservation: &Reservation, actual: Option<Amount>, now: DateTime<Utc>) -> Vec<(Key, Change)> {
    let Some(actual) = actual else { return vec![] };
    let holder = Holder::from(reservation);
    let owner = holder.owner();
    let hold = Hold {
        amount: reservation.hold,
        taken_ms: reservation.held_at.timestamp_millis(),
        expires_ms: reservation.expires_at.timestamp_millis(),
    };
    let lasted = u64::try_from((now - reservation.held_at).num_milliseconds()).unwrap_or_default();
    let change = |scope: &ReservedScope| {
        let key = Key::of(&scope.limit, scope.shard);
        (key, settlement(&owner, &hold, actual, scope.shard.is_some(), Some(lasted)))
    };
    reservation.scopes.iter().map(change).collect()
}

/// The change that releases the hold of `holder` in an item. `None` if it has no hold there.
#[must_use]
pub fn cancellation(holder: Holder<'_>, key: &Key, item: &Item) -> Option<Change> {
    let owner = holder.owner();
    let hold = item.holds.get(&owner)?;
    Some(settlement(&owner, hold, Amount::ZERO, key.of_shard().is_some(), None))
}

/// The changes that settle an item's expired holds in full. Their usage is unknown and can be the full amount.
#[must_use]
pub fn expiries(key: &Key, item: &Item, now_ms: i64) -> Vec<(Key, Change)> {
    let is_shard = key.of_shard().is_some();
    let change = |(owner, hold): (&String, &Hold)| {
        (key.clone(), settlement(owner, hold, hold.amount.spent_in_full(), is_shard, None))
    };
    item.expired(now_ms).map(change).collect()
}

fn settlement(owner: &str, hold: &Hold, actual: Amount, shard: bool, lasted_ms: Option<u64>) -> Change {
    Change::Settle { owner: owner.to_owned(), hold: hold.clone(), actual, shard, lasted_ms }
}
