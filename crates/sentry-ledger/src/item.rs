//! A scope's item as the ledger understands it. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use sentry_domain::{Amount, PerUnit, Usd};
use thiserror::Error;

use crate::alert::Watch;

/// What one request holds on a scope until it is settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The most that it can use: tokens, dollars, one request, one of them in flight.
    pub amount: Amount,
    /// When it was taken, in milliseconds since 1970.
    pub taken_ms: i64,
    /// When it is settled in full if nobody has settled it, in milliseconds since 1970.
    pub expires_ms: i64,
}

impl Hold {
    /// Whether nobody may be expected to settle it any more.
    #[must_use]
    pub const fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_ms <= now_ms
    }
}

/// A text that is no hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is no hold (input, output, picodollars, milliseconds since 1970 and milliseconds that it lasts, in base 36)")]
pub struct NoHold;

/// As it is stored: `input output picodollars taken lasts`, numbers in base 36. An item is read and written with all its holds, and every
/// kilobyte costs, so they are short.
impl fmt::Display for Hold {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Amount { input, output, usd, .. } = self.amount;
        let lasts = self.expires_ms.saturating_sub(self.taken_ms);
        let numbers = [input.into(), output.into(), usd.picodollars(), unsigned(self.taken_ms), unsigned(lasts)];
        write!(f, "{}", numbers.map(base36).join(" "))
    }
}

impl FromStr for Hold {
    type Err = NoHold;

    fn from_str(text: &str) -> Result<Self, NoHold> {
        let numbers: Result<Vec<u128>, _> = text.split(' ').map(|number| u128::from_str_radix(number, 36)).collect();
        let Ok([input, output, picodollars, taken, lasts]) = <[u128; 5]>::try_from(numbers.map_err(|_| NoHold)?) else {
            return Err(NoHold);
        };
        let tokens = |number: u128| u64::try_from(number).map_err(|_| NoHold);
        let ms = |number: u128| i64::try_from(number).map_err(|_| NoHold);
        let usd = Usd::from_picodollars(picodollars);
        let amount = Amount { input: tokens(input)?, output: tokens(output)?, usd, requests: 1, in_flight: 1 };
        Ok(Self { amount, taken_ms: ms(taken)?, expires_ms: ms(taken + lasts)? })
    }
}

fn unsigned(number: i64) -> u128 {
    u128::try_from(number).unwrap_or_default()
}

/// `number` in base 36, with lower-case letters: what [`u128::from_str_radix`] reads.
fn base36(mut number: u128) -> String {
    let mut digits = Vec::new();
    loop {
        let digit = u32::try_from(number % 36).unwrap_or_default();
        digits.extend(char::from_digit(digit, 36));
        number /= 36;
        if number == 0 {
            return digits.into_iter().rev().collect();
        }
    }
}

/// The counters and holds of a scope's window, or of one shard of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Item {
    /// In a scope's own item: whether anything was ever counted in it.
    pub begun: bool,
    /// Spent for good.
    pub settled: Amount,
    /// What the holds come to; in a scope's own item also what its shards have been leased.
    pub held: Amount,
    /// The holds, by owner.
    pub holds: BTreeMap<String, Hold>,
    /// Executions that take no hold here any more, each with the time until which that must be remembered, in milliseconds since 1970.
    pub barred: BTreeMap<String, i64>,
    /// In a shard: what is left of its lease. May be below zero in a unit that is not limited.
    pub free: PerUnit<i128>,
    /// The limits that a lease was made under: in a shard its own, in a scope's own item any of its shards'.
    pub terms: Option<String>,
    /// In a shard: until when the lease may be used, in milliseconds since 1970; 0 when it is closed.
    pub lease_until_ms: i64,
    /// In a scope's own item: over how many shards new holds are spread, a power of two; 0 and 1 are none. In a shard: the same, when its
    /// lease was made.
    pub spread: u16,
    /// In a scope's own item: when `spread` was last changed, in milliseconds since 1970.
    pub spread_at_ms: i64,
    /// In a scope's own item: the shards that have a lease, or something to hand over, each with the number of its holds when the lease was
    /// last changed.
    pub shards: BTreeMap<u16, u64>,
    /// In a scope's own item: how often a lease was made, renewed or called back.
    pub leases: u64,
    /// Thresholds whose alert is sent or being sent.
    pub alerted: BTreeSet<u8>,
    /// In a scope's own item: the thresholds to watch, where its limit has any.
    pub watch: Option<Watch>,
    /// How many holds were settled by the requests that took them.
    pub calls: u64,
    /// How long these holds lasted together, in milliseconds.
    pub busy_ms: u64,
    /// When the sweep must look at it next, in milliseconds since 1970.
    pub sweep_at_ms: Option<i64>,
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

    /// In a shard: whether holds may be taken from its lease, but for the time.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.lease_until_ms > 0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_hold_is_read_back_as_it_was_written(
            input: u64, output: u64, picodollars in 0..u128::from(u64::MAX) * 1_000_000,
            taken_ms in 0..4_000_000_000_000_i64, lasts in 0..10_000_000_i64,
        ) {
            let amount = Amount { input, output, usd: Usd::from_picodollars(picodollars), requests: 1, in_flight: 1 };
            let hold = Hold { amount, taken_ms, expires_ms: taken_ms + lasts };
            prop_assert_eq!(hold.to_string().parse(), Ok(hold));
        }
    }

    #[test]
    fn a_usual_hold_takes_few_bytes_and_nothing_else_is_a_hold() {
        let usd = "0.0315".parse().unwrap();
        let amount = Amount { input: 350, output: 2_000, usd, requests: 1, in_flight: 1 };
        let hold = Hold { amount, taken_ms: 1_795_000_000_000, expires_ms: 1_795_000_360_000 };
        assert!(hold.to_string().starts_with("9q 1jk "), "{hold}");
        assert!(hold.to_string().len() <= 30, "{hold}");
        for text in ["", "1 2 3 4", "1 2 3 4 -5", "1 2 3 4 5 6", "1  3 4 5"] {
            assert!(text.parse::<Hold>().is_err(), "{text}");
        }
    }
}
