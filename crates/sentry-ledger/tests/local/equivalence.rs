//! The rules without I/O, which the model checker explores, and their DynamoDB expressions are equivalent.

use std::cell::Cell;

use aws_sdk_dynamodb::types::AttributeValue;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sentry_domain::{Amount, Limits, PerUnit, Usd};
use sentry_ledger::Ledger;
use sentry_ledger::alert::Watch;
use sentry_ledger::change::{Bounds, Change, Most};
use sentry_ledger::item::{Hold, Item};
use sentry_ledger::steps::Key;
use tokio::runtime::Runtime;

use crate::support::{client, tables};

const SEQUENCES: u32 = 120;
const LEASE_UNTIL_MS: i64 = 1_000;

/// An attempted change. There are few owners and small amounts, so that attempts interfere with each other.
#[derive(Clone, Debug)]
enum Step {
    Take { owner: u8, amount: Amount, limits: Limits, seen: Amount },
    Draw { owner: u8, amount: Amount, limited: PerUnit<bool>, terms: bool, now_ms: i64 },
    Settle { owner: u8, other: bool, actual: Amount, lasted_ms: Option<u64> },
    Bar { owner: u8 },
    Lease { block: PerUnit<i128>, spent: Amount, most: PerUnit<Option<i128>>, holds: Option<u64> },
    Leased { block: PerUnit<i128>, stale: PerUnit<i128>, terms: bool, closes: bool },
    Agree { stale: bool },
    Spread { stale: bool, to: u16, since_ms: i64 },
    Begin { settled: Amount },
    NextLook { stale: bool, next_ms: Option<i64>, is_unheld: bool, unbar: Vec<u8> },
}

fn amount() -> impl Strategy<Value = Amount> {
    (0_u64..30, 0_u64..30, 0_u128..30).prop_map(|(input, output, millionths)| Amount {
        input,
        output,
        usd: Usd::from_picodollars(millionths * 1_000_000),
        requests: 1,
        in_flight: 1,
    })
}

fn limits() -> impl Strategy<Value = Limits> {
    let count = |most: u64| proptest::option::of(0..most);
    let usd = proptest::option::of((0_u128..100).prop_map(|millionths| Usd::from_picodollars(millionths * 1_000_000)));
    (count(100), count(100), usd, count(8), count(4)).prop_map(|(input, output, usd, requests, in_flight)| Limits {
        input,
        output,
        usd,
        requests,
        in_flight,
    })
}

fn seen() -> impl Strategy<Value = Amount> {
    prop_oneof![3 => Just(Amount::ZERO), 1 => amount()]
}

fn numbers(most: i128) -> impl Strategy<Value = PerUnit<i128>> {
    let few = most / 10 + 1;
    (0..most, 0..most, 0..most * 1_000_000, 0..few, 0..few)
        .prop_map(|(input, output, usd, requests, in_flight)| PerUnit { input, output, usd, requests, in_flight })
}

fn bounds(most: i128) -> impl Strategy<Value = PerUnit<Option<i128>>> {
    (numbers(most), any::<[bool; 5]>()).prop_map(|(numbers, bounded)| {
        let mut bounded = bounded.into_iter();
        numbers.map(|number| bounded.next().unwrap().then_some(*number))
    })
}

fn flags() -> impl Strategy<Value = PerUnit<bool>> {
    any::<[bool; 5]>().prop_map(|flags| {
        let mut flags = flags.into_iter();
        PerUnit::from_fn(|_| flags.next().unwrap())
    })
}

fn step() -> impl Strategy<Value = Step> {
    let take = (0_u8..6, amount(), limits(), seen());
    let draw = (0_u8..6, amount(), flags(), prop::bool::weighted(0.9), 900_i64..1_005);
    let settle = (0_u8..6, prop::bool::weighted(0.1), amount(), proptest::option::of(0_u64..50));
    let lease = (numbers(60), amount(), bounds(120), proptest::option::of(0_u64..3));
    let stale = prop::sample::select(vec![0_i128, 0, 0, 1, -1]).prop_map(|number| PerUnit::from_fn(|_| number));
    let leased = (numbers(60), stale, prop::bool::weighted(0.9), any::<bool>());
    let spread = (prop::bool::weighted(0.2), prop::sample::select(vec![1_u16, 2, 8, 256]), 0_i64..2_000);
    let next = proptest::option::of(1_000_i64..400_000);
    let look = (prop::bool::weighted(0.2), next, any::<bool>(), vec(0_u8..6, 0..3));
    prop_oneof![
        4 => take.prop_map(|(owner, amount, limits, seen)| Step::Take { owner, amount, limits, seen }),
        4 => draw.prop_map(|(owner, amount, limited, terms, now_ms)| Step::Draw { owner, amount, limited, terms, now_ms }),
        4 => settle.prop_map(|(owner, other, actual, lasted_ms)| Step::Settle { owner, other, actual, lasted_ms }),
        2 => lease.prop_map(|(block, spent, most, holds)| Step::Lease { block, spent, most, holds }),
        2 => leased.prop_map(|(block, stale, terms, closes)| Step::Leased { block, stale, terms, closes }),
        1 => (0_u8..6).prop_map(|owner| Step::Bar { owner }),
        1 => any::<bool>().prop_map(|stale| Step::Agree { stale }),
        1 => spread.prop_map(|(stale, to, since_ms)| Step::Spread { stale, to, since_ms }),
        1 => amount().prop_map(|settled| Step::Begin { settled }),
        1 => look.prop_map(|(stale, next_ms, is_unheld, unbar)| Step::NextLook { stale, next_ms, is_unheld, unbar }),
    ]
}

fn hold(amount: Amount) -> Hold {
    Hold { amount, taken_ms: 7, expires_ms: 360_007 }
}

/// Alert thresholds for these limits, or `None`.
fn watch(limits: &Limits) -> Option<Watch> {
    let alert_at = [50, 80].into();
    let watch = Watch { alert_at, limits: *limits, resets_at: None, window: "2026-11".to_owned(), respond: None };
    limits.output.is_some_and(|output| output % 2 == 0).then_some(watch)
}

/// The step as a change of `item`. A settlement is of an existing hold, or of a hold that does not exist.
fn change(step: &Step, item: &Item, shard: bool) -> Option<Change> {
    Some(match step.clone() {
        // A shard takes holds only from its lease, because it does not count committed amounts.
        Step::Take { .. } | Step::Begin { .. } if shard => return None,
        Step::Take { owner, amount, limits, seen } => {
            let bounds = Bounds::new(&limits, &seen, &amount)?;
            let (owner, terms) = (owner.to_string(), "the terms".into());
            let watch = watch(&limits);
            Change::Take { owner, hold: hold(amount), bounds, terms, watch, delete_after: Some(9) }
        }
        Step::Draw { owner, amount, limited, terms, now_ms } => {
            let terms = if terms { "the terms" } else { "other terms" }.to_owned();
            Change::Draw { owner: owner.to_string(), hold: hold(amount), limited, terms, now_ms }
        }
        Step::Settle { owner, other, actual, lasted_ms } => {
            let owner = owner.to_string();
            let there = item.holds.get(&owner).cloned().unwrap_or_else(|| hold(actual));
            let hold = Hold { taken_ms: there.taken_ms + i64::from(other), ..there };
            Change::Settle { owner, hold, actual: actual.spent_in_full(), shard, lasted_ms }
        }
        Step::Bar { owner } => Change::Bar { owner: owner.to_string(), until_ms: 120_000, delete_after: Some(9) },
        // The settled usage of a shard was leased to the shard. So it is part of what the own item holds, apart from
        // its own holds.
        Step::Lease { spent, .. } if shard || leased(item).max(spent) != leased(item) => return None,
        Step::Lease { block, spent, most, holds } => {
            let terms = Some(if spent.input % 2 == 0 { "the terms" } else { "other terms" }.to_owned());
            let most = Most { committed: most, held: most };
            let watch = watch(&Limits { output: u64::try_from(block.output).ok(), ..Limits::default() });
            let shards = vec![(3, holds)];
            Change::Lease { shards, change: block, spent, most, terms, watch, delete_after: Some(9) }
        }
        Step::Leased { .. } if !shard => return None,
        Step::Leased { block, stale, terms, closes } => {
            let terms = terms.then(|| "the terms".to_owned());
            let known = Box::new(Item { free: item.free - stale, terms, ..item.clone() });
            let until_ms = if closes { 0 } else { LEASE_UNTIL_MS };
            let terms = (!closes).then(|| "the terms".into());
            Change::Leased { known, change: block - item.free, terms, until_ms, spread: 4, delete_after: Some(9) }
        }
        Step::Agree { stale } => Change::Agree { leases: item.leases + u64::from(stale), terms: "the terms".into() },
        Step::Spread { stale, to, since_ms } => {
            Change::Spread { from: item.spread + u16::from(stale), to, now_ms: 1_000, settled_since_ms: since_ms }
        }
        Step::Begin { settled } => Change::Begin { settled: settled.spent_in_full(), delete_after: None },
        Step::NextLook { stale, next_ms, is_unheld, unbar } => {
            let at_ms = item.sweep_at_ms.unwrap_or_default() + i64::from(stale);
            Change::NextLook { at_ms, next_ms, is_unheld, unbar: unbar.iter().map(u8::to_string).collect() }
        }
    })
}

/// The amount that a scope's own item has leased to shards.
fn leased(item: &Item) -> Amount {
    item.held.saturating_sub(item.holds.values().map(|hold| hold.amount).sum())
}

/// Applies every step in both ways. `lease` is the first lease of a shard. `None` for a scope's own item.
async fn same(
    ledger: &Ledger,
    key: &Key,
    lease: Option<PerUnit<i128>>,
    steps: &[Step],
) -> Result<[usize; 2], TestCaseError> {
    let mut item = ledger.read_one(key).await.unwrap();
    prop_assert_eq!((item.free, item.terms.is_some()), (lease.unwrap_or_default(), lease.is_some()));
    let mut done = [0, 0];
    for step in steps {
        let Some(change) = change(step, &item, lease.is_some()) else { continue };
        let (pure, stored) = (change.apply(&item), ledger.change(key, &change).await.unwrap());
        prop_assert_eq!(&pure, &stored, "{:?} of {:?}", change, item);
        done[usize::from(pure.is_some())] += 1;
        item = pure.unwrap_or(item);
    }
    prop_assert_eq!(item, ledger.read_one(key).await.unwrap());
    Ok(done)
}

#[test]
#[ignore = "needs the local AWS: cargo xtask test"]
fn every_change_is_the_same_in_the_rules_and_in_dynamodb() {
    let runtime = Runtime::new().unwrap();
    let client = runtime.block_on(client());
    let (table, requests) = runtime.block_on(tables(&client));
    let ledger = Ledger::new(client.clone(), table.clone(), requests);
    let (number, total) = (Cell::new(0), Cell::new([0, 0]));
    let strategy = (proptest::option::of(numbers(80)), vec(step(), 1..30));
    let mut runner = TestRunner::new(Config { cases: SEQUENCES, failure_persistence: None, ..Config::default() });
    let result = runner.run(&strategy, |(lease, steps)| {
        number.set(number.get() + 1);
        let key = Key { scope: format!("scope-{}", number.get()), window: "2026-11".into() };
        if let Some(free) = lease {
            let count = |number: i128| AttributeValue::N(number.to_string());
            let text = |text: &str| AttributeValue::S(text.to_owned());
            let mut put = client.put_item().table_name(&table).item("scope", text(&key.scope));
            put = put.item("window", text(&key.window)).item("terms", text("the terms"));
            put = put.item("leaseUntilMs", count(LEASE_UNTIL_MS.into()));
            let names = ["freeInput", "freeOutput", "freeUsd", "freeRequests", "freeInFlight"];
            for (name, (_, free)) in names.into_iter().zip(free.iter()) {
                put = put.item(name, count(*free));
            }
            runtime.block_on(put.send()).unwrap();
        }
        let done = runtime.block_on(same(&ledger, &key, lease, &steps))?;
        let before = total.get();
        total.set([before[0] + done[0], before[1] + done[1]]);
        Ok(())
    });
    let [refused, done] = total.get();
    println!("{done} changes done, {refused} refused, the same both ways");
    result.unwrap();
    assert!(refused > 100 && done > 100, "both happen");
}
