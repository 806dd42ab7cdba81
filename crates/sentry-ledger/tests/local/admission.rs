//! As many requests as fit are admitted, however many arrive at once.

use sentry_contract::states::ScopeLimit;
use sentry_ledger::{Admission, Ledger};

use crate::support::{approved, at_once, ledger, limit, noon, output};

const CAPACITY: usize = 20;
const ARRIVALS: usize = 1_000;
const TOKENS: u32 = 10;

/// What one run admitted: at once, after everything was settled at half, and the tokens in the end.
struct Run {
    first: usize,
    second: usize,
    used: u64,
    waited: usize,
}

async fn run(ledger: &Ledger, limits: &[ScopeLimit]) -> Run {
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
    let mut used = 0;
    for reservation in &again {
        let after = ledger.settle(reservation, Some(output(TOKENS.into())), noon()).await.unwrap();
        used = used.max(after.iter().map(|after| after.figures.settled.output).max().unwrap());
    }
    Run { first: admitted.len(), second: again.len(), used, waited }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn as_many_are_admitted_as_fit() {
    let tokens = |requests: usize| u64::try_from(requests).unwrap() * u64::from(TOKENS);
    let (tight, loose) = (tokens(CAPACITY), tokens(ARRIVALS));
    let nested = |place: usize| {
        let size = |scope: usize| if scope == place { tight } else { loose };
        vec![limit("model#m", size(0), 1), limit("application#a", size(1), 1), limit("costCenter#c", size(2), 1)]
    };
    let cases = [
        ("one scope", vec![limit("model#m", tight, 1)]),
        ("three scopes, the first tight", nested(0)),
        ("three scopes, the second tight", nested(1)),
        ("three scopes, the third tight", nested(2)),
        ("one scope in 4 shards", vec![limit("model#m", tight, 4)]),
        ("three scopes, the tight one in 4 shards", {
            let mut limits = nested(1);
            limits[1].shards = 4;
            limits
        }),
    ];
    let repetitions: usize = std::env::var("SENTRY_TEST_REPETITIONS").map_or(2, |text| text.parse().unwrap());
    println!("## Capacity for {CAPACITY}, {ARRIVALS} requests at once, {repetitions} times");
    println!(
        "| limits                                  | admitted, least | most | told to wait | after settling at half | used / limit | seconds a run |"
    );
    println!(
        "|-----------------------------------------|----------------:|-----:|-------------:|-----------------------:|-------------:|--------------:|"
    );
    for (name, limits) in cases {
        let begun = std::time::Instant::now();
        let mut runs = Vec::new();
        for _ in 0..repetitions {
            runs.push(run(&ledger().await, &limits).await);
        }
        let seconds = begun.elapsed().as_secs_f64() / repetitions as f64;
        let (least, most) =
            (runs.iter().map(|run| run.first).min().unwrap(), runs.iter().map(|run| run.first).max().unwrap());
        let second = runs.iter().map(|run| run.second).min().unwrap();
        let (used, waited) =
            (runs.iter().map(|run| run.used).max().unwrap(), runs.iter().map(|run| run.waited).min().unwrap());
        println!(
            "| {name:<39} | {least:>15} | {most:>4} | {waited:>12} | {second:>22} | {used:>5} / {tight:<4} | {seconds:>13.1} |"
        );
        for run in runs {
            assert_eq!((run.first, run.second, run.used), (CAPACITY, CAPACITY / 2, tight), "{name}");
            assert_eq!(run.waited, ARRIVALS - CAPACITY, "{name}: who finds only holds in the way is told to wait");
        }
    }
}
