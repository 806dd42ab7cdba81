//! An item of the ledger table in memory. No I/O.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use sentry_domain::{Amount, PerUnit, Usd};
use thiserror::Error;

use crate::alert::Watch;

/// The amount that one request holds in a scope until it is settled.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Hold {
    /// The most that the request can use: tokens, dollars, one request, and one request in flight.
    pub amount: Amount,
    /// Milliseconds since 1970 at which it was taken.
    pub taken_ms: i64,
    /// Milliseconds since 1970 at which it is settled in full, if nobody has settled it before.
    pub expires_ms: i64,
}

impl Hold {
    /// `true` if nobody is expected to settle it any more.
    #[must_use]
    pub const fn is_expired(&self, now_ms: i64) -> bool {
        self.expires_ms <= now_ms
    }
}

/// The error for a text that is not a stored [`Hold`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is no hold (input, output, picodollars, milliseconds since 1970 and milliseconds that it lasts, in base 36)")]
pub struct NoHold;

/// The stored form is `input output picodollars taken lasts`, with numbers in base 36. It is short because an item is
/// read and written with all its holds, and every kilobyte costs.
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

/// `number` in base 36 with lower-case letters, as [`u128::from_str_radix`] reads it.
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

/// The counters and holds of a scope's window, or of one of its shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Item {
    /// In a scope's own item: `true` if anything was ever counted in it.
    pub begun: bool,
    /// Usage that is settled and final.
    pub settled: Amount,
    /// The sum of the holds. In a scope's own item it includes the leases of its shards.
    pub held: Amount,
    /// The holds by the name of their owner.
    pub holds: BTreeMap<String, Hold>,
    /// Owners that can take no hold here any more. The value is the end of the bar, in milliseconds since 1970.
    pub barred: BTreeMap<String, i64>,
    /// In a shard: the unused part of its lease. It can be negative in a unit that is not limited.
    pub free: PerUnit<i128>,
    /// The limits that leases were made under. In a shard: those of its own lease. In a scope's own item: those of its
    /// shards' leases.
    pub terms: Option<String>,
    /// In a shard: the end of its lease, in milliseconds since 1970. 0 if the shard is closed.
    pub lease_until_ms: i64,
    /// In a scope's own item: the number of shards that new holds are spread over, a power of two. 0 and 1 mean no
    /// shards. In a shard: the same number at the time when its lease was made.
    pub spread: u16,
    /// In a scope's own item: milliseconds since 1970 at which `spread` last changed.
    pub spread_at_ms: i64,
    /// In a scope's own item: the shards that have a lease or something to hand over. The value is the number of their
    /// holds when the lease last changed.
    pub shards: BTreeMap<u16, u64>,
    /// In a scope's own item: the number of times that a lease was made, renewed or called back.
    pub leases: u64,
    /// Thresholds whose alert is sent, or is being sent.
    pub alerted: BTreeSet<u8>,
    /// In a scope's own item: the thresholds to watch. `None` if the limit has none.
    pub watch: Option<Watch>,
    /// The number of holds that were settled by their own requests.
    pub calls: u64,
    /// The total duration of these holds, in milliseconds.
    pub busy_ms: u64,
    /// Milliseconds since 1970 at which the sweep must look at the item next. `None` if it is not in the sweep's
    /// index.
    pub sweep_at_ms: Option<i64>,
}

impl Item {
    /// The sum of `settled` and `held`.
    #[must_use]
    pub fn committed(&self) -> Amount {
        self.settled + self.held
    }

    /// `true` if no leases exist under limits other than `terms`.
    #[must_use]
    pub fn agrees(&self, terms: &str) -> bool {
        self.terms.as_ref().is_none_or(|known| known == terms)
    }

    /// The holds that have expired at `now_ms`, with their owners.
    pub fn expired(&self, now_ms: i64) -> impl Iterator<Item = (&String, &Hold)> {
        self.holds.iter().filter(move |(_, hold)| hold.is_expired(now_ms))
    }

    /// In a shard: `true` if it has a lease. The time is not checked, so the lease may have ended.
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
