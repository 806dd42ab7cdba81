//! The changes that can be made to an item. No I/O. The model checker explores these changes, and
//! [`crate::expression`] writes them as DynamoDB expressions.

use sentry_domain::{Amount, Limits, PerUnit};

use crate::alert::Watch;
use crate::item::{Hold, Item};

/// The largest `committed` and `held` that an item can have for one more hold to be taken. `None` means no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Limit − hold. The usage and holds that the ledger knows must fit.
    pub committed: PerUnit<Option<u128>>,
    /// Limit − usage seen by CloudWatch − hold. Usage that bypasses the sentry must fit too.
    pub held: PerUnit<Option<u128>>,
}

impl Bounds {
    /// The bounds for taking `amount` under `limits` if CloudWatch has seen `seen`.
    ///
    /// `None` if `amount` does not fit even in an empty item.
    #[must_use]
    pub fn new(limits: &Limits, seen: &Amount, amount: &Amount) -> Option<Self> {
        let mut bounds = Self::default();
        for (unit, limit) in limits.iter() {
            // A limit of 0 denies every request, even one that needs none of this unit.
            if limit == 0 {
                return None;
            }
            let committed = limit.checked_sub(amount.get(unit))?;
            let held = committed.checked_sub(seen.get(unit))?;
            *bounds.committed.get_mut(unit) = Some(committed);
            // Without usage seen by CloudWatch, the other bound implies this one, because held <= committed.
            *bounds.held.get_mut(unit) = (seen.get(unit) > 0).then_some(held);
        }
        Some(bounds)
    }

    fn allow(&self, item: &Item) -> bool {
        let within = |amount: &Amount, most: &PerUnit<Option<u128>>| {
            most.iter().all(|(unit, most)| most.is_none_or(|most| amount.get(unit) <= most))
        };
        within(&item.committed(), &self.committed) && within(&item.held, &self.held)
    }
}

/// One atomic change of one item. It is applied as a whole, or not at all if its condition fails.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Takes a hold in a scope's own item.
    Take {
        /// Name of the execution's holds.
        owner: String,
        /// The hold to take.
        hold: Hold,
        /// The bounds that the item must be within.
        bounds: Bounds,
        /// The limits as the request knows them. If leases exist, they must have been made under these limits. A unit
        /// that was not limited then was not leased, so the own item does not count the shards' holds of that unit
        /// yet.
        terms: String,
        /// The thresholds that the item stores from now on. `None` removes them.
        watch: Option<Watch>,
        /// Seconds since 1970 after which the item may be deleted.
        delete_after: Option<i64>,
    },
    /// Takes a hold from a shard's lease.
    Draw {
        /// Name of the execution's holds.
        owner: String,
        /// The hold to take.
        hold: Hold,
        /// `true` for each unit that the lease must cover.
        limited: PerUnit<bool>,
        /// The limits as the request knows them. The lease must have been made under these limits.
        terms: String,
        /// The current time, in milliseconds since 1970. The lease must end after it.
        now_ms: i64,
    },
    /// Replaces a hold with the amount that was used. Zero releases the hold. An expired hold is replaced with its
    /// full amount.
    Settle {
        /// Name of the execution's holds.
        owner: String,
        /// The hold to settle. A different hold of the same owner is left alone.
        hold: Hold,
        /// The amount that was used.
        actual: Amount,
        /// `true` if the hold is in a shard. The unused amount then goes back to the lease.
        shard: bool,
        /// Milliseconds for which the request held it. `None` if it is not the request that settles.
        lasted_ms: Option<u64>,
    },
    /// Bars an execution whose reservation was given up from taking a hold here. A write of the execution that is
    /// still on its way then fails its condition.
    Bar {
        /// Name of the execution's holds.
        owner: String,
        /// The end of the bar, in milliseconds since 1970.
        until_ms: i64,
        /// Seconds since 1970 after which the item may be deleted.
        delete_after: Option<i64>,
    },
    /// In a scope's own item: makes, renews or calls back leases of shards. A [`Change::Leased`] of each shard is in
    /// the same transaction.
    Lease {
        /// The shards, each with the number of its holds. `None` removes the mark of a shard that is closed and has no
        /// hold, so that nobody reads it again.
        shards: Vec<(u16, Option<u64>)>,
        /// The amount to lease in addition to the current leases. A negative amount is given back.
        change: PerUnit<i128>,
        /// The settled usage that the shards hand over.
        spent: Amount,
        /// The limits that the leases are made under. `None` if leases are called back.
        terms: Option<String>,
        /// The thresholds that the item stores from now on. If leases are called back, it keeps the thresholds that it
        /// has.
        watch: Option<Watch>,
        /// The bounds that the item must be within.
        most: Most,
        /// Seconds since 1970 after which the item may be deleted.
        delete_after: Option<i64>,
    },
    /// In a scope's own item: records new limits, after every lease under the old ones was called back.
    Agree {
        /// The item's `leases` when that was observed. It must not have changed.
        leases: u64,
        /// The new limits, as leases record them.
        terms: String,
    },
    /// In the shard: takes a lease or gives it back.
    Leased {
        /// The shard as it was read. Its free and settled amounts may have grown since then, but must not have shrunk.
        known: Box<Item>,
        /// The amount to lease in addition to the current lease. A negative amount is given back.
        change: PerUnit<i128>,
        /// The limits that the lease is made under. `None` keeps the current ones.
        terms: Option<String>,
        /// The end of the lease, in milliseconds since 1970. 0 closes the shard.
        until_ms: i64,
        /// The number of shards that the scope's own item records.
        spread: u16,
        /// Seconds since 1970 after which the item may be deleted.
        delete_after: Option<i64>,
    },
    /// In a scope's own item: spreads new holds over another number of shards.
    Spread {
        /// The current number, as the item records it.
        from: u16,
        /// The new number of shards.
        to: u16,
        /// The current time, in milliseconds since 1970.
        now_ms: i64,
        /// The change fails if the number last changed after this time, in milliseconds since 1970.
        settled_since_ms: i64,
    },
    /// Begins a scope's own item that has counted nothing yet, with the usage of the scope before that.
    Begin {
        /// Usage of the scope in this window so far.
        settled: Amount,
        /// Seconds since 1970 after which the item may be deleted.
        delete_after: Option<i64>,
    },
    /// Sets the time at which the sweep must look at the item next.
    NextLook {
        /// The due time before the change, in milliseconds since 1970. It must not have changed.
        at_ms: i64,
        /// The next due time, in milliseconds since 1970. `None` takes the item out of the sweep's index. The item
        /// must then have no hold, and as a shard no lease.
        next_ms: Option<i64>,
        /// `true` if the item must have no hold. A hold that was taken since the item was read could expire before
        /// `next_ms`.
        is_unheld: bool,
        /// Owners whose bar is removed.
        unbar: Vec<String>,
    },
}

/// The largest `committed` and `held` that a scope's own item can have for a lease to be made. `None` means no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Most {
    /// Bound for settled plus held amounts.
    pub committed: PerUnit<Option<i128>>,
    /// Bound for held amounts.
    pub held: PerUnit<Option<i128>>,
}

impl Most {
    fn allow(&self, item: &Item) -> bool {
        let within = |amount: &Amount, most: &PerUnit<Option<i128>>| {
            let amount = amount.signed();
            most.iter().all(|(unit, most)| most.is_none_or(|most| *amount.get(unit) <= most))
        };
        within(&item.committed(), &self.committed) && within(&item.held, &self.held)
    }
}

impl Change {
    /// The same change, but a [`Change::Spread`] goes to no more than `most` shards.
    #[must_use]
    pub fn at_most(self, most: u16) -> Self {
        match self {
            Self::Spread { from, to, now_ms, settled_since_ms } => {
                Self::Spread { from, to: to.min(most), now_ms, settled_since_ms }
            }
            other => other,
        }
    }

    /// The item after the change. `None` if the condition of the change fails.
    #[must_use]
    pub fn apply(&self, item: &Item) -> Option<Item> {
        let mut item = item.clone();
        match self {
            Self::Take { owner, hold, bounds, terms, watch, .. } => {
                if !item.admits(owner, hold) || !bounds.allow(&item) || !item.agrees(terms) {
                    return None;
                }
                item.begun = true;
                item.watch.clone_from(watch);
                item.take(owner, hold);
            }
            Self::Draw { owner, hold, limited, terms, now_ms } => {
                let needed = hold.amount.signed();
                let covered = limited.iter().all(|(unit, limited)| !limited || item.free.get(unit) >= needed.get(unit));
                let valid = item.terms.as_ref() == Some(terms) && item.lease_until_ms > *now_ms;
                if !item.admits(owner, hold) || !covered || !valid {
                    return None;
                }
                item.free = item.free - needed;
                item.take(owner, hold);
            }
            Self::Settle { owner, hold, actual, shard, lasted_ms } => {
                settle(&mut item, owner, hold, actual, *shard, *lasted_ms)?;
            }
            Self::Bar { owner, until_ms, .. } => {
                item.barred.insert(owner.clone(), *until_ms);
                item.sweep_by(*until_ms);
            }
            Self::Lease { .. } => self.lease(&mut item)?,
            Self::Agree { leases, terms } => {
                if item.leases != *leases {
                    return None;
                }
                item.terms = Some(terms.clone());
            }
            Self::Leased { .. } => self.leased(&mut item)?,
            Self::Spread { from, to, now_ms, settled_since_ms } => {
                if item.spread != *from || item.spread_at_ms > *settled_since_ms {
                    return None;
                }
                (item.spread, item.spread_at_ms) = (*to, *now_ms);
            }
            Self::Begin { settled, .. } => {
                if item.begun {
                    return None;
                }
                item.begun = true;
                item.settled = *settled;
            }
            Self::NextLook { .. } => self.next_look(&mut item)?,
        }
        Some(item)
    }

    fn next_look(&self, item: &mut Item) -> Option<()> {
        let Self::NextLook { at_ms, next_ms, is_unheld, unbar } = self else { return None };
        let is_last = next_ms.is_none();
        let is_busy = (*is_unheld || is_last) && item.held.requests > 0 || is_last && item.is_open();
        if item.sweep_at_ms != Some(*at_ms) || is_busy {
            return None;
        }
        item.sweep_at_ms = *next_ms;
        item.barred.retain(|owner, _| !unbar.contains(owner));
        Some(())
    }

    /// The part of a changed lease that is in the scope's own item.
    fn lease(&self, item: &mut Item) -> Option<()> {
        let Self::Lease { shards, change, spent, most, terms, watch, .. } = self else { return None };
        let agreed = terms.as_ref().is_none_or(|terms| item.agrees(terms));
        if !most.allow(item) || !agreed {
            return None;
        }
        if terms.is_some() {
            item.watch.clone_from(watch);
        }
        item.terms = terms.clone().or_else(|| item.terms.take());
        item.begun = true;
        item.leases += 1;
        item.held = Amount::unsigned(&(item.held.signed() + *change - spent.signed()));
        item.settled = item.settled + *spent;
        for (shard, holds) in shards {
            match holds {
                Some(holds) => item.shards.insert(*shard, *holds),
                None => item.shards.remove(shard),
            };
        }
        Some(())
    }

    /// The part of a changed lease that is in the shard.
    fn leased(&self, item: &mut Item) -> Option<()> {
        let Self::Leased { known, change, terms, until_ms, spread, .. } = self else { return None };
        let less = |now: &PerUnit<i128>, known: &PerUnit<i128>| {
            known.iter().any(|(unit, known)| *known != 0 && now.get(unit) < known)
        };
        let spent = known.settled.signed();
        let settled = item.settled.signed();
        if less(&item.free, &known.free)
            || less(&settled, &spent)
            || item.terms != known.terms
            || item.lease_until_ms != known.lease_until_ms
            || is_emptied(known, *until_ms)
                && (item.held.requests > 0 || item.settled.requests != known.settled.requests)
        {
            return None;
        }
        item.free = item.free + *change;
        item.settled = Amount::unsigned(&(settled - spent));
        item.terms = terms.clone().or_else(|| item.terms.take());
        item.lease_until_ms = *until_ms;
        item.spread = *spread;
        if *until_ms > 0 {
            item.sweep_by(*until_ms);
        }
        Some(())
    }
}

/// Replaces `hold` with `actual`. `None` if the owner does not have this hold.
fn settle(
    item: &mut Item,
    owner: &str,
    hold: &Hold,
    actual: &Amount,
    shard: bool,
    lasted_ms: Option<u64>,
) -> Option<()> {
    if item.holds.get(owner) != Some(hold) {
        return None;
    }
    item.holds.remove(owner);
    item.held = item.held.saturating_sub(hold.amount);
    item.settled = item.settled + *actual;
    if shard {
        item.free = item.free + hold.amount.signed() - actual.signed();
    }
    if let Some(lasted) = lasted_ms {
        item.calls += 1;
        item.busy_ms += lasted;
    }
    Some(())
}

/// `true` if the change closes a shard that had no hold when it was read as `known`. Nobody reads such a shard again.
/// So it must still have no hold, and no settled usage beyond the amount that it hands over.
pub(crate) const fn is_emptied(known: &Item, until_ms: i64) -> bool {
    until_ms == 0 && known.held.requests == 0
}

impl Item {
    fn admits(&self, owner: &str, hold: &Hold) -> bool {
        let is_swept_late = self.sweep_at_ms.is_some_and(|at_ms| at_ms > hold.expires_ms);
        !self.holds.contains_key(owner) && !self.barred.contains_key(owner) && !is_swept_late
    }

    fn take(&mut self, owner: &str, hold: &Hold) {
        self.held = self.held + hold.amount;
        self.holds.insert(owner.to_owned(), hold.clone());
        self.sweep_by(hold.expires_ms);
    }

    /// Makes the sweep come at `ms` if it has no time to come yet. An existing time stays. A hold is only taken if this
    /// time is not after its expiry.
    fn sweep_by(&mut self, ms: i64) {
        self.sweep_at_ms.get_or_insert(ms);
    }
}

#[cfg(test)]
mod tests;
