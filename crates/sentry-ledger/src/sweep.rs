//! Settling what nobody settles: expired holds, and leases that nobody renews; and telling the alerts that are due after it.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use sentry_contract::states::Alert;

use crate::change::Change;
use crate::figures::Figures;
use crate::item::Item;
use crate::key::Key;
use crate::lease;
use crate::settle::expiries;
use crate::store::{Ledger, LedgerError};

/// How long a scope's own item with leases waits for the next look, in milliseconds: its shards are swept by themselves.
const LEASED_MS: i64 = 60_000;

/// What a sweep did, and what is left to do.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Holds that had expired and are settled in full now.
    pub settled: usize,
    /// Items that were looked at.
    pub items: usize,
    /// Items that could not be read or changed.
    pub failed: usize,
    /// Whether more items are due.
    pub has_more: bool,
    /// The alerts that are due by what the items say now. Somebody else may be sending them already.
    pub alerts: Vec<Alert>,
    /// The items that were looked at, as they were then. They are due until [`Ledger::sweep_again_later`] is told of them.
    left: BTreeMap<Key, Item>,
}

impl Ledger {
    /// Looks at the items that are due: settles every expired hold, gives back leases that were not renewed, and finds the alerts that are due.
    /// It reads an index and the items that are due, not the table. What cannot be read or changed is counted and does not keep the rest
    /// waiting.
    ///
    /// The items stay due until [`Self::sweep_again_later`]: who dies before the alerts are on their way finds them again.
    ///
    /// # Errors
    /// When the index cannot be read.
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
        // What the items of a scope have spent together is looked at once, when all of them are settled.
        let scopes: BTreeSet<Key> = swept.left.keys().map(Key::own).collect();
        for own_key in scopes {
            match self.alerts_due(&own_key, swept.left.get(&own_key)).await {
                Ok(alerts) => swept.alerts.extend(alerts),
                Err(_) => {
                    let looked_at = swept.left.len();
                    swept.left.retain(|key, _| key.own() != own_key);
                    swept.failed += looked_at - swept.left.len();
                }
            }
        }
        Ok(swept)
    }

    /// Says when the items of a sweep must be looked at next. Its alerts are on their way. How many items could not be changed: they stay due.
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

    /// How many holds it settled, and the item afterwards; without the item where it must be looked at again at once.
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

    /// The thresholds that a scope has reached by what it has settled, as far as no mark says that they are being told. What CloudWatch has seen
    /// beside is known to requests only. `own` is the scope's own item, if it was just read.
    async fn alerts_due(&self, own_key: &Key, own: Option<&Item>) -> Result<Vec<Alert>, LedgerError> {
        let own = match own {
            // Its shards may have handed over since what they had spent.
            Some(own) if own.shards.is_empty() => own.clone(),
            _ => self.read_one(own_key).await?,
        };
        let Some(watch) = &own.watch else { return Ok(Vec::new()) };
        // The shards have spent no more than they were leased, which counts as held here.
        if watch.due(own_key, own.committed(), &own.alerted).is_empty() {
            return Ok(Vec::new());
        }
        let keys: Vec<Key> = own.shards.keys().map(|number| own_key.shard(*number)).collect();
        // The own item was read first: what a shard hands over meanwhile is missing until the next look, and nothing counts twice.
        let shards = self.read_all(&keys, true).await?;
        Ok(watch.due(own_key, Figures::of(&own, shards.values()).settled, &own.alerted))
    }
}

/// The changes that give back the lease of a shard that was not renewed in its time, and hand over what one has spent that is closed.
///
/// `None` where there is nothing to do: a scope's own item would else count as held what nobody holds, and be looked at every minute.
#[must_use]
pub fn returned(own_key: &Key, own: &Item, number: u16, shard: &Item, now_ms: i64) -> Option<Vec<(Key, Change)>> {
    let is_in_use = shard.is_open() && shard.lease_until_ms > now_ms;
    if is_in_use { None } else { lease::closed(own_key, own, number, shard) }
}

/// The change that says when the sweep must look at an item next: when its first hold expires, or its lease. `None` when it is not due.
#[must_use]
pub fn next_look(item: &Item, now_ms: i64) -> Option<Change> {
    let at_ms = item.sweep_at_ms.filter(|at| *at <= now_ms)?;
    let (unbar, barred): (Vec<_>, Vec<_>) = item.barred.iter().partition(|(_, until)| **until <= now_ms);
    let holds = item.holds.values().map(|hold| hold.expires_ms);
    let lease = item.is_open().then_some(item.lease_until_ms.max(now_ms + 1));
    let leased = (!item.shards.is_empty() || item.held.requests > 0).then_some(now_ms + LEASED_MS);
    let next_ms = holds.chain(barred.into_iter().map(|(_, until)| *until)).chain(lease).chain(leased).min();
    Some(Change::Swept { at_ms, next_ms, unbar: unbar.into_iter().map(|(owner, _)| owner.clone()).collect() })
}
