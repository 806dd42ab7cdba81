//! The sums of a scope's window over its own item and its shards, and the room that they leave.

use std::collections::BTreeMap;

use sentry_domain::{Amount, BudgetEntry, Dollars, Headroom, ScopeLimit, Unit};

use crate::item::{Hold, Item};

/// The sums of a scope's window at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figures {
    /// Usage that is settled and final.
    pub settled: Amount,
    /// The sum of the holds of requests in flight.
    pub held: Amount,
    /// The holds by the name of their owner.
    pub holds: BTreeMap<String, Hold>,
    /// Mean duration of a hold, in milliseconds. `None` until a hold has been settled.
    pub mean_ms: Option<u64>,
}

impl Figures {
    /// The sum of a scope's own item and its shards.
    ///
    /// The `held` of the own item includes the leases of the shards: their holds, their settled usage that is not
    /// handed over yet, and the unused part of their leases.
    #[must_use]
    pub fn of<'a>(own: &'a Item, shards: impl IntoIterator<Item = &'a Item>) -> Self {
        let mut held = own.held.signed();
        let mut figures = Self { settled: own.settled, holds: own.holds.clone(), ..Self::default() };
        let (mut calls, mut busy) = (own.calls, own.busy_ms);
        for shard in shards {
            held = held - shard.free - shard.settled.signed();
            figures.settled = figures.settled + shard.settled;
            figures.holds.extend(shard.holds.clone());
            calls = calls.saturating_add(shard.calls);
            busy = busy.saturating_add(shard.busy_ms);
        }
        figures.held = Amount::unsigned(&held);
        figures.mean_ms = busy.checked_div(calls);
        figures
    }

    /// The larger of settled usage (ledger) and seen usage (CloudWatch). CloudWatch includes calls that bypass the
    /// sentry. The ledger includes usage that CloudWatch does not report yet.
    #[must_use]
    pub fn used(&self, seen: Amount) -> Amount {
        self.settled.max(seen)
    }

    /// The amount of `unit` that is left after usage and holds. `None` if `unit` is not limited.
    #[must_use]
    pub fn room(&self, limit: &ScopeLimit, seen: Amount, unit: Unit) -> Option<u128> {
        let limit = limit.limits.get(unit)?;
        Some(limit.saturating_sub(self.used(seen).get(unit)).saturating_sub(self.held.get(unit)))
    }

    /// The entry for this limit in the `budget` of an answer, without the age of the usage.
    #[must_use]
    pub fn entry(&self, limit: &ScopeLimit, seen: Amount) -> BudgetEntry {
        let (used, held) = (self.used(seen), self.held);
        BudgetEntry {
            scope: limit.scope.clone(),
            window: limit.window.name.clone(),
            resets_at: limit.window.resets_at,
            source: limit.source.clone(),
            usage_age_seconds: None,
            input: limit.limits.input.map(|most| Headroom::<u64>::new(most, used.input, held.input)),
            output: limit.limits.output.map(|most| Headroom::<u64>::new(most, used.output, held.output)),
            usd: limit.limits.usd.map(|most| Headroom::<Dollars>::new(most, used.usd, held.usd)),
            requests: limit.limits.requests.map(|most| Headroom::<u64>::new(most, used.requests, held.requests)),
            in_flight: limit.limits.in_flight.map(|most| Headroom::<u64>::new(most, used.in_flight, held.in_flight)),
            enforce: limit.enforce,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentry_domain::{PerUnit, Usd};

    fn output(output: u64) -> Amount {
        Amount { output, ..Amount::ZERO }
    }

    fn free(output: i128, usd: i128) -> PerUnit<i128> {
        PerUnit { output, usd, ..PerUnit::default() }
    }

    #[test]
    fn the_shards_leases_are_no_holds() {
        let shard = Item { settled: output(7), held: output(5), free: free(8, 0), ..Item::default() };
        let own = Item { settled: output(100), held: output(20 + 3), ..Item::default() };
        let figures = Figures::of(&own, &[shard]);
        assert_eq!((figures.settled, figures.held), (output(107), output(8)));
    }

    #[test]
    fn a_unit_that_is_not_leased_is_counted_all_the_same() {
        let usd = |picodollars| Amount { usd: Usd::from_picodollars(picodollars), ..Amount::ZERO };
        let shard = Item { settled: usd(4), held: usd(5), free: free(0, -9), ..Item::default() };
        let figures = Figures::of(&Item::default(), &[shard]);
        assert_eq!((figures.settled, figures.held), (usd(4), usd(5)));
    }
}
