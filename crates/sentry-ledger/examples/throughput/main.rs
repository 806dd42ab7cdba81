//! The reservations per second through the library on one shared budget, compared with bare writes to the same
//! DynamoDB. It also checks that the ledger's figures match the calls of the clients.
//!
//! `SENTRY_TEST_ENDPOINT=http://127.0.0.1:4566 cargo run -p sentry-ledger --example throughput`, or `cargo xtask
//! bench`. A number after `--` is the number of reservations that are made and checked in the end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    reason = "a measurement: it may stop, and its rates are for people"
)]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../tests/local/support.rs"]
mod support;

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use sentry_domain::ScopeLimit;
use sentry_ledger::steps::Key;
use sentry_ledger::{Admission, Figures, Holder, Ledger};
use support::{HOLD, ask, client, limit, noon, output, tables};

const CLIENTS: [usize; 4] = [1, 10, 50, 200];
const LASTS: Duration = Duration::from_secs(5);
// The clients of the run whose figures are checked, and the default number of its reservations.
const CHECKING: usize = 50;
const CHECKED: usize = 5_000;
const TOKENS: u32 = 100;
/// A limit that is never reached.
const AMPLE: u64 = 1_000_000_000_000;
const SCOPE: &str = "costCenter#support";

static NEXT: AtomicUsize = AtomicUsize::new(0);

/// The condition under which the clients stop.
#[derive(Clone, Copy)]
enum Until {
    Time(Instant),
    Count(usize),
}

/// The calls of the clients, and their results.
#[derive(Default)]
struct Done {
    seconds: f64,
    reserve: Vec<Duration>,
    settle: Vec<Duration>,
    failed: usize,
    // Requests whose settlement was answered, and the tokens that they used.
    settled: u64,
    tokens: u64,
}

/// Runs `clients` at once, each again and again. Returns the result of each call, and the duration in seconds.
async fn load<T, Work, Call>(clients: usize, until: Until, work: Work) -> (Vec<T>, f64)
where
    T: Send + 'static,
    Work: Fn() -> Call + Clone + Send + 'static,
    Call: Future<Output = T> + Send,
{
    let (begun, count) = (Instant::now(), Arc::new(AtomicUsize::new(0)));
    let one = |work: Work, count: Arc<AtomicUsize>| async move {
        let mut done = Vec::new();
        loop {
            let number = count.fetch_add(1, Ordering::Relaxed);
            match until {
                Until::Time(end) if Instant::now() >= end => return done,
                Until::Count(all) if number >= all => return done,
                _ => done.push(work().await),
            }
        }
    };
    let tasks: Vec<_> = (0..clients).map(|_| tokio::spawn(one(work.clone(), Arc::clone(&count)))).collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    (all, begun.elapsed().as_secs_f64())
}

/// Bare writes of one item. They are a measure of the engine and of this machine. Returns the writes per second, and
/// the duration of each write.
async fn bare(client: &Client, clients: usize) -> (f64, Vec<Duration>) {
    let (table, _) = tables(client).await;
    let client = client.clone();
    let (times, seconds) = load(clients, Until::Time(Instant::now() + LASTS), move || {
        let call = client.update_item().table_name(&table).update_expression("ADD used :one");
        let call =
            call.key("scope", AttributeValue::S("base".into())).key("window", AttributeValue::S("2026-11".into()));
        async move {
            let begun = Instant::now();
            call.expression_attribute_values(":one", AttributeValue::N("1".into())).send().await.unwrap();
            begun.elapsed()
        }
    })
    .await;
    (times.len() as f64 / seconds, times)
}

/// Reserves and settles on one budget.
async fn requests(ledger: &Ledger, limits: &Arc<Vec<ScopeLimit>>, clients: usize, until: Until) -> Done {
    let (ledger, limits) = (ledger.clone(), Arc::clone(limits));
    let (settled, tokens) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let counts = (Arc::clone(&settled), Arc::clone(&tokens));
    let (times, seconds) = load(clients, until, move || {
        let (ledger, limits, counts) = (ledger.clone(), Arc::clone(&limits), counts.clone());
        async move {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let id = format!("00000000-0000-4000-8000-{number:012}");
            let execution = format!("arn:aws:states:us-east-1:000000000000:express:rate-limiter:{id}:{id}");
            let holder = Holder { request_id: &id, execution_id: &execution };
            let begun = Instant::now();
            let admission = ledger.reserve(holder, &ask(&limits, TOKENS), noon(), HOLD).await;
            let reserved = begun.elapsed();
            let Ok(Admission::Approved { reservation, .. }) = admission else { return (reserved, None) };
            let used = u64::try_from(number).unwrap() % u64::from(TOKENS) + 1;
            let ended = ledger.settle(&reservation, Some(output(used)), noon()).await;
            if ended.is_ok() {
                counts.0.fetch_add(1, Ordering::Relaxed);
                counts.1.fetch_add(used, Ordering::Relaxed);
            }
            (reserved, ended.is_ok().then(|| begun.elapsed().checked_sub(reserved).unwrap()))
        }
    })
    .await;
    let mut done = Done { seconds, ..Done::default() };
    for (reserved, settled) in times {
        done.reserve.push(reserved);
        done.failed += usize::from(settled.is_none());
        done.settle.extend(settled);
    }
    (done.settled, done.tokens) = (settled.load(Ordering::Relaxed), tokens.load(Ordering::Relaxed));
    done
}

/// The ledger's figures for the budget, and the number of its shards.
async fn figures(ledger: &Ledger, limit: &ScopeLimit) -> (Figures, usize) {
    let own_key = Key::of(limit, None);
    let own = ledger.read_one(&own_key).await.unwrap();
    let mut shards = Vec::new();
    for shard in own.shards.keys() {
        shards.push(ledger.read_one(&own_key.shard(*shard)).await.unwrap());
    }
    (Figures::of(&own, &shards), shards.len())
}

/// The median and the 99th percentile, in milliseconds.
fn percentiles(mut times: Vec<Duration>) -> (f64, f64) {
    times.sort_unstable();
    let at = |part: usize| {
        let place = times.len().saturating_sub(1) * part / 100;
        times.get(place).map_or(0.0, |time| time.as_secs_f64() * 1_000.0)
    };
    (at(50), at(99))
}

/// Differences between the calls of the clients and the ledger's figures, in requests.
fn mismatches(figures: &Figures, done: &Done) -> u64 {
    let tokens = figures.settled.output.abs_diff(done.tokens).div_ceil(TOKENS.into());
    let held = u64::try_from(figures.holds.len()).unwrap() + figures.held.output.div_ceil(TOKENS.into());
    tokens + held
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let checked = std::env::args().nth(1).map_or(CHECKED, |number| number.parse().expect("a number of reservations"));
    println!(
        "| clients | bare writes a second | median ms | reserved and settled a second | reserve, median ms | 99th ms | settle, median ms | 99th ms | failed | shards | mismatches |"
    );
    println!("|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|");
    let row = |clients: usize, bare: (f64, f64), done: Done, shards: usize, wrong: u64| {
        let rate = done.settled as f64 / done.seconds;
        let (reserve, settle) = (percentiles(done.reserve), percentiles(done.settle));
        println!(
            "| {clients} | {:.0} | {:.1} | {rate:.0} | {:.1} | {:.1} | {:.1} | {:.1} | {} | {shards} | {wrong} |",
            bare.0, bare.1, reserve.0, reserve.1, settle.0, settle.1, done.failed
        );
    };
    let limits = Arc::new(vec![limit(SCOPE, AMPLE, 1)]);
    for clients in CLIENTS {
        let client = client().await;
        let (rate, times) = bare(&client, clients).await;
        let (table, noted) = tables(&client).await;
        let ledger = Ledger::new(client, table, noted);
        let done = requests(&ledger, &limits, clients, Until::Time(Instant::now() + LASTS)).await;
        let (figures, shards) = figures(&ledger, &limits[0]).await;
        let wrong = mismatches(&figures, &done);
        row(clients, (rate, percentiles(times).0), done, shards, wrong);
    }
    let ledger = support::ledger().await;
    let done = requests(&ledger, &limits, CHECKING, Until::Count(checked)).await;
    let (figures, shards) = figures(&ledger, &limits[0]).await;
    println!(
        "\n{} reservations by {CHECKING} clients in {:.0} s, {} of them failed: {} settled with {} tokens; the ledger says {} tokens settled and {} held in {} holds over {shards} shards. Mismatches: {}.",
        done.reserve.len(),
        done.seconds,
        done.failed,
        done.settled,
        done.tokens,
        figures.settled.output,
        figures.held.output,
        figures.holds.len(),
        mismatches(&figures, &done),
    );
}
