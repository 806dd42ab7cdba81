//! The number of shards of a scope, and the shard of an execution.
//!
//! The number follows the number of holds in flight ([`grown`], [`shrunk`]) and the conflicts between requests
//! ([`heated`]).

use std::collections::BTreeSet;

use sentry_domain::ScopeLimit;

use crate::change::Change;
use crate::item::Item;

/// The factor by which the number of shards grows when requests conflict.
const HEAT: u16 = 8;
/// The most shards of a scope. DynamoDB accepts about 1,000 write units per second for each partition key, so 256
/// shards serve a whole company.
pub const MOST_SHARDS: u16 = 256;
/// The number of holds above which an item is too large. Every write costs one unit per kilobyte of the item.
const MOST_HOLDS: usize = 32;
/// The number of holds per item that a growing scope aims at.
const USUAL_HOLDS: usize = 16;
/// The mean number of holds per shard below which half as many shards are enough.
const FEW_HOLDS: u64 = 4;
/// Milliseconds for which the number of shards stays before it may grow ([`GROWTH_MS`]) or shrink ([`SHRINKAGE_MS`]).
const GROWTH_MS: i64 = 200;
const SHRINKAGE_MS: i64 = 60_000;
/// The longest time that the first leases of new shards take, in milliseconds.
const OPENING_MS: i64 = 500;

/// The number of shards that a scope is spread over: the number in its own item (`own_spread`), but at least the
/// `shards` of its limit.
#[must_use]
pub fn spread(limit: &ScopeLimit, own_spread: u16) -> u16 {
    own_spread.max(fewest(limit)).clamp(1, MOST_SHARDS)
}

fn fewest(limit: &ScopeLimit) -> u16 {
    limit.shards.clamp(1, MOST_SHARDS).next_power_of_two()
}

/// The shard that `spot` selects from `spread` shards. `None` for the scope's own item.
#[must_use]
pub fn shard(spot: u16, spread: u16) -> Option<u16> {
    (spread > 1).then(|| spot & (spread - 1))
}

/// Every shard that an execution's `spot` can select, for any number of shards.
pub fn candidates(spot: u16) -> impl Iterator<Item = u16> {
    let all: BTreeSet<u16> = (1..=MOST_SHARDS.ilog2()).map(|bits| spot & ((1 << bits) - 1)).collect();
    all.into_iter()
}

/// The change that spreads a scope over more shards because one of its items has `holds` holds. `None` if `holds` is
/// not too many, or the scope has the most shards already.
#[must_use]
pub fn grown(limit: &ScopeLimit, own_spread: u16, holds: usize, now_ms: i64) -> Option<Change> {
    let spread = spread(limit, own_spread);
    if holds <= MOST_HOLDS || spread >= MOST_SHARDS {
        return None;
    }
    let times = u16::try_from(holds.div_ceil(USUAL_HOLDS).next_power_of_two()).unwrap_or(MOST_SHARDS);
    let to = spread.saturating_mul(times).min(MOST_SHARDS);
    Some(Change::Spread { from: own_spread, to, now_ms, settled_since_ms: now_ms - GROWTH_MS })
}

/// The change that spreads a scope over more shards because requests conflict. `None` if the scope has the most shards
/// already.
#[must_use]
pub fn heated(limit: &ScopeLimit, own_spread: u16, now_ms: i64) -> Option<Change> {
    let spread = spread(limit, own_spread);
    let to = spread.saturating_mul(HEAT).min(MOST_SHARDS);
    (spread < to).then(|| Change::Spread { from: own_spread, to, now_ms, settled_since_ms: now_ms - GROWTH_MS })
}

/// The change that spreads a scope over half as many shards because few requests are in flight. `None` if many are, or
/// if its limit does not allow fewer shards.
pub fn shrunk(limit: &ScopeLimit, own: &Item, now_ms: i64) -> Option<Change> {
    let spread = spread(limit, own.spread);
    let holds = own.shards.values().sum::<u64>().saturating_add(count(own.holds.len()));
    let to = spread / 2;
    let is_wide = holds < u64::from(spread) * FEW_HOLDS && to >= fewest(limit) && spread > 1;
    is_wide.then(|| Change::Spread { from: own.spread, to, now_ms, settled_since_ms: now_ms - SHRINKAGE_MS })
}

/// `true` if another request is probably making the first leases of the shards that the scope was just spread over.
#[must_use]
pub fn is_being_opened(own: &Item, now_ms: i64) -> bool {
    own.spread > 1 && own.shards.is_empty() && own.spread_at_ms + OPENING_MS > now_ms
}

/// `true` if a shard has too many holds and its scope can have more shards.
#[must_use]
pub fn is_large(shard: &Item) -> bool {
    shard.holds.len() > MOST_HOLDS && shard.spread < MOST_SHARDS
}

pub fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn an_executions_shard_is_always_among_its_candidates(spot: u16, bits in 1..=8_u32) {
            let shard = shard(spot, 1 << bits).unwrap();
            prop_assert!(shard < 1 << bits);
            prop_assert!(candidates(spot).any(|candidate| candidate == shard));
            prop_assert!(candidates(spot).count() <= 8);
        }
    }
}
