//! The cost of a sweep of a large table: 200,000 items, and 50 more that hold something that expires.
//!
//! `SENTRY_TEST_ENDPOINT=http://127.0.0.1:4566 cargo run -p sentry-ledger --example sweep`. A number after `--` is the
//! number of items that hold nothing.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    reason = "a measurement: it may stop, and its seconds are for people"
)]

#[allow(dead_code, reason = "the latency uses the rest")]
#[path = "../latency/capacity.rs"]
mod capacity;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/local/support.rs"]
mod support;

use std::collections::HashMap;
use std::time::Instant;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use capacity::Meter;
use chrono::{DateTime, TimeDelta, Utc};
use sentry_domain::ScopeLimit;
use sentry_ledger::{Admission, Holder, Ledger};
use support::{HOLD, ask, client, limit, noon, tables};

const ITEMS: usize = 200_000;
const HOLDS: usize = 50;
/// The most items that DynamoDB takes in one `BatchWriteItem`.
///
/// Source: Amazon DynamoDB API Reference, "`BatchWriteItem`".
const AT_ONCE: usize = 25;
/// The most calls that wait for the engine at the same time.
const CALLS: usize = 8;
/// The time between two looks. The function `Sweep Holds` looks twice a minute.
const EVERY: TimeDelta = TimeDelta::seconds(30);
/// Bytes that one strongly consistent read unit reads.
const PAGE: usize = 4_096;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let items: usize = std::env::args().nth(1).map_or(ITEMS, |text| text.parse().expect("a number of items"));
    let plain = client().await;
    let (table, requests) = tables(&plain).await;
    let (filled, bytes) = fill(&plain, &table, items).await;
    println!("{items} items of scopes that hold nothing, {bytes} bytes, written in {filled:.0} s");
    // The holds are taken within a minute, so they expire within a minute.
    let ledger = Ledger::new(plain.clone(), table.clone(), requests.clone());
    for number in 0..HOLDS {
        hold(&ledger, number, noon() + spread_over_a_minute(number)).await;
    }
    let (client, meter) = Meter::attach(plain);
    let ledger = Ledger::new(client, table, requests);
    let mut settled = 0;
    let (mut looks, mut longest, mut latest) = (0, 0.0_f64, TimeDelta::zero());
    let (mut writes, mut reads, mut alerts) = (0, 0.0, 0);
    let mut now = noon() + HOLD - EVERY;
    while settled < HOLDS {
        let begun = Instant::now();
        let swept = ledger.sweep(now).await.unwrap();
        assert_eq!(swept.failed, 0);
        // Each hold was settled by the first look after its expiry. The earliest of these holds waited longest.
        if swept.settled > 0 {
            latest = latest.max(now - (noon() + HOLD + spread_over_a_minute(settled)));
        }
        settled += swept.settled;
        alerts += swept.alerts.len();
        assert_eq!(ledger.sweep_again_later(swept, now).await, 0);
        longest = longest.max(begun.elapsed().as_secs_f64());
        let bill = meter.take();
        (looks, writes, reads) = (looks + 1, writes + bill.writes, reads + bill.reads);
        println!("look {looks}: {settled} of {HOLDS} holds settled so far; {}", bill.calls());
        now += EVERY;
        assert!(looks < 10, "holds are left");
    }
    println!(
        "\n| items | holds that expire | settled | at the latest after | looks | read units | write units | alerts | longest look |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let (latest, scan) = (latest.num_seconds(), bytes / PAGE / 2);
    println!(
        "| {} | {HOLDS} | {settled} | {latest} s | {looks} | {reads} | {writes} | {alerts} | {longest:.1} s |",
        items + HOLDS
    );
    println!("\nReading the table once would be {scan} read units.");
}

fn spread_over_a_minute(number: usize) -> TimeDelta {
    TimeDelta::milliseconds(60_000 * i64::try_from(number).unwrap() / i64::try_from(HOLDS).unwrap())
}

/// Takes a hold that nobody settles, and that reaches a threshold of its budget when it expires.
async fn hold(ledger: &Ledger, number: usize, now: DateTime<Utc>) {
    let id = format!("r{number}");
    let limits = [ScopeLimit { alert_at: vec![80, 100], ..limit(&format!("user#expires-{number}"), 100, 1) }];
    let holder = Holder { request_id: &id, execution_id: &id };
    let admission = ledger.reserve(holder, &ask(&limits, 90), now, HOLD).await.unwrap();
    assert!(matches!(admission, Admission::Approved { .. }));
}

/// Writes items as the ledger leaves them when nothing is held. Returns the seconds that it took, and the bytes by
/// DynamoDB's rules.
async fn fill(client: &Client, table: &str, items: usize) -> (f64, usize) {
    let begun = Instant::now();
    let numbers: Vec<usize> = (0..items).collect();
    let mut tasks = tokio::task::JoinSet::new();
    for part in numbers.chunks(items.div_ceil(CALLS).max(1)) {
        let (client, table, part) = (client.clone(), table.to_owned(), part.to_vec());
        tasks.spawn(async move {
            for numbers in part.chunks(AT_ONCE) {
                let puts = numbers.iter().map(|number| {
                    let put = PutRequest::builder().set_item(Some(idle(*number))).build().unwrap();
                    WriteRequest::builder().put_request(put).build()
                });
                client.batch_write_item().request_items(&table, puts.collect()).send().await.unwrap();
            }
        });
    }
    tasks.join_all().await;
    let bytes = numbers.iter().map(|number| capacity::bytes_of(&idle(*number))).sum();
    (begun.elapsed().as_secs_f64(), bytes)
}

/// The item of a user who has spent something and holds nothing.
fn idle(number: usize) -> HashMap<String, AttributeValue> {
    let count = |count: usize| N(count.to_string());
    [
        ("scope", S(format!("user#{number:06}"))),
        ("window", S("2026-11".into())),
        ("begun", AttributeValue::Bool(true)),
        ("settledOutput", count(1_000 + number)),
        ("settledInput", count(20_000 + number)),
        ("settledRequests", count(17)),
        ("committedOutput", count(1_000 + number)),
        ("committedInput", count(20_000 + number)),
        ("committedRequests", count(17)),
        ("heldOutput", count(0)),
        ("heldInput", count(0)),
        ("heldRequests", count(0)),
        ("calls", count(17)),
        ("busyMs", count(170_000)),
        ("expiresAt", count(1_796_774_400)),
        ("watch", S("80,100 - 100 - - - 1796083200 2026-11".into())),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .into()
}
