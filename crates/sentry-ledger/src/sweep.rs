//! The sweep: settles expired holds, closes shards whose lease was not renewed, and finds the alerts that are due
//! afterwards.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sentry_domain::Alert;

use crate::change::Change;
use crate::figures::Figures;
use crate::item::Item;
use crate::key::Key;
use crate::lease;
use crate::settle::expiries;
use crate::store::{Ledger, LedgerError};

/// Milliseconds until the next look at a scope's own item that has leases. Its shards are swept by themselves.
const LEASED_MS: i64 = 60_000;

/// The result of a sweep, and the items whose next look must still be set.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Expired holds that this sweep settled in full.
    pub settled: usize,
    /// Items that the sweep looked at.
    pub items: usize,
    /// Items that could not be read or changed.
    pub failed: usize,
    /// `true` if more items are due.
    pub has_more: bool,
    /// The alerts that are due by the current items. Somebody else may be sending them already.
    pub alerts: Vec<Alert>,
    /// The items as the sweep left them. They stay due until [`Ledger::sweep_again_later`] gets this value.
    left: BTreeMap<Key, Item>,
}

impl Ledger {
    /// Looks at the items that are due. Settles every expired hold, gives back leases that were not renewed, and finds
    /// the alerts that are due. It reads an index and the due items, not the whole table. An item that cannot be read
    /// or changed is counted, and the others are still swept.
    ///
    /// The items stay due until [`Self::sweep_again_later`]. If the caller stops before the alerts are on their way,
    /// the next sweep finds them again.
    ///
    /// # Errors
    /// If the index cannot be read.
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<Swept, LedgerError> {
        let now_ms = now.timestamp_millis();
        let (keys, has_more) = self.due(now_ms).await?;
        let mut swept = Swept { items: keys.len(), has_more, ..Swept::default() };
        for key in keys {
            match self.sweep_item(&key, now_ms).await {
                Ok((settled, item)) => {
                    swept.settled += settled;
                    swept.left.extend(item.map(|item| (key, item)));
                }
                Err(_) => swept.failed += 1,
            }
        }
        // The alerts of a scope are looked for once, after all of its due items are settled.
        let scopes: BTreeSet<Key> = swept.left.keys().map(Key::own).collect();
        for own_key in scopes {
            if let Ok(alerts) = self.alerts_due(&own_key, swept.left.get(&own_key)).await {
                swept.alerts.extend(alerts);
            } else {
                let looked_at = swept.left.len();
                swept.left.retain(|key, _| key.own() != own_key);
                swept.failed += looked_at - swept.left.len();
            }
        }
        Ok(swept)
    }

    /// Sets the time of the next look at the items of a sweep. Call it when the alerts of the sweep are on their way.
    /// Returns the number of items that could not be changed. These stay due.
    pub async fn sweep_again_later(&self, swept: Swept, now: DateTime<Utc>) -> usize {
        let mut failed = 0;
        for (key, item) in swept.left {
            if let Some(change) = next_look(&item, now.timestamp_millis())
                && self.change(&key, &change).await.is_err()
            {
                failed += 1;
            }
        }
        failed
    }

    /// Returns the number of holds that were settled, and the item afterwards. The item is `None` if it must be looked
    /// at again at once.
    async fn sweep_item(&self, key: &Key, now_ms: i64) -> Result<(usize, Option<Item>), LedgerError> {
        let mut item = self.read_one(key).await?;
        let mut settled = 0;
        for (key, change) in expiries(key, &item, now_ms) {
            if let Some(changed) = self.change(&key, &change).await? {
                (item, settled) = (changed, settled + 1);
            }
        }
        let Some((own_key, number)) = key.of_shard() else { return Ok((settled, Some(item))) };
        let own = self.read_one(&own_key).await?;
        let Some(together) = returned(&own_key, &own, number, &item, now_ms) else { return Ok((settled, Some(item))) };
        self.change_all(&together).await?;
        let [own, item] = self.read_both(&own_key, key).await?;
        let is_left = returned(&own_key, &own, number, &item, now_ms).is_some();
        Ok((settled, (!is_left).then_some(item)))
    }

    /// The alerts of a scope by its settled usage, except those with a mark. Usage that only CloudWatch has seen is
    /// not included, because only requests know it. `own` is the scope's own item, if it was just read.
    async fn alerts_due(&self, own_key: &Key, own: Option<&Item>) -> Result<Vec<Alert>, LedgerError> {
        let own = match own {
            // Without shards, nothing can have been handed over to the item since it was read.
            Some(own) if own.shards.is_empty() => own.clone(),
            _ => self.read_one(own_key).await?,
        };
        let Some(watch) = &own.watch else { return Ok(Vec::new()) };
        // The shards cannot have spent more than their leases, which count as held here.
        if watch.due(own_key, own.committed(), &own.alerted).is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<Key> = own.shards.keys().map(|number| own_key.shard(*number)).collect();
        // The own item was read before the shards. Usage that a shard hands over in between is missing until the next
        // look, but nothing is counted twice.
        let shards = self.read_all(&keys, true).await?;
        Ok(watch.due(own_key, Figures::of(&own, shards.values()).settled, &own.alerted))
    }
}

/// The changes that give back the lease of a shard that was not renewed in time, or hand over the settled usage of a
/// closed shard.
///
/// `None` if nothing is to be done. Without these changes, the scope's own item would count amounts as held that
/// nobody holds, and the sweep would look at it every minute.
#[must_use]
pub fn returned(own_key: &Key, own: &Item, number: u16, shard: &Item, now_ms: i64) -> Option<Vec<(Key, Change)>> {
    let is_in_use = shard.is_open() && shard.lease_until_ms > now_ms;
    if is_in_use { None } else { lease::closed(own_key, own, number, shard) }
}

/// The change that sets the time of the sweep's next look at an item: the earliest end of a hold, a bar or a lease.
/// `None` if the item is not due.
#[must_use]
pub fn next_look(item: &Item, now_ms: i64) -> Option<Change> {
    let at_ms = item.sweep_at_ms.filter(|at| *at <= now_ms)?;
    let (unbar, barred): (Vec<_>, Vec<_>) = item.barred.iter().partition(|(_, until)| **until <= now_ms);
    let holds = item.holds.values().map(|hold| hold.expires_ms);
    let lease = item.is_open().then_some(item.lease_until_ms.max(now_ms + 1));
    let leased = (!item.shards.is_empty() || item.held.requests > 0).then_some(now_ms + LEASED_MS);
    let next_ms = holds.chain(barred.into_iter().map(|(_, until)| *until)).chain(lease).chain(leased).min();
    let unbar = unbar.into_iter().map(|(owner, _)| owner.clone()).collect();
    Some(Change::NextLook { at_ms, next_ms, is_unheld: item.held.requests == 0, unbar })
}

/// The change that makes the sweep look at an item by `expires_ms`, so that a hold with this expiry can be taken.
/// `None` if the sweep comes by then. It can come later because a bar or the hold of a stream lasts longer.
pub(crate) fn sooner_look(item: &Item, expires_ms: i64) -> Option<Change> {
    let at_ms = item.sweep_at_ms.filter(|at| *at > expires_ms)?;
    Some(Change::NextLook { at_ms, next_ms: Some(expires_ms), is_unheld: false, unbar: vec![] })
}
