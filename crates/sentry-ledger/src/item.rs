//! A scope's item as the ledger understands it. No I/O.

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
    /// The limits that a lease was made under: in a shard its own, in a scope's own item any of its shards'.
    pub terms: Option<String>,
    /// In a shard: until when the lease may be used, in milliseconds since 1970.
    pub lease_until_ms: i64,
    /// In a scope's own item: the shards that have, or had, a lease.
    pub shards: BTreeSet<u8>,
    /// In a scope's own item: how often a lease was made, renewed or called back.
    pub leases: u64,
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

    /// Whether there are no leases under other limits.
    #[must_use]
    pub fn agrees(&self, terms: &str) -> bool {
        self.terms.as_ref().is_none_or(|known| known == terms)
    }

    /// The holds that nobody may be expected to settle any more.
    pub fn expired(&self, now_ms: i64) -> impl Iterator<Item = (&String, &Hold)> {
        self.holds.iter().filter(move |(_, hold)| hold.is_expired(now_ms))
    }
}

/// An amount as signed numbers, in the order of [`Unit::ALL`].
#[must_use]
pub fn signed(amount: &Amount) -> [i128; 3] {
    Unit::ALL.map(|unit| i128::try_from(amount.get(unit)).unwrap_or(i128::MAX))
}

/// The sum of two amounts, number by number.
#[must_use]
pub fn sum(one: [i128; 3], other: [i128; 3]) -> [i128; 3] {
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

    #[test]
    fn a_hold_is_read_back_as_it_was_written() {
        let amount = Amount { input: 7, output: 8, usd: Usd::ZERO };
        let hold = Hold { amount, taken_ms: 1_000, expires_ms: 361_000, owner: "a b".into() };
        assert_eq!(hold.to_string().parse(), Ok(hold));
        for text in ["", "1 2 3 4 5", "1 2 3 4 x owner", "-1 2 3 4 5 owner"] {
            assert!(text.parse::<Hold>().is_err(), "{text}");
        }
    }
}
