//! The figures of a scope over some days.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sentry_domain::{Usd, UsdDifference};
use sentry_history::{Day, Sums, attribute};
use serde::Serialize;

use crate::input::sum;
use crate::text::Spend;

/// The saving by the prompt cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Saved {
    /// No token was read from a cache or written to one.
    Nothing,
    /// The amount that the same tokens would have cost more without a cache. It is negative if the cache cost more than
    /// it saved.
    Known {
        /// The saved amount, in dollars.
        usd: UsdDifference,
        /// `true` if the history has no amount for some of these tokens.
        #[serde(rename = "isFloor")]
        is_floor: bool,
    },
    /// Tokens were read from a cache or written to one, and the history has no amount for it.
    Unknown,
}

/// The figures of a scope, or of all, over some days.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Known costs, and the holds of requests whose usage is unknown. This is the amount that counts against budgets.
    pub spend: Spend,
    /// Requests that the budget approved or denied.
    pub requests: u64,
    /// Requests that the budget approved.
    pub approved: u64,
    /// Requests that the budget denied.
    pub denied: u64,
    /// Approved requests that the model did not answer.
    pub failed: u64,
    /// Approved requests whose usage is known.
    pub settled: u64,
    /// Settled requests whose price is not known exactly.
    pub unpriced: u64,
    /// Approved requests whose usage is unknown. They count at what they held.
    pub unknown: u64,
    /// The dollars of `unknown`, which are in `spend` too.
    pub unknown_usd: Usd,
    /// Tokens read that were not in a cache.
    pub input_tokens: u64,
    /// Tokens written by the model.
    pub output_tokens: u64,
    /// Tokens read from a prompt cache.
    pub cache_read_tokens: u64,
    /// Tokens written to a prompt cache.
    pub cache_write_tokens: u64,
    /// The saving by the cache.
    pub saved: Saved,
    /// Denied requests by error code.
    pub denied_by_code: BTreeMap<String, u64>,
    /// Failed requests by error code.
    pub failed_by_code: BTreeMap<String, u64>,
    /// Days whose item cannot be read. Their usage is not in the figures.
    pub unreadable_days: u64,
}

impl Figures {
    /// The figures of `sums`, without the days of `unreadable_days`, which cannot be read.
    #[must_use]
    pub fn of(sums: &Sums, unreadable_days: u64) -> Self {
        let count = |name: &str| u64::try_from(sums.get(name)).unwrap_or(u64::MAX);
        let unpriced = count(attribute::UNPRICED);
        let cache_read_tokens = count(attribute::CACHE_READ);
        Self {
            spend: Spend { usd: sums.spent().usd, is_floor: unpriced > 0 || unreadable_days > 0 },
            requests: count(attribute::REQUESTS),
            approved: count(attribute::APPROVED),
            denied: count(attribute::DENIED),
            failed: count(attribute::FAILED),
            settled: count(attribute::SETTLED),
            unpriced,
            unknown: count(attribute::UNKNOWN),
            unknown_usd: Usd::from_picodollars(sums.get(attribute::UNKNOWN_PICODOLLARS)),
            input_tokens: count(attribute::INPUT),
            output_tokens: count(attribute::OUTPUT),
            cache_read_tokens,
            cache_write_tokens: count(attribute::CACHE_WRITE),
            saved: saved(sums),
            denied_by_code: by_code(sums, attribute::DENIED),
            failed_by_code: by_code(sums, attribute::FAILED),
            unreadable_days,
        }
    }

    /// The figures of the days from `first` to `last`, both included.
    #[must_use]
    pub(crate) fn of_days(days: &[Day], first: NaiveDate, last: NaiveDate, unreadable_days: u64) -> Self {
        let mut figures = Self::of(&sum(days, first, last), unreadable_days);
        let mut in_span = days.iter().filter(|day| (first..=last).contains(&day.day));
        if let Saved::Known { is_floor, .. } = &mut figures.saved {
            *is_floor = in_span.any(|day| saved(&day.sums) == Saved::Unknown);
        }
        figures
    }

    /// All tokens, of every kind.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        [self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens]
            .into_iter()
            .fold(0, u64::saturating_add)
    }
}

fn saved(sums: &Sums) -> Saved {
    let (gain, loss) = (sums.get(attribute::SAVED_PICODOLLARS), sums.get(attribute::LOST_PICODOLLARS));
    let is_cached = sums.get(attribute::CACHE_READ) > 0 || sums.get(attribute::CACHE_WRITE) > 0;
    match (gain, loss) {
        (0, 0) if is_cached => Saved::Unknown,
        (0, 0) => Saved::Nothing,
        _ => Saved::Known { usd: Usd::from_picodollars(gain).minus(Usd::from_picodollars(loss)), is_floor: false },
    }
}

/// The counts of the attributes `<kind>#<code>`, by code.
fn by_code(sums: &Sums, kind: &str) -> BTreeMap<String, u64> {
    let of_kind = sums.iter().filter_map(|(name, number)| {
        let code = name.strip_prefix(kind)?.strip_prefix('#')?;
        Some((code.to_owned(), u64::try_from(number).unwrap_or(u64::MAX)))
    });
    of_kind.collect()
}
