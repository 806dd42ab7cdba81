//! Settling what nobody settles: expired holds, and leases that nobody renews.

use chrono::{DateTime, Utc};

use crate::change::Change;
use crate::item::Item;
use crate::key::Key;
use crate::lease::{self, Groups};
use crate::settle::expiries;
use crate::store::{Ledger, LedgerError};

/// How long a scope's own item with leases waits for the next look, in milliseconds: its shards are swept by themselves.
const LEASED_MS: i64 = 60_000;

/// What a sweep did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Swept {
    /// Holds that had expired and are settled in full now.
    pub settled: usize,
    /// Items that were looked at.
    pub items: usize,
    /// Items that could not be read or changed.
    pub failed: usize,
    /// Whether more items are due.
    pub has_more: bool,
}

impl Ledger {
    /// Looks at the items that are due: settles every expired hold, and gives back leases that were not renewed. It reads an index and the items
    /// that are due, not the table. What cannot be read or changed is counted and does not keep the rest waiting.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub async fn sweep(&self, now: DateTime<Utc>) -> Result<Swept, LedgerError> {
        let now_ms = now.timestamp_millis();
        let (keys, has_more) = self.due(now_ms).await?;
        let mut swept = Swept { items: keys.len(), has_more, ..Swept::default() };
        for key in keys {
            match self.sweep_item(&key, now_ms).await {
                Ok(settled) => swept.settled += settled,
                Err(_) => swept.failed += 1,
            }
        }
        Ok(swept)
    }

    /// How many holds it settled.
    async fn sweep_item(&self, key: &Key, now_ms: i64) -> Result<usize, LedgerError> {
        let mut item = self.read_one(key).await?;
        let mut settled = 0;
        for (key, change) in expiries(key, &item, now_ms) {
            if let Some(changed) = self.change(&key, &change).await? {
                (item, settled) = (changed, settled + 1);
            }
        }
        if let Some((own_key, number)) = key.of_shard()
            && item.is_open()
            && item.lease_until_ms <= now_ms
        {
            let own = self.read_one(&own_key).await?;
            for together in returned(&own_key, &own, number, &item) {
                self.change_all(&together).await?;
            }
            item = self.read_one(key).await?;
        }
        if let Some(change) = next_look(&item, now_ms) {
            self.change(key, &change).await?;
        }
        Ok(settled)
    }
}

/// The changes that give back the lease of a shard that was not renewed in its time.
#[must_use]
pub fn returned(own_key: &Key, own: &Item, number: u16, shard: &Item) -> Groups {
    lease::closed(own_key, own, number, shard).into_iter().collect()
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
