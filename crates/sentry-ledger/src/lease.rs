//! Shards: a scope that many requests change at once is spread over several items.
//!
//! A shard holds for requests out of a *lease* that the scope's own item gives it, and a lease counts there like a hold: so
//! the own item's bound, which is the limit's, is never passed by all of them together. A lease is good for the limits that
//! it was made under and for a minute, as long as a usage figure of CloudWatch may be used. Near the limit no leases are
//! given; holds are then taken in the own item, and what is left of the leases is called back.

use sentry_contract::states::ScopeLimit;
use sentry_domain::{Amount, Limits, Unit};

use crate::admission::Ask;
use crate::change::Change;
use crate::item::{Item, signed};
use crate::key::Key;
use crate::reserve::delete_after;
use crate::store::{ScopeItems, shards_of};

/// How long a lease is good for, in milliseconds: as long as a usage figure may be reused.
const LEASE_MS: i64 = 60_000;
/// A lease is worth its writes when it serves at least so many requests.
const LEAST_HOLDS: i128 = 4;

/// For each limit the shard to hold in, or `None` for the scope's own item.
pub(crate) type Places = Vec<Option<u8>>;

/// Any of the shards, for a scope that has them.
pub(crate) fn places(limits: &[ScopeLimit]) -> Places {
    limits.iter().map(|limit| (limit.shards > 1).then(|| fastrand::u8(shards_of(limit)))).collect()
}

/// The limits as a lease remembers them.
pub(crate) fn terms(limits: &Limits) -> String {
    Unit::ALL.map(|unit| limits.get(unit).map_or_else(|| "-".to_owned(), |limit| limit.to_string())).join(" ")
}

/// A scope's own item and one of its shards, for a lease between them.
struct Lease<'a> {
    limit: &'a ScopeLimit,
    seen: Amount,
    own: &'a Item,
    number: u8,
    shard: &'a Item,
}

impl Lease<'_> {
    /// What the own item could still give, by its two bounds; below zero where it has given too much.
    fn room(&self) -> [Option<i128>; 3] {
        let (committed, held, seen) = (signed(&self.own.committed()), signed(&self.own.held), signed(&self.seen));
        let mut room = [None; 3];
        let used = committed.into_iter().zip(held).zip(seen);
        for ((room, unit), ((committed, held), seen)) in room.iter_mut().zip(Unit::ALL).zip(used) {
            let limit = self.limit.limits.get(unit).map(|limit| i128::try_from(limit).unwrap_or(i128::MAX));
            *room = limit.map(|limit| limit.saturating_sub(committed.max(held.saturating_add(seen))));
        }
        room
    }

    /// How much to lease: half of an even share of what there is, so that the others find something too. `None` when that
    /// serves too few requests like this one.
    fn block(&self, hold: &Amount) -> Option<[i128; 3]> {
        let shares = 2 * i128::from(self.limit.shards);
        let mut block = [0; 3];
        let units = self.room().into_iter().zip(self.shard.free).zip(signed(hold));
        for (block, ((room, free), needed)) in block.iter_mut().zip(units) {
            let Some(room) = room else { continue };
            *block = room.saturating_add(free.max(0)) / shares;
            if *block < needed.saturating_mul(LEAST_HOLDS) {
                return None;
            }
        }
        Some(block)
    }

    /// Whether the shard serves such a hold as it is: then only a race was lost.
    fn serves(&self, hold: &Amount, now_ms: i64) -> bool {
        let units = self.shard.free.iter().zip(signed(hold)).zip(self.limit.limits.limited());
        let covered = units.into_iter().all(|((free, needed), limited)| !limited || *free >= needed);
        let terms = terms(&self.limit.limits);
        covered && self.shard.terms.as_ref() == Some(&terms) && self.shard.lease_until_ms > now_ms
    }

    /// What the leased amount changes by when it becomes `block`.
    fn change(&self, block: [i128; 3]) -> [i128; 3] {
        let [a, b, c] = block;
        let [x, y, z] = self.shard.free;
        [a - x, b - y, c - z]
    }

    /// The most that the own item may have committed, and hold, for `change`; no bound where it gets something back.
    fn bounds(&self, change: [i128; 3]) -> Option<[[Option<i128>; 3]; 2]> {
        let mut bounds = [[None; 3]; 2];
        let spent = signed(&self.shard.settled);
        for (place, unit) in Unit::ALL.into_iter().enumerate() {
            let (Some(limit), Some(change), Some(spent)) =
                (self.limit.limits.get(unit), change.get(place), spent.get(place))
            else {
                continue;
            };
            if *change <= 0 {
                continue;
            }
            let limit = i128::try_from(limit).unwrap_or(i128::MAX);
            let seen = i128::try_from(self.seen.get(unit)).unwrap_or(i128::MAX);
            let most = [limit.saturating_sub(*change), limit.saturating_sub(seen).saturating_sub(change - spent)];
            for (bounds, most) in bounds.iter_mut().zip(most) {
                if most < 0 {
                    return None;
                }
                if let Some(bound) = bounds.get_mut(place) {
                    *bound = Some(most);
                }
            }
        }
        Some(bounds)
    }

    /// Makes the shard's lease `block` and hands over what it has spent.
    fn renewal(&self, block: [i128; 3], now_ms: i64) -> Option<Vec<(Key, Change)>> {
        let change = self.change(block);
        let spent = self.shard.settled;
        let terms = terms(&self.limit.limits);
        let nothing = block == [0; 3];
        if nothing && change == [0; 3] && spent == Amount::ZERO && self.shard.agrees(&terms) {
            return None;
        }
        let delete_after = delete_after(self.limit);
        let own = Change::Lease {
            shard: self.number,
            change,
            spent,
            most: self.bounds(change)?,
            terms: (!nothing).then(|| terms.clone()),
            delete_after,
        };
        let shard = Change::Leased {
            known: Box::new(self.shard.clone()),
            change,
            terms,
            until_ms: now_ms + LEASE_MS,
            delete_after,
        };
        Some(vec![(Key::of(self.limit, None), own), (Key::of(self.limit, Some(self.number)), shard)])
    }
}

/// What to change so that the next attempt finds room where the figures say that there is some: the lease of a shard is
/// renewed, or `places` moves on to the scope's own item and leases are called back. Each group happens as a whole or not at
/// all; one that lost a race is found out by the next attempt.
pub(crate) fn room(
    hold: &Amount,
    ask: &Ask<'_>,
    scopes: &[ScopeItems],
    places: &mut Places,
    now_ms: i64,
) -> Vec<Vec<(Key, Change)>> {
    let mut changes = Vec::new();
    for (place, ((limit, items), shard)) in ask.limits.iter().zip(scopes).zip(places.iter_mut()).enumerate() {
        let empty = Item::default();
        let lease = |number: u8| {
            let shard = items.shards.get(&number).unwrap_or(&empty);
            Lease { limit, seen: ask.seen_of(place), own: &items.own, number, shard }
        };
        // A unit that is limited only now is not counted in the own item yet: leases made under other limits go back first,
        // and only then does the own item agree to the new ones.
        let terms = terms(&limit.limits);
        let others = items.shards.iter().filter(|(_, shard)| !shard.agrees(&terms));
        let back: Vec<_> = others.filter_map(|(number, _)| lease(*number).renewal([0; 3], now_ms)).collect();
        if !back.is_empty() {
            changes.extend(back);
            continue;
        }
        if !items.own.agrees(&terms) {
            changes.push(vec![(Key::of(limit, None), Change::Agree { leases: items.own.leases, terms })]);
            continue;
        }
        if let Some(number) = *shard {
            let lease = lease(number);
            if lease.serves(hold, now_ms) {
                continue;
            }
            if let Some(block) = lease.block(hold) {
                changes.extend(lease.renewal(block, now_ms));
                continue;
            }
            *shard = None;
        }
        let units = lease(0).room().into_iter().zip(signed(hold));
        let short = units.into_iter().any(|(room, needed)| room.is_some_and(|room| room < needed));
        if short {
            changes.extend(items.shards.keys().filter_map(|number| lease(*number).renewal([0; 3], now_ms)));
        }
    }
    changes
}
