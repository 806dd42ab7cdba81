//! Shards: a scope that many requests change at once is spread over several items.
//!
//! The scope's own item gives a *lease* to each shard, and the shard takes holds from its lease. In the own item a
//! lease counts like a hold. So all shards together never exceed the bound of the own item, which is the limit. A
//! lease is valid for the limits that it was made under, and for at most a minute, as long as a usage figure of
//! CloudWatch may be reused.
//!
//! The number of shards follows the number of holds in flight ([`crate::spread`]) and the amount that is left to share.
//! Near the limit there are fewer shards, and in the end none. Holds are then taken in the own item, and the unused part
//! of the leases is called back.

use sentry_domain::{Amount, Limits, PerUnit, ReservedScope, Unit};

use crate::admission::Budget;
use crate::alert::Watch;
use crate::change::{Change, Most};
use crate::item::Item;
use crate::key::{Key, delete_after};
use crate::scope_items::ScopeItems;
use crate::spread::{MOST_SHARDS, candidates, count, shard, shrunk, spread};

/// The longest duration of a lease, in milliseconds. It equals the time for which a usage figure may be reused.
const LEASE_MS: i64 = 60_000;
/// The number of leases that are made in one transaction. A transaction has at most 100 items.
const AT_ONCE: usize = 32;
/// The smallest number of requests that a lease must serve to be worth its writes.
const LEAST_HOLDS: i128 = 4;
/// The number of requests that a lease without bounds serves. A lease has no bounds if its limit is exceeded and only
/// observes.
const UNBOUNDED_HOLDS: i128 = 64;

/// The limits in the form in which a lease records them.
pub(crate) fn terms(limits: &Limits) -> String {
    Unit::ALL.map(|unit| limits.get(unit).map_or_else(|| "-".to_owned(), |limit| limit.to_string())).join(" ")
}

/// A budget of an attempt, and the item in which its hold is to be taken.
#[derive(Clone, Debug)]
pub struct Place<'a> {
    /// The limit, and the usage seen by CloudWatch.
    pub budget: Budget<'a>,
    /// The shard to hold in. `None` for the scope's own item.
    pub shard: Option<u16>,
    /// `true` if the limit is known to be exceeded and only observes. The hold is then taken without bounds.
    pub unbounded: bool,
    /// `true` if all shards of the scope must be read.
    pub all: bool,
}

impl<'a> Place<'a> {
    /// The scope in the reservation of a hold at this place.
    #[must_use]
    pub fn reserved(&self) -> ReservedScope {
        ReservedScope {
            limit: self.budget.limit.clone(),
            seen: self.budget.seen,
            usage_age_seconds: None,
            shard: self.shard,
        }
    }

    /// The place in the scope's own item.
    #[must_use]
    pub const fn own(budget: Budget<'a>) -> Self {
        Self { budget, shard: None, unbounded: false, all: false }
    }

    /// The key of the item in which the hold is to be taken.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::of(self.budget.limit, self.shard)
    }

    /// The key of the scope's own item.
    #[must_use]
    pub fn own_key(&self) -> Key {
        Key::of(self.budget.limit, None)
    }

    fn lease<'i>(&self, items: &'i ScopeItems, number: u16, empty: &'i Item) -> Lease<'i>
    where
        'a: 'i,
    {
        let shard = items.shards.get(&number).unwrap_or(empty);
        Lease { budget: self.budget, unbounded: self.unbounded, own: &items.own, number, shard }
    }

    /// The largest number of shards, a power of two, among which the amount left in the own item can be shared for
    /// holds of this size.
    #[must_use]
    pub fn supported(&self, own: &Item, hold: &Amount) -> u16 {
        let (items, empty) = (ScopeItems { own: own.clone(), ..ScopeItems::default() }, Item::default());
        self.lease(&items, 0, &empty).supported(hold)
    }
}

/// A scope's own item and one of its shards, between which a lease is made.
struct Lease<'a> {
    budget: Budget<'a>,
    unbounded: bool,
    own: &'a Item,
    number: u16,
    shard: &'a Item,
}

impl Lease<'_> {
    /// The amount that the own item can still give within its two bounds. Negative if it has given too much.
    fn room(&self) -> PerUnit<Option<i128>> {
        let (committed, held) = (self.own.committed().signed(), self.own.held.signed());
        let seen = self.budget.seen.signed();
        PerUnit::from_fn(|unit| {
            let limit = i128::try_from(self.budget.limit.limits.get(unit)?).unwrap_or(i128::MAX);
            let used = (*committed.get(unit)).max(held.get(unit).saturating_add(*seen.get(unit)));
            Some(limit.saturating_sub(used))
        })
    }

    /// The largest number of shards, a power of two, such that half of an even share serves a few requests of this
    /// size. The other half is left for later requests.
    fn supported(&self, hold: &Amount) -> u16 {
        if self.unbounded {
            return MOST_SHARDS;
        }
        let (room, hold) = (self.room(), hold.signed());
        let mut most = i128::from(MOST_SHARDS);
        for (unit, room) in room.iter() {
            if let Some(room) = room {
                let least = hold.get(unit).saturating_mul(2 * LEAST_HOLDS).max(1);
                most = most.min(room.saturating_add((*self.shard.free.get(unit)).max(0)) / least);
            }
        }
        1 << u16::try_from(most.max(1)).unwrap_or(MOST_SHARDS).ilog2()
    }

    /// The amount to lease to one of `spread` shards: half of an even share of the remaining amount.
    fn block(&self, hold: &Amount, spread: u16) -> PerUnit<i128> {
        let (room, hold) = (self.room(), hold.signed());
        let shares = 2 * i128::from(spread);
        PerUnit::from_fn(|unit| match room.get(unit) {
            None => 0,
            Some(_) if self.unbounded => hold.get(unit).saturating_mul(UNBOUNDED_HOLDS),
            Some(room) => room.saturating_add((*self.shard.free.get(unit)).max(0)) / shares,
        })
    }

    /// `true` if the current lease covers the hold. The request then only lost a race.
    fn serves(&self, hold: &Amount, now_ms: i64) -> bool {
        let limits = &self.budget.limit.limits;
        let (limited, hold) = (limits.limited(), hold.signed());
        let covered = limited.iter().all(|(unit, limited)| !limited || self.shard.free.get(unit) >= hold.get(unit));
        covered && self.shard.terms.as_ref() == Some(&terms(limits)) && self.shard.lease_until_ms > now_ms
    }

    /// The largest `committed` and `held` that the own item can have for `change`. A unit that is given back has no
    /// bound. `None` if the change cannot fit.
    fn bounds(&self, change: PerUnit<i128>) -> Option<Most> {
        let mut most = Most::default();
        if self.unbounded {
            return Some(most);
        }
        let (spent, seen) = (self.shard.settled.signed(), self.budget.seen.signed());
        for (unit, limit) in self.budget.limit.limits.iter() {
            let change = *change.get(unit);
            if change <= 0 {
                continue;
            }
            let limit = i128::try_from(limit).unwrap_or(i128::MAX);
            let committed = limit.saturating_sub(change);
            let held = limit.saturating_sub(*seen.get(unit)).saturating_sub(change - spent.get(unit));
            if committed < 0 || held < 0 {
                return None;
            }
            *most.committed.get_mut(unit) = Some(committed);
            *most.held.get_mut(unit) = Some(held);
        }
        Some(most)
    }

    /// The changes that set the lease of the shard to `block` and hand over its settled usage. `None` if there is no
    /// room.
    fn renewed(&self, block: PerUnit<i128>, now_ms: i64) -> Option<Vec<(Key, Change)>> {
        let limit = self.budget.limit;
        let (change, terms, delete_after) = (block - self.shard.free, terms(&limit.limits), delete_after(limit));
        let own = Change::Lease {
            shards: vec![(self.number, Some(count(self.shard.holds.len())))],
            change,
            spent: self.shard.settled,
            most: self.bounds(change)?,
            terms: Some(terms.clone()),
            watch: Watch::of(limit),
            delete_after,
        };
        let shard = Change::Leased {
            known: Box::new(self.shard.clone()),
            change,
            terms: Some(terms),
            until_ms: now_ms + lasts(self.number),
            spread: self.own.spread,
            delete_after,
        };
        Some(vec![(Key::of(limit, None), own), (Key::of(limit, Some(self.number)), shard)])
    }
}

/// The duration of a lease in milliseconds. It differs between shards. Otherwise leases that were made together would
/// all be renewed at the same time.
fn lasts(number: u16) -> i64 {
    let part = i64::from(number.wrapping_mul(40_503)) % (LEASE_MS / 2);
    LEASE_MS - part
}

/// The shard for an execution's `spot`: the highest of its candidates below `spread` that has a lease according to the
/// own item. Without one, the shard that `spot` selects.
#[must_use]
pub fn leased(spot: u16, spread: u16, own: &Item) -> Option<u16> {
    let known = candidates(spot).filter(|number| *number < spread && own.shards.contains_key(number)).max();
    known.filter(|_| spread > 1).or_else(|| shard(spot, spread))
}

/// The changes that make the first leases of the shards that a scope was just spread over, many in one transaction.
/// The request that spread the scope makes them. Nobody uses these shards yet, so they are not read.
#[must_use]
pub fn opened(budget: Budget<'_>, own: &Item, hold: &Amount, now_ms: i64) -> Groups {
    let (limit, empty) = (budget.limit, Item::default());
    let (spread, terms) = (spread(limit, own.spread), terms(&limit.limits));
    let mut own = own.clone();
    let mut groups = Groups::new();
    if spread < 2 || !own.agrees(&terms) {
        return groups;
    }
    let new: Vec<u16> = (0..spread).filter(|number| !own.shards.contains_key(number)).collect();
    for numbers in new.chunks(AT_ONCE) {
        let first = Lease { budget, unbounded: false, own: &own, number: 0, shard: &empty };
        if first.supported(hold) < spread {
            break;
        }
        let block = first.block(hold, spread);
        let times = i128::try_from(numbers.len()).unwrap_or(1);
        let change = block.map(|each| each.saturating_mul(times));
        let Some(most) = first.bounds(change) else { break };
        let lease = Change::Lease {
            shards: numbers.iter().map(|number| (*number, Some(0))).collect(),
            change,
            spent: Amount::ZERO,
            most,
            terms: Some(terms.clone()),
            watch: Watch::of(limit),
            delete_after: delete_after(limit),
        };
        let Some(after) = lease.apply(&own) else { break };
        let mut group = vec![(Key::of(limit, None), lease)];
        for number in numbers {
            let leased = Change::Leased {
                known: Box::default(),
                change: block,
                terms: Some(terms.clone()),
                until_ms: now_ms + lasts(*number),
                spread: own.spread,
                delete_after: delete_after(limit),
            };
            group.push((Key::of(limit, Some(*number)), leased));
        }
        groups.push(group);
        own = after;
    }
    groups
}

/// Groups of changes. Each group is applied as a whole or not at all.
pub type Groups = Vec<Vec<(Key, Change)>>;

/// The changes that close a shard, so that no more holds are taken from it. Its settled usage and the unused part of
/// its lease go back to the scope's own item, which still counts the holds of the shard. `None` if nothing is left to
/// do.
#[must_use]
pub fn closed(own_key: &Key, own: &Item, number: u16, shard: &Item) -> Option<Vec<(Key, Change)>> {
    needs_closing(own, number, shard).then(|| closed_together(own_key, own, &[(number, shard)]))
}

fn needs_closing(own: &Item, number: u16, shard: &Item) -> bool {
    let is_empty = shard.held.requests == 0;
    let has_nothing = shard.free == PerUnit::default() && shard.settled == Amount::ZERO;
    shard.is_open() || !has_nothing || is_empty && own.shards.contains_key(&number)
}

/// The changes that close several shards in one transaction.
fn closed_together(own_key: &Key, own: &Item, shards: &[(u16, &Item)]) -> Vec<(Key, Change)> {
    let mut back = PerUnit::<i128>::default();
    let mut spent = Amount::ZERO;
    for (_, shard) in shards {
        back = back - shard.free;
        spent = spent + shard.settled;
    }
    let mark = |shard: &Item| (shard.held.requests > 0).then(|| count(shard.holds.len()));
    let lease = Change::Lease {
        shards: shards.iter().map(|(number, shard)| (*number, mark(shard))).collect(),
        change: back,
        spent,
        most: Most::default(),
        terms: None,
        watch: None,
        delete_after: None,
    };
    let mut together = vec![(own_key.clone(), lease)];
    for (number, shard) in shards {
        let closed = Change::Leased {
            known: Box::new((*shard).clone()),
            change: -shard.free,
            terms: None,
            until_ms: 0,
            spread: own.spread,
            delete_after: None,
        };
        together.push((own_key.shard(*number), closed));
    }
    together
}

/// The changes that close the shards of a scope for which `which` returns `true`.
#[must_use]
pub fn close(own_key: &Key, items: &ScopeItems, which: impl Fn(&Item) -> bool) -> Groups {
    let chosen: Vec<(u16, &Item)> = items
        .shards
        .iter()
        .filter(|(number, shard)| which(shard) && needs_closing(&items.own, **number, shard))
        .map(|(number, shard)| (*number, shard))
        .collect();
    chosen.chunks(AT_ONCE).map(|shards| closed_together(own_key, &items.own, shards)).collect()
}

/// The changes that close the shards with the largest unused amounts in one transaction. They close only as many as
/// serve a few holds.
fn gathered(own_key: &Key, items: &ScopeItems, limits: &Limits, hold: &Amount) -> Groups {
    let needed = hold.signed();
    let holds = |free: &PerUnit<i128>| {
        let of = |unit| {
            if limits.get(unit).is_some() { free.get(unit) * 1_000 / needed.get(unit).max(&1) } else { i128::MAX }
        };
        Unit::ALL.into_iter().map(of).min().unwrap_or_default()
    };
    let mut chosen: Vec<(u16, &Item)> = items
        .shards
        .iter()
        .filter(|(number, shard)| needs_closing(&items.own, **number, shard))
        .map(|(number, shard)| (*number, shard))
        .collect();
    chosen.sort_by_key(|(_, shard)| -holds(&shard.free));
    chosen.truncate(AT_ONCE);
    let mut free = PerUnit::<i128>::default();
    let enough = chosen.iter().position(|(_, shard)| {
        free = free + shard.free;
        holds(&free) >= 1_000 * LEAST_HOLDS
    });
    chosen.truncate(enough.map_or(AT_ONCE, |last| last + 1));
    if chosen.is_empty() { Groups::new() } else { vec![closed_together(own_key, &items.own, &chosen)] }
}

/// The changes after which the next attempt can find room in `place`. They renew the lease of its shard, or the place
/// moves to another shard or to the scope's own item. `items` has the own item, and either the shards that `spot` can
/// select or all shards. `None` if the decision needs all shards.
pub(crate) fn make_ready(
    place: &mut Place<'_>,
    items: &ScopeItems,
    hold: &Amount,
    spot: u16,
    now_ms: i64,
) -> Option<Groups> {
    let terms = terms(&place.budget.limit.limits);
    if !items.own.agrees(&terms) {
        return agreed(place, items, terms);
    }
    let mut groups = ready_in_shard(place, items, hold, spot, now_ms);
    if place.shard.is_none() {
        groups.extend(ready_in_own_item(place, items, hold)?);
    }
    Some(groups)
}

/// The changes that make the own item agree to `terms`. It does not count a unit yet that is limited only now. So leases
/// that were made under other limits are called back first, and then the own item records the new limits. `None` if the
/// decision needs all shards.
fn agreed(place: &mut Place<'_>, items: &ScopeItems, terms: String) -> Option<Groups> {
    if !items.is_complete() {
        place.all = true;
        return None;
    }
    let own_key = place.own_key();
    let back = close(&own_key, items, |shard| !shard.agrees(&terms));
    let agree = Change::Agree { leases: items.own.leases, terms };
    Some(if back.is_empty() { vec![vec![(own_key, agree)]] } else { back })
}

/// The changes that give the place's shard a lease that covers `hold`, if the current one does not. The place moves to a
/// shard with such a lease, or to the own item if the amount that is left does not support shards.
fn ready_in_shard(place: &mut Place<'_>, items: &ScopeItems, hold: &Amount, spot: u16, now_ms: i64) -> Groups {
    let (empty, limit, own) = (Item::default(), place.budget.limit, &items.own);
    let wide = spread(limit, own.spread);
    let mut groups = Groups::new();
    place.shard = shard(spot, wide);
    let Some(number) = place.shard else { return groups };
    let lease = place.lease(items, number, &empty);
    if lease.serves(hold, now_ms) {
        return groups;
    }
    let narrow = lease.supported(hold).min(wide);
    let to = |to| Change::Spread { from: own.spread, to, now_ms, settled_since_ms: now_ms };
    if narrow < wide && own.spread > narrow {
        groups.push(vec![(place.own_key(), to(narrow))]);
    } else if narrow == wide {
        groups.extend(shrunk(limit, own, now_ms).map(|change| vec![(place.own_key(), change)]));
    }
    place.shard = shard(spot, narrow);
    let Some(number) = place.shard else { return groups };
    let lease = place.lease(items, number, &empty);
    if lease.serves(hold, now_ms) {
        return groups;
    }
    // If all requests renewed the lease, they would conflict. So only a quarter of them renew it, and the others use
    // another lease that covers the hold, if there is one.
    let others = candidates(spot).filter(|number| *number < narrow);
    let serving = others.filter(|number| place.lease(items, *number, &empty).serves(hold, now_ms)).max();
    if spot >> 14 != 0 && serving.is_some() {
        place.shard = serving;
    } else {
        groups.extend(lease.renewed(lease.block(hold, narrow), now_ms));
    }
    groups
}

/// The changes that call back unused parts of leases if `hold` does not fit into the own item. `None` if the decision
/// needs all shards.
fn ready_in_own_item(place: &mut Place<'_>, items: &ScopeItems, hold: &Amount) -> Option<Groups> {
    let room = place.lease(items, 0, &Item::default()).room();
    let needed = hold.signed();
    let is_short = room.iter().any(|(unit, room)| room.is_some_and(|room| room < *needed.get(unit)));
    if place.unbounded || !is_short {
        return Some(Groups::new());
    }
    if !items.is_complete() {
        place.all = true;
        return None;
    }
    Some(gathered(&place.own_key(), items, &place.budget.limit.limits, hold))
}
