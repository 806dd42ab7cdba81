//! The rules without I/O, which the model checker explores, and their DynamoDB expressions are the same rules.

use std::cell::Cell;

use aws_sdk_dynamodb::types::AttributeValue;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use sentry_domain::{Amount, Limits, Usd};
use sentry_ledger::Ledger;
use sentry_ledger::change::{Bounds, Change};
use sentry_ledger::item::{Hold, Item, difference};
use sentry_ledger::steps::Key;
use tokio::runtime::Runtime;

use crate::support::{client, tables};

const SEQUENCES: u32 = 120;
const LEASE_UNTIL_MS: i64 = 1_000;

/// What is attempted, with the few ids and small amounts that make attempts meet.
#[derive(Clone, Debug)]
enum Step {
    Take { id: u8, amount: Amount, limits: Limits, seen: Amount },
    Draw { id: u8, amount: Amount, limited: [bool; 3], terms: bool, now_ms: i64 },
    Settle { id: u8, stranger: bool, actual: Amount, lasted_ms: Option<u64> },
    Lease { block: [i128; 3], spent: Amount, most: [Option<i128>; 3] },
    Leased { block: [i128; 3], stale: [i128; 3], terms: bool },
}

fn amount() -> impl Strategy<Value = Amount> {
    (0_u64..30, 0_u64..30, 0_u128..30).prop_map(|(input, output, millionths)| Amount {
        input,
        output,
        usd: Usd::from_picodollars(millionths * 1_000_000),
    })
}

fn limits() -> impl Strategy<Value = Limits> {
    let tokens = || proptest::option::of(0_u64..100);
    let usd = proptest::option::of((0_u128..100).prop_map(|millionths| Usd::from_picodollars(millionths * 1_000_000)));
    (tokens(), tokens(), usd).prop_map(|(input, output, usd)| Limits { input, output, usd })
}

fn seen() -> impl Strategy<Value = Amount> {
    prop_oneof![3 => Just(Amount::ZERO), 1 => amount()]
}

fn step() -> impl Strategy<Value = Step> {
    let take = (0_u8..6, amount(), limits(), seen());
    let draw = (0_u8..6, amount(), any::<[bool; 3]>(), prop::bool::weighted(0.9), 900_i64..1_005);
    let settle = (0_u8..6, prop::bool::weighted(0.1), amount(), proptest::option::of(0_u64..50));
    let bound = |most: i128| proptest::option::of(0..most);
    let most = [bound(120), bound(120), bound(120_000_000)];
    let lease = (numbers(60), amount(), most);
    let stale = [-1_i128..6, -1_i128..6, 0_i128..1];
    let leased = (numbers(60), stale, prop::bool::weighted(0.9));
    prop_oneof![
        lease.prop_map(|(block, spent, most)| Step::Lease { block, spent, most }),
        leased.prop_map(|(block, stale, terms)| Step::Leased { block, stale, terms }),
        take.prop_map(|(id, amount, limits, seen)| Step::Take { id, amount, limits, seen }),
        draw.prop_map(|(id, amount, limited, terms, now_ms)| Step::Draw { id, amount, limited, terms, now_ms }),
        settle.prop_map(|(id, stranger, actual, lasted_ms)| Step::Settle { id, stranger, actual, lasted_ms }),
    ]
}

fn numbers(most: i128) -> impl Strategy<Value = [i128; 3]> {
    [0..most, 0..most, 0..most * 1_000_000]
}

fn hold(id: u8, amount: Amount) -> Hold {
    Hold { amount, taken_ms: 7, expires_ms: 360_007, owner: format!("owner of {id}") }
}

/// The step as a change of `item`; a settlement is of the hold that is there, or of one that is not.
fn change(step: &Step, item: &Item, shard: bool) -> Option<Change> {
    Some(match step.clone() {
        // In a shard nothing is taken but from its lease: it does not count what is committed.
        Step::Take { .. } if shard => return None,
        Step::Take { id, amount, limits, seen } => {
            let bounds = Bounds::new(&limits, &seen, &amount)?;
            Change::Take {
                id: id.to_string(),
                hold: hold(id, amount),
                bounds,
                terms: "the terms".into(),
                delete_after: 9,
            }
        }
        Step::Draw { id, amount, limited, terms, now_ms } => {
            let terms = if terms { "the terms" } else { "other terms" }.to_owned();
            Change::Draw { id: id.to_string(), hold: hold(id, amount), limited, terms, now_ms }
        }
        Step::Settle { id, stranger, actual, lasted_ms } => {
            let there = item.holds.get(&id.to_string()).cloned().unwrap_or_else(|| hold(id, actual));
            let owner = if stranger { "a stranger".to_owned() } else { there.owner.clone() };
            Change::Settle { id: id.to_string(), hold: Hold { owner, ..there }, actual, shard, lasted_ms }
        }
        // What a shard has spent was leased to it, so it is held, and not by a hold.
        Step::Lease { spent, .. } if shard || leased(item).max(spent) != leased(item) => return None,
        Step::Lease { block, spent, most } => {
            let terms = Some(if spent.input % 2 == 0 { "the terms" } else { "other terms" }.to_owned());
            Change::Lease { shard: 3, change: block, spent, most: [most, most], terms, delete_after: 9 }
        }
        Step::Leased { .. } if !shard => return None,
        Step::Leased { block, stale, terms } => {
            let (free, terms) = (difference(item.free, stale), terms.then(|| "the terms".to_owned()));
            let known = Box::new(Item { free, terms, ..item.clone() });
            let change = difference(block, item.free);
            Change::Leased { known, change, terms: "the terms".into(), until_ms: LEASE_UNTIL_MS, delete_after: 9 }
        }
    })
}

/// What a scope's own item has leased to shards.
fn leased(item: &Item) -> Amount {
    item.held.saturating_sub(item.holds.values().map(|hold| hold.amount).sum())
}

/// Makes every step both ways; `lease` is what a shard starts with.
async fn same(
    ledger: &Ledger,
    key: &Key,
    lease: Option<[i128; 3]>,
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
            let number = |number: i128| AttributeValue::N(number.to_string());
            let mut attributes = key.attributes();
            for (name, free) in ["freeInput", "freeOutput", "freeUsd"].into_iter().zip(free) {
                attributes.insert(name.into(), number(free));
            }
            attributes.insert("leaseUntilMs".into(), number(LEASE_UNTIL_MS.into()));
            attributes.insert("terms".into(), AttributeValue::S("the terms".into()));
            let put = client.put_item().table_name(&table).set_item(Some(attributes));
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
