//! As many requests as fit are admitted, however many arrive at once.
//!
//! `SENTRY_TEST_REPETITIONS` is the number of runs of each case, 1 by default. `SENTRY_TEST_CASE` selects the cases whose name
//! contains it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chrono_tz::Tz;
use sentry_domain::{LimitWindow, ScopeLimit, Window, WindowKind};
use sentry_ledger::change::Change;
use sentry_ledger::steps::Key;
use sentry_ledger::{Admission, Ledger};

use crate::support::{approved, at_once, ledger, limit, noon, output};

const CAPACITY: usize = 20;
const ARRIVALS: usize = 1_000;
const TOKENS: u32 = 10;

/// The admissions of one run: the first wave, the second wave after every hold was settled at half, and the tokens
/// used in the end.
struct Run {
    first: usize,
    second: usize,
    used: u64,
    waited: usize,
    /// The number of times that the number of shards of a scope changed, by the test or by the ledger.
    changed: usize,
}

/// The numbers of shards that a scope gets, in turn.
const SPREADS: [u16; 6] = [2, 8, 64, 4, 1, 16];

/// Spreads every scope over another number of shards, again and again until `done`. Returns the number of changes.
async fn respread(ledger: Ledger, limits: Vec<ScopeLimit>, done: Arc<AtomicBool>) -> usize {
    let mut changed = 0;
    for to in SPREADS.into_iter().cycle() {
        if done.load(Ordering::Relaxed) {
            break;
        }
        for limit in &limits {
            let key = Key::of(limit, None);
            let from = ledger.read_one(&key).await.unwrap().spread;
            let now_ms = noon().timestamp_millis();
            let spread = Change::Spread { from, to, now_ms, settled_since_ms: now_ms };
            changed += usize::from(ledger.change(&key, &spread).await.unwrap().is_some());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    changed
}

/// One run. With `grows`, the number of shards of every scope changes all the time while requests are decided.
async fn run(ledger: &Ledger, limits: &[ScopeLimit], grows: bool) -> Run {
    let done = Arc::new(AtomicBool::new(!grows));
    let respread = tokio::spawn(respread(ledger.clone(), limits.to_vec(), Arc::clone(&done)));
    let first = at_once(ledger, limits, ARRIVALS, TOKENS).await;
    let admitted = approved(&first);
    let waited = first
        .iter()
        .filter(|each| matches!(each, Admission::Denied { shortage, .. } if shortage.retry_after_seconds.is_some()));
    let waited = waited.count();
    for reservation in &admitted {
        ledger.settle(reservation, Some(output(u64::from(TOKENS) / 2)), noon()).await.unwrap();
    }
    let second = at_once(ledger, limits, ARRIVALS / 10, TOKENS).await;
    let again = approved(&second);
    done.store(true, Ordering::Relaxed);
    let changed = respread.await.unwrap();
    let mut used = 0;
    for reservation in &again {
        let after = ledger.settle(reservation, Some(output(TOKENS.into())), noon()).await.unwrap();
        used = used.max(after.iter().map(|after| after.figures.settled.output).max().unwrap());
    }
    Run { first: admitted.len(), second: again.len(), used, waited, changed }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn as_many_are_admitted_as_fit() {
    let tokens = |requests: usize| u64::try_from(requests).unwrap() * u64::from(TOKENS);
    let (tight, loose) = (tokens(CAPACITY), tokens(ARRIVALS));
    let windows = [WindowKind::Month, WindowKind::Day, WindowKind::Minute].map(|kind| ScopeLimit {
        window: LimitWindow::from(&Window::containing(kind, Tz::UTC, noon())),
        ..limit("model#m", if kind == WindowKind::Day { tight } else { loose }, 1)
    });
    let four = || {
        let sizes = [("model#m", loose), ("application#a", loose), ("costCenter#c", tight), ("user#u", loose)];
        sizes.map(|(scope, size)| limit(scope, size, 1)).to_vec()
    };
    let cases = [
        ("one scope", vec![limit("model#m", tight, 1)], false),
        ("three windows of one scope", windows.to_vec(), false),
        ("four scopes, the third tight", four(), false),
        ("one scope in 4 shards at least", vec![limit("model#m", tight, 4)], false),
        ("one scope whose shards change meanwhile", vec![limit("model#m", tight, 1)], true),
        ("four scopes whose shards change", four(), true),
    ];
    let chosen = std::env::var("SENTRY_TEST_CASE").unwrap_or_default();
    let repetitions: usize = std::env::var("SENTRY_TEST_REPETITIONS").map_or(1, |text| text.parse().unwrap());
    println!("## Capacity for {CAPACITY}, {ARRIVALS} requests at once, {repetitions} times");
    println!(
        "| limits                                  | admitted, least | most | told to wait | after settling at half | used / limit | shards changed, least | seconds a run |"
    );
    println!(
        "|-----------------------------------------|----------------:|-----:|-------------:|-----------------------:|-------------:|----------------------:|--------------:|"
    );
    for (name, limits, grows) in cases.into_iter().filter(|(name, ..)| name.contains(&chosen)) {
        let begun = std::time::Instant::now();
        let mut runs = Vec::new();
        for _ in 0..repetitions {
            runs.push(run(&ledger().await, &limits, grows).await);
        }
        let seconds = begun.elapsed().as_secs_f64() / repetitions as f64;
        let (least, most) =
            (runs.iter().map(|run| run.first).min().unwrap(), runs.iter().map(|run| run.first).max().unwrap());
        let second = runs.iter().map(|run| run.second).min().unwrap();
        let (used, waited) =
            (runs.iter().map(|run| run.used).max().unwrap(), runs.iter().map(|run| run.waited).min().unwrap());
        let changed = runs.iter().map(|run| run.changed).min().unwrap();
        println!(
            "| {name:<39} | {least:>15} | {most:>4} | {waited:>12} | {second:>22} | {used:>5} / {tight:<4} | {changed:>21} | {seconds:>13.1} |"
        );
        for run in runs {
            assert_eq!((run.first, run.second, run.used), (CAPACITY, CAPACITY / 2, tight), "{name}");
            assert_eq!(run.waited, ARRIVALS - CAPACITY, "{name}: who finds only holds in the way is told to wait");
        }
    }
}
