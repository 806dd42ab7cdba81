//! Cost and duration of an admission: reserve and settle against a real DynamoDB API, compared with a bare
//! `UpdateItem`.
//!
//! `SENTRY_TEST_ENDPOINT=http://127.0.0.1:4566 cargo run -p sentry-ledger --example latency`, or `cargo xtask bench`.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    reason = "a measurement: it may stop, and its milliseconds are for people"
)]

mod capacity;
#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/local/support.rs"]
mod support;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use capacity::Meter;
use sentry_domain::{Reservation, ScopeLimit};
use sentry_ledger::{Admission, Holder, Ledger, Used};
use support::{HOLD, ask, client, limit, noon, output, tables};

// Calls of each kind that are measured with one client, and with many clients.
const CALLS: usize = 300;
const CALLS_TOGETHER: usize = 1_280;
const CLIENTS: [usize; 2] = [1, 64];
const SCOPES: [usize; 2] = [1, 4];
/// Windows of the budgets of each scope.
const WINDOWS: [usize; 2] = [1, 3];
// A limit that is never reached, and a limit that is enough for one request.
const AMPLE: u64 = 1_000_000_000;
const TIGHT: u64 = 150;
const TOKENS: u32 = 100;
/// The text for repeated requests, as long as the sentry's.
const TOLD: &str = r#"{"usage":{"inputTokens":100,"outputTokens":50,"cacheReadInputTokens":0,"cacheWriteInputTokens":0,"totalTokens":150},"cost":{"usd":"0.000050000","priced":true}}"#;

static NEXT: AtomicUsize = AtomicUsize::new(0);

fn scopes(count: usize, windows: usize, most: u64) -> Vec<ScopeLimit> {
    let names = [
        "model#anthropic.claude-sonnet-4-20250514-v1:0",
        "application#helper",
        "costCenter#support",
        "environment#production",
    ];
    let mut limits = Vec::new();
    for scope in names.iter().take(count) {
        for window in ["2026-11", "2026-W47", "2026-11-21"].iter().take(windows) {
            let mut limit = limit(scope, most, 1);
            limit.alert_at = vec![80, 100];
            (limit.window.name, limit.window.key) = ((*window).to_owned(), (*window).to_owned());
            limits.push(limit);
        }
    }
    limits
}

/// Reserves with ids as long as real ones.
async fn reserve(ledger: &Ledger, limits: &[ScopeLimit]) -> Admission {
    let id = format!("00000000-0000-4000-8000-{:012}", NEXT.fetch_add(1, Ordering::Relaxed));
    let execution = format!("arn:aws:states:us-east-1:000000000000:express:rate-limiter:{id}:{id}");
    let holder = Holder { request_id: &id, execution_id: &execution };
    ledger.reserve(holder, &ask(limits, TOKENS), noon(), HOLD).await.unwrap()
}

async fn approved(ledger: &Ledger, limits: &[ScopeLimit]) -> Reservation {
    match reserve(ledger, limits).await {
        Admission::Approved { reservation, .. } => reservation,
        other => panic!("not approved: {other:?}"),
    }
}

/// Runs `clients` at once, each again and again. Returns the duration of each call, by kind.
async fn measure<const KINDS: usize, Work, Call>(clients: usize, work: Work) -> [Vec<Duration>; KINDS]
where
    Work: Fn() -> Call + Clone + Send + 'static,
    Call: Future<Output = [Duration; KINDS]> + Send,
{
    let calls = if clients == 1 { CALLS } else { CALLS_TOGETHER };
    let one = |work: Work| async move {
        let mut times = Vec::new();
        for _ in 0..calls / clients {
            times.push(work().await);
        }
        times
    };
    let tasks: Vec<_> = (0..clients).map(|_| tokio::spawn(one(work.clone()))).collect();
    let mut times = std::array::from_fn(|_| Vec::with_capacity(calls));
    for task in tasks {
        for each in task.await.unwrap() {
            times.iter_mut().zip(each).for_each(|(times, time): (&mut Vec<Duration>, _)| times.push(time));
        }
    }
    times
}

fn percentiles(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let at = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1_000.0;
    (at(50), at(99))
}

/// The latency of a bare write. It is a measure of the engine and of this machine.
async fn base(client: &Client, clients: usize) -> (f64, f64) {
    let (table, _) = tables(client).await;
    let client = client.clone();
    let [times] = measure(clients, move || {
        let (client, table) = (client.clone(), table.clone());
        async move {
            let text = |text: &str| AttributeValue::S(text.to_owned());
            let call = client.update_item().table_name(table).key("scope", text("base")).key("window", text("2026-11"));
            let call = call.update_expression("ADD used :one");
            let begun = Instant::now();
            call.expression_attribute_values(":one", AttributeValue::N("1".into())).send().await.unwrap();
            [begun.elapsed()]
        }
    })
    .await;
    percentiles(times)
}

async fn latencies() {
    println!(
        "| call                     | clients | scopes | windows | median ms | 99th percentile ms | median / bare write |"
    );
    println!(
        "|--------------------------|--------:|-------:|--------:|----------:|-------------------:|--------------------:|"
    );
    let row = |call: &str, clients: usize, (scopes, windows): (&str, &str), (median, most): (f64, f64), base: f64| {
        println!(
            "| {call:<24} | {clients:>7} | {scopes:>6} | {windows:>7} | {median:>9.2} | {most:>18.2} | {:>19.1} |",
            median / base
        );
    };
    for clients in CLIENTS {
        let client = client().await;
        let bare = base(&client, clients).await;
        row("bare UpdateItem", clients, ("", ""), bare, bare.0);
        for (count, windows) in budgets() {
            let (table, requests) = tables(&client).await;
            let limits = Arc::new(scopes(count, windows, AMPLE));
            let ledger = Ledger::new(client.clone(), table, requests);
            let [reserved, settled] = measure(clients, move || {
                let (ledger, limits) = (ledger.clone(), Arc::clone(&limits));
                async move {
                    let begun = Instant::now();
                    let reservation = approved(&ledger, &limits).await;
                    let reserved = begun.elapsed();
                    ledger
                        .end(&reservation, Some(Used { amount: output(50), told: TOLD.to_owned() }), false, noon())
                        .await
                        .unwrap();
                    [reserved, begun.elapsed().checked_sub(reserved).unwrap()]
                }
            })
            .await;
            let (count, windows) = (count.to_string(), windows.to_string());
            row("reserve", clients, (&count, &windows), percentiles(reserved), bare.0);
            row("settle", clients, (&count, &windows), percentiles(settled), bare.0);
        }
    }
}

/// The numbers of scopes and windows of each row.
fn budgets() -> impl Iterator<Item = (usize, usize)> {
    SCOPES.into_iter().flat_map(|count| WINDOWS.map(|windows| (count, windows)))
}

async fn costs() {
    println!(
        "\n| request                  | scopes | windows | calls                                                                        | WRU | RRU | reported by the engine | largest item |"
    );
    println!(
        "|--------------------------|-------:|--------:|------------------------------------------------------------------------------|----:|----:|-----------------------:|-------------:|"
    );
    for (name, most) in [("approved and settled", AMPLE), ("denied", TIGHT)] {
        for (count, windows) in budgets() {
            let (client, meter) = Meter::attach(client().await);
            let (table, requests) = tables(&client).await;
            let (ledger, limits) = (Ledger::new(client.clone(), table.clone(), requests), scopes(count, windows, most));
            approved(&ledger, &limits).await;
            meter.take();
            let admission = reserve(&ledger, &limits).await;
            let largest = capacity::largest(&client, &table).await;
            if let Admission::Approved { reservation, .. } = admission {
                ledger
                    .end(&reservation, Some(Used { amount: output(50), told: TOLD.to_owned() }), false, noon())
                    .await
                    .unwrap();
            }
            let bill = meter.take();
            let (calls, writes, reads) = (bill.calls(), bill.writes, bill.reads);
            let reported = format!("{} units", bill.reported);
            println!(
                "| {name:<24} | {count:>6} | {windows:>7} | {calls:<76} | {writes:>3} | {reads:>3} | {reported:>22} | {largest:>6} bytes |"
            );
        }
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    latencies().await;
    costs().await;
}
