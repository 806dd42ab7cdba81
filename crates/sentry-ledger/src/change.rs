//! The changes that may be made to an item. No I/O: what is here is what the model checker explores and what
//! [`crate::expression`] writes as DynamoDB expressions.

use sentry_domain::{Amount, Limits, Unit};

use crate::item::{Hold, Item, difference, signed, sum, unsigned};

/// The most that an item may have committed, and hold, for one more hold to be taken; `None` where there is no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Limit − hold: what the ledger knows must fit.
    pub committed: [Option<u128>; 3],
    /// Limit − what CloudWatch has seen − hold: what goes round the sentry must fit as well.
    pub held: [Option<u128>; 3],
}

impl Bounds {
    /// The bounds for taking `amount` under `limits` when CloudWatch has seen `seen`.
    ///
    /// `None` when it cannot fit whatever the ledger says.
    #[must_use]
    pub fn new(limits: &Limits, seen: &Amount, amount: &Amount) -> Option<Self> {
        let mut bounds = Self::default();
        for (place, unit) in Unit::ALL.into_iter().enumerate() {
            // A limit of 0 allows nothing, also nothing that is free.
            let Some(limit) = limits.get(unit) else { continue };
            if limit == 0 {
                return None;
            }
            let committed = limit.checked_sub(amount.get(unit))?;
            let held = committed.checked_sub(seen.get(unit))?;
            let outside = seen.get(unit) > 0;
            if let (Some(slot), Some(other)) = (bounds.committed.get_mut(place), bounds.held.get_mut(place)) {
                *slot = Some(committed);
                // Without usage seen by CloudWatch it follows from the other: held <= committed.
                *other = outside.then_some(held);
            }
        }
        Some(bounds)
    }
}

/// One atomic change of one item; it happens as a whole or, when its condition fails, not at all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Takes a hold in a scope's own item.
    Take {
        /// By request.
        id: String,
        /// What is taken.
        hold: Hold,
        /// Whether there is room.
        bounds: Bounds,
        /// The limits as the request knows them. Where there are leases they must be theirs: what a shard holds of a unit
        /// that was not limited then is not counted here yet.
        terms: String,
        /// When the item may be deleted, in seconds since 1970.
        delete_after: i64,
    },
    /// Takes a hold from a shard's lease.
    Draw {
        /// By request.
        id: String,
        /// What is taken.
        hold: Hold,
        /// Which units must be covered by the lease.
        limited: [bool; 3],
        /// The limits as the request knows them; they must be the lease's.
        terms: String,
        /// Now, in milliseconds since 1970; the lease must be valid.
        now_ms: i64,
    },
    /// Puts what was really used in the place of a hold: nothing to release it, all of it when it has expired.
    Settle {
        /// By request.
        id: String,
        /// The very hold that is settled; another one, or none, is left alone.
        hold: Hold,
        /// What was used.
        actual: Amount,
        /// Whether it is a shard's hold, whose rest goes back to the lease.
        shard: bool,
        /// How long the request held it, in milliseconds, if it is the request that settles.
        lasted_ms: Option<u64>,
    },
    /// In a scope's own item: renews the lease of a shard, together with [`Change::Leased`] there.
    Lease {
        /// The shard.
        shard: u8,
        /// What is leased beside what was; given back where it is negative.
        change: [i128; 3],
        /// What the shard has spent and hands over.
        spent: Amount,
        /// The limits that something is leased under; none where it is called back.
        terms: Option<String>,
        /// The most that the item may have committed, and hold.
        most: [[Option<i128>; 3]; 2],
        /// When the item may be deleted, in seconds since 1970.
        delete_after: i64,
    },
    /// In a scope's own item: other limits are in force, and every lease under the old ones has been called back.
    Agree {
        /// How often a lease was changed when that was seen.
        leases: u64,
        /// The limits.
        terms: String,
    },
    /// In the shard: takes the lease.
    Leased {
        /// What it was read as: it may since have got more back, not less.
        known: Box<Item>,
        /// What is leased beside what was.
        change: [i128; 3],
        /// The limits that the lease is made under.
        terms: String,
        /// Until when it may be used, in milliseconds since 1970.
        until_ms: i64,
        /// When the item may be deleted, in seconds since 1970.
        delete_after: i64,
    },
}

impl Change {
    /// The item after the change; `None` when the condition fails.
    #[must_use]
    pub fn apply(&self, item: &Item) -> Option<Item> {
        let mut item = item.clone();
        match self {
            Self::Take { id, hold, bounds, terms, .. } => {
                let fits = |amount: Amount, bound: &[Option<u128>; 3]| {
                    Unit::ALL
                        .into_iter()
                        .zip(bound)
                        .all(|(unit, most)| most.is_none_or(|most| amount.get(unit) <= most))
                };
                let room = fits(item.committed(), &bounds.committed) && fits(item.held, &bounds.held);
                if item.holds.contains_key(id) || !room || !item.agrees(terms) {
                    return None;
                }
                item.held = item.held + hold.amount;
                item.holds.insert(id.clone(), hold.clone());
            }
            Self::Draw { id, hold, limited, terms, now_ms } => {
                let needed = signed(&hold.amount);
                let covered = item
                    .free
                    .iter()
                    .zip(needed)
                    .zip(limited)
                    .all(|((free, needed), limited)| !limited || *free >= needed);
                let valid = item.terms.as_ref() == Some(terms) && item.lease_until_ms > *now_ms;
                if item.holds.contains_key(id) || !covered || !valid {
                    return None;
                }
                for (free, needed) in item.free.iter_mut().zip(needed) {
                    *free -= needed;
                }
                item.held = item.held + hold.amount;
                item.holds.insert(id.clone(), hold.clone());
            }
            Self::Settle { id, hold, actual, shard, lasted_ms } => {
                if item.holds.get(id) != Some(hold) {
                    return None;
                }
                item.holds.remove(id);
                item.held = item.held.saturating_sub(hold.amount);
                item.settled = item.settled + *actual;
                if *shard {
                    for ((free, held), used) in item.free.iter_mut().zip(signed(&hold.amount)).zip(signed(actual)) {
                        *free += held - used;
                    }
                }
                if let Some(lasted) = lasted_ms {
                    item.calls += 1;
                    item.busy_ms += lasted;
                }
            }
            Self::Lease { shard, change, spent, most: [committed, held], terms, .. } => {
                let fits = |amount: &Amount, most: &[Option<i128>; 3]| {
                    signed(amount).into_iter().zip(most).all(|(amount, most)| most.is_none_or(|most| amount <= most))
                };
                let agreed = terms.as_ref().is_none_or(|terms| item.agrees(terms));
                if !fits(&item.committed(), committed) || !fits(&item.held, held) || !agreed {
                    return None;
                }
                item.terms = terms.clone().or(item.terms);
                item.leases += 1;
                item.held = unsigned(sum(signed(&item.held), difference(*change, signed(spent))));
                item.settled = item.settled + *spent;
                item.shards.insert(*shard);
            }
            Self::Agree { leases, terms } => {
                if item.leases != *leases {
                    return None;
                }
                item.terms = Some(terms.clone());
            }
            Self::Leased { known, change, terms, until_ms, .. } => {
                let less = |now: [i128; 3], known: [i128; 3]| {
                    now.into_iter().zip(known).any(|(now, known)| known != 0 && now < known)
                };
                let spent = signed(&known.settled);
                if less(item.free, known.free) || less(signed(&item.settled), spent) || item.terms != known.terms {
                    return None;
                }
                item.free = sum(item.free, *change);
                item.settled = unsigned(difference(signed(&item.settled), spent));
                item.terms = Some(terms.clone());
                item.lease_until_ms = *until_ms;
            }
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentry_domain::Usd;

    fn amount(input: u64, output: u64) -> Amount {
        Amount { input, output, usd: Usd::ZERO }
    }

    fn hold(input: u64, output: u64) -> Hold {
        Hold { amount: amount(input, output), taken_ms: 1_000, expires_ms: 361_000, owner: "arn:a b".into() }
    }

    fn take(id: &str, output: u64, limit: u64, seen: u64) -> Option<Change> {
        let limits = Limits { output: Some(limit), ..Limits::default() };
        let bounds = Bounds::new(&limits, &amount(0, seen), &amount(0, output))?;
        Some(Change::Take { id: id.into(), hold: hold(0, output), bounds, terms: "t".into(), delete_after: 0 })
    }

    #[test]
    fn the_last_hold_that_fits_is_taken_and_no_other() {
        let mut item = Item::default();
        for id in ["a", "b"] {
            item = take(id, 10, 20, 0).unwrap().apply(&item).unwrap();
        }
        assert_eq!(take("c", 1, 20, 0).unwrap().apply(&item), None);
        assert_eq!(take("c", 21, 20, 0), None);
    }

    #[test]
    fn what_cloudwatch_has_seen_leaves_room_for_the_rest_only() {
        let item = take("a", 10, 20, 5).unwrap().apply(&Item::default()).unwrap();
        assert_eq!(take("b", 6, 20, 5).unwrap().apply(&item), None);
        assert!(take("b", 5, 20, 5).unwrap().apply(&item).is_some());
        assert_eq!(take("b", 5, 20, 16), None);
    }

    #[test]
    fn settling_twice_changes_nothing_more() {
        let item = take("a", 10, 20, 0).unwrap().apply(&Item::default()).unwrap();
        let settle = Change::Settle {
            id: "a".into(),
            hold: hold(0, 10),
            actual: amount(0, 4),
            shard: false,
            lasted_ms: Some(5),
        };
        let settled = settle.apply(&item).unwrap();
        assert_eq!((settled.settled, settled.held), (amount(0, 4), Amount::ZERO));
        assert_eq!((settled.calls, settled.busy_ms), (1, 5));
        assert_eq!(settle.apply(&settled), None);
    }

    #[test]
    fn another_requests_hold_of_the_same_name_is_left_alone() {
        let item = take("a", 10, 20, 0).unwrap().apply(&Item::default()).unwrap();
        let stranger = Hold { owner: "other".into(), ..hold(0, 10) };
        let settle =
            Change::Settle { id: "a".into(), hold: stranger, actual: Amount::ZERO, shard: false, lasted_ms: None };
        assert_eq!(settle.apply(&item), None);
    }

    #[test]
    fn a_lease_is_used_up_to_its_end_under_its_own_terms_and_in_its_time() {
        let lease = Item { free: [0, 15, 0], terms: Some("t".into()), lease_until_ms: 100, ..Item::default() };
        let draw = |id: &str, output, terms: &str, now_ms| Change::Draw {
            id: id.into(),
            hold: hold(0, output),
            limited: [false, true, false],
            terms: terms.into(),
            now_ms,
        };
        let drawn = draw("a", 10, "t", 99).apply(&lease).unwrap();
        assert_eq!((drawn.free, drawn.held), ([0, 5, 0], amount(0, 10)));
        assert_eq!(draw("b", 6, "t", 99).apply(&drawn), None);
        assert_eq!(draw("b", 5, "u", 99).apply(&drawn), None);
        assert_eq!(draw("b", 5, "t", 100).apply(&drawn), None);
        let settle =
            Change::Settle { id: "a".into(), hold: hold(0, 10), actual: amount(0, 3), shard: true, lasted_ms: None };
        assert_eq!(settle.apply(&drawn).unwrap().free, [0, 12, 0]);
    }
}
