//! A scope's item as the ledger understands it, and the changes that may be made to it. No I/O: what is here is what the
//! model checker explores and what [`crate::expression`] writes as DynamoDB expressions.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use sentry_domain::{Amount, Unit, Usd};

/// What one request holds on a scope until it is settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The most that it can use.
    pub amount: Amount,
    /// When it was taken, in milliseconds since 1970.
    pub taken_ms: i64,
    /// When it is settled in full if nobody has settled it, in milliseconds since 1970.
    pub expires_ms: i64,
    /// The execution that it belongs to.
    pub owner: String,
}

impl Hold {
    /// Whether nobody may be expected to settle it any more.
    #[must_use]
    pub fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_ms <= now_ms
    }
}

/// As it is stored: `input output picodollars taken expires owner`.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Amount { input, output, usd } = self.amount;
        let picodollars = usd.picodollars();
        write!(f, "{input} {output} {picodollars} {} {} {}", self.taken_ms, self.expires_ms, self.owner)
    }
}

impl FromStr for Hold {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const PROBLEM: &str = "is no hold (input output picodollars taken expires owner)";
        let mut parts = text.splitn(6, ' ');
        let mut next = || parts.next().ok_or(PROBLEM);
        Ok(Self {
            amount: Amount {
                input: next()?.parse().map_err(|_| PROBLEM)?,
                output: next()?.parse().map_err(|_| PROBLEM)?,
                usd: Usd::from_picodollars(next()?.parse().map_err(|_| PROBLEM)?),
            },
            taken_ms: next()?.parse().map_err(|_| PROBLEM)?,
            expires_ms: next()?.parse().map_err(|_| PROBLEM)?,
            owner: next()?.to_owned(),
        })
    }
}

/// The counters and holds of a scope's window, or of one shard of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Item {
    /// Spent for good.
    pub settled: Amount,
    /// What the holds come to; in a scope's own item also what its shards have been leased.
    pub held: Amount,
    /// The holds, by request.
    pub holds: BTreeMap<String, Hold>,
    /// In a shard: what is left of its lease. May be below zero in a unit that is not limited.
    pub free: [i128; 3],
    /// In a shard: the limits that the lease was made under.
    pub terms: Option<String>,
    /// In a shard: until when the lease may be used, in milliseconds since 1970.
    pub lease_until_ms: i64,
    /// In a scope's own item: the shards that have, or had, a lease.
    pub shards: BTreeSet<u8>,
    /// Thresholds whose alert is sent or being sent.
    pub alerted: BTreeSet<u8>,
    /// How many holds were settled by the requests that took them.
    pub calls: u64,
    /// How long these holds lasted together, in milliseconds.
    pub busy_ms: u64,
}

impl Item {
    /// What is used up for good or may be: settled and held.
    #[must_use]
    pub fn committed(&self) -> Amount {
        self.settled + self.held
    }

    /// The holds that nobody may be expected to settle any more.
    pub fn expired(&self, now_ms: i64) -> impl Iterator<Item = (&String, &Hold)> {
        self.holds.iter().filter(move |(_, hold)| hold.is_expired(now_ms))
    }
}

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
    pub fn new(limits: &sentry_domain::Limits, seen: &Amount, amount: &Amount) -> Option<Self> {
        let mut bounds = Self::default();
        for (place, unit) in Unit::ALL.into_iter().enumerate() {
            let Some(limit) = limits.get(unit) else { continue };
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
        /// The most that the item may have committed, and hold.
        most: [[Option<i128>; 3]; 2],
        /// When the item may be deleted, in seconds since 1970.
        delete_after: i64,
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
            Self::Take { id, hold, bounds, .. } => {
                let fits = |amount: Amount, bound: &[Option<u128>; 3]| {
                    Unit::ALL
                        .into_iter()
                        .zip(bound)
                        .all(|(unit, most)| most.is_none_or(|most| amount.get(unit) <= most))
                };
                let room = fits(item.committed(), &bounds.committed) && fits(item.held, &bounds.held);
                if item.holds.contains_key(id) || !room {
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
            Self::Lease { shard, change, spent, most: [committed, held], .. } => {
                let fits = |amount: &Amount, most: &[Option<i128>; 3]| {
                    signed(amount).into_iter().zip(most).all(|(amount, most)| most.is_none_or(|most| amount <= most))
                };
                if !fits(&item.committed(), committed) || !fits(&item.held, held) {
                    return None;
                }
                item.held = unsigned(sum(signed(&item.held), difference(*change, signed(spent))));
                item.settled = item.settled + *spent;
                item.shards.insert(*shard);
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

/// An amount as signed numbers, in the order of [`Unit::ALL`].
#[must_use]
pub fn signed(amount: &Amount) -> [i128; 3] {
    Unit::ALL.map(|unit| i128::try_from(amount.get(unit)).unwrap_or(i128::MAX))
}

/// The sum of two amounts, number by number.
fn sum(one: [i128; 3], other: [i128; 3]) -> [i128; 3] {
    let ([a, b, c], [x, y, z]) = (one, other);
    [a + x, b + y, c + z]
}

/// What is left of an amount after taking another away, number by number.
#[must_use]
pub fn difference(from: [i128; 3], take: [i128; 3]) -> [i128; 3] {
    let ([a, b, c], [x, y, z]) = (from, take);
    [a - x, b - y, c - z]
}

/// The amount that has these numbers; what is below zero is zero.
#[must_use]
pub fn unsigned([input, output, usd]: [i128; 3]) -> Amount {
    let tokens = |number: i128| u64::try_from(number.max(0)).unwrap_or(u64::MAX);
    let picodollars = u128::try_from(usd.max(0)).unwrap_or_default();
    Amount { input: tokens(input), output: tokens(output), usd: Usd::from_picodollars(picodollars) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentry_domain::Limits;

    fn amount(input: u64, output: u64) -> Amount {
        Amount { input, output, usd: Usd::ZERO }
    }

    fn hold(input: u64, output: u64) -> Hold {
        Hold { amount: amount(input, output), taken_ms: 1_000, expires_ms: 361_000, owner: "arn:a b".into() }
    }

    fn take(id: &str, output: u64, limit: u64, seen: u64) -> Option<Change> {
        let limits = Limits { output: Some(limit), ..Limits::default() };
        let bounds = Bounds::new(&limits, &amount(0, seen), &amount(0, output))?;
        Some(Change::Take { id: id.into(), hold: hold(0, output), bounds, delete_after: 0 })
    }

    #[test]
    fn a_hold_is_read_back_as_it_was_written() {
        let hold = hold(7, 8);
        assert_eq!(hold.to_string().parse(), Ok(hold));
        for text in ["", "1 2 3 4 5", "1 2 3 4 x owner", "-1 2 3 4 5 owner"] {
            assert!(text.parse::<Hold>().is_err(), "{text}");
        }
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
