//! One hot scope, and two or four of them, with 100 to 100,000 requests in flight: a simulation with a seed and
//! without I/O.
//!
//! The requests take the ledger's own steps (`Attempt`, `Change`, `Ask`). Only DynamoDB and the clock are simulated.
//! `cargo run -p sentry-ledger --example scale`, or `cargo xtask bench`. Words after `--` select the lines that
//! contain all of them. `SCALE_DETAILS=1` prints details under each line.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    reason = "a measurement: it may stop, and its rates are for people"
)]

mod clock;
mod dynamo;
mod result;
mod size;
mod traffic;

use std::cell::RefCell;
use std::collections::BTreeMap;

use chrono::{DateTime, TimeDelta, Utc};
use clock::Clock;
use dynamo::Table;
use fastrand::Rng;
use result::{Observer, percentiles};
use sentry_domain::{Amount, Charges, Limits, Price, ScopeLimit, Unit, Usd};
use sentry_ledger::{Ask, Budget};
use traffic::Traffic;

const IN_FLIGHT: [usize; 5] = [100, 500, 1_000, 10_000, 100_000];
const SCOPES: [usize; 3] = [1, 2, 4];
/// The number in flight above which only some lines are run, because each takes minutes.
const LONG: usize = 10_000;
// Every request asks for `MOST_TOKENS` and uses between a tenth of them and all, evenly distributed.
const MOST_TOKENS: u32 = 1_000;
const INPUT_TOKENS: u64 = 400;
/// The duration of a burst, in microseconds.
const BURST: u64 = 5_000_000;
const SEED: u64 = 20_261_126;

/// The duration of a model call.
#[derive(Clone, Copy, PartialEq)]
enum Model {
    Quick,
    Slow,
}

impl Model {
    fn micros(self) -> std::ops::RangeInclusive<u64> {
        match self {
            Self::Quick => 2_000_000..=20_000_000,
            Self::Slow => 35_000_000..=35_000_000,
        }
    }

    fn mean(self) -> u64 {
        (self.micros().start() + self.micros().end()) / 2
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Quick => "2-20 s",
            Self::Slow => "35 s",
        }
    }
}

/// The pattern in which requests arrive.
#[derive(Clone, Copy, PartialEq)]
enum Arrival {
    /// At random times, from the beginning, at the mean rate that keeps the wanted number in flight.
    Steady,
    /// All within [`BURST`] microseconds.
    Burst,
    /// As with `Steady`, but the budget is enough for only half of them.
    Half,
}

/// One line of the table.
pub struct Case {
    scopes: usize,
    in_flight: usize,
    model: Model,
    arrival: Arrival,
}

impl Case {
    fn name(&self) -> String {
        let arrival = match self.arrival {
            Arrival::Steady => "steady",
            Arrival::Burst => "burst",
            Arrival::Half => "half",
        };
        format!("| {arrival:<6} | {:>6} | {:>9} | {:<6} |", self.scopes, self.in_flight, self.model.name())
    }

    /// The times at which the requests arrive, in microseconds. Requests that are no burst arrive for as long as the
    /// longest model call and ten more seconds, and there are at least 200 of them.
    fn starts(&self, random: &mut Rng) -> Vec<u64> {
        if self.arrival == Arrival::Burst {
            let mut starts: Vec<u64> = (0..self.in_flight).map(|_| random.u64(0..BURST)).collect();
            starts.sort_unstable();
            return starts;
        }
        let between = self.model.mean() as f64 / self.in_flight as f64;
        let lasts = self.model.micros().end() + 10_000_000;
        let mut at = 0.0;
        let mut starts = Vec::new();
        while starts.len() < 200 || starts.last().is_some_and(|last| *last < lasts) {
            at -= (1.0 - random.f64()).ln() * between;
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and a few minutes")]
            starts.push(at as u64);
        }
        starts
    }
}

/// The time of the simulation's clock: `micros` microseconds after a fixed noon.
#[must_use]
pub fn at(micros: u64) -> DateTime<Utc> {
    test_support::at("2026-11-21T12:00:00Z") + TimeDelta::milliseconds(i64::try_from(micros / 1_000).unwrap())
}

fn limit(scope: &str, usd: Usd) -> ScopeLimit {
    test_support::limit(scope, Limits { usd: Some(usd), ..Limits::default() }, 1)
}

fn line(case: &Case) {
    let mut random = Rng::with_seed(SEED);
    let starts = case.starts(&mut random);
    // As in the ARNs of executions, only the end of an id differs from those of others.
    let id = |_| format!("{:016x}-{:016x}", random.u64(..), random.u64(..));
    let ids: Vec<String> = (0..starts.len()).map(id).collect();
    let price: Price = serde_json::from_str(r#"{"input": "3", "output": "15"}"#).unwrap();
    let empty = Ask {
        input_tokens: INPUT_TOKENS,
        max_tokens: MOST_TOKENS,
        given: true,
        has_fallback: false,
        price: Some(&price),
        charges: Charges::default(),
        budgets: vec![],
    };
    let hold = empty.hold(MOST_TOKENS).get(Unit::Usd);
    let mean = empty.hold(MOST_TOKENS * 11 / 20).get(Unit::Usd);
    let ample = Usd::from_picodollars(1_000_000 * 1_000_000_000_000);
    let half = Usd::from_picodollars(mean * starts.len() as u128 / 2);
    let first = if case.arrival == Arrival::Half { half } else { ample };
    let names = [
        "model#anthropic.claude-sonnet-4-20250514-v1:0",
        "application#helper",
        "costCenter#support",
        "environment#prod",
    ];
    let limits: Vec<ScopeLimit> = names
        .iter()
        .take(case.scopes)
        .enumerate()
        .map(|(place, name)| limit(name, if place == 0 { first } else { ample }))
        .collect();
    let budgets = limits.iter().map(|limit| Budget { limit, seen: Amount::ZERO }).collect();
    let ask = Ask { budgets, ..empty };
    let clock = Clock::default();
    let traffic = Traffic {
        case,
        ask: &ask,
        ids: &ids,
        clock: &clock,
        table: Table::new(&clock),
        observer: Observer::new(first.picodollars(), hold),
        random: RefCell::new(random),
    };
    let shared = &traffic;
    clock.run(&starts, |number| shared.request(number));
    print(case, &starts, traffic);
}

fn print(case: &Case, starts: &[u64], traffic: Traffic<'_>) {
    let (run, used) = (traffic.observer.run.into_inner(), traffic.table.used());
    let seconds = starts.last().map_or(1.0, |last| *last as f64 / 1_000_000.0);
    let each = |units: f64| units / starts.len() as f64 / case.scopes as f64;
    let (reserved, settled) = (percentiles(run.reserved), percentiles(run.settled));
    let most = |by_second: &BTreeMap<u64, u64>| by_second.values().max().copied().unwrap_or_default() as f64 / 1_000.0;
    println!(
        "{} {:>7.0} | {:>7} | {:>6} | {:>6} | {:>6} | {:>6} | {:>6} | {:>6} | {:>6.1} | {:>6.1} | {:>6.0} | {:>6.0} | {:>6.0} | {:>6.0} | {:>6} | {:>6.1} | {:>6.1} | {:>6.1} |",
        case.name(),
        starts.len() as f64 / seconds,
        run.most_in_flight,
        run.failed_closed,
        run.wrongly_refused,
        run.told_to_wait,
        run.used_up,
        run.over_limit,
        run.left,
        each(used.write_units as f64),
        each(used.half_read_units as f64 / 2.0),
        reserved.0,
        reserved.1,
        settled.0,
        settled.1,
        used.most_shards,
        used.largest as f64 / 1_024.0,
        most(&used.by_second),
        most(&used.reads_by_second) / 2.0,
    );
    if std::env::var_os("SCALE_DETAILS").is_some() {
        println!(
            "  looks {} full {} renewals {} conflicts {} throttled {} index {} requests {} duplicates {}",
            run.looks,
            run.full_looks,
            run.renewals,
            used.conflicts,
            used.throttled,
            used.index_units,
            starts.len(),
            run.duplicates
        );
        let writes: Vec<u64> = used.by_second.values().copied().collect();
        println!("  write units by second {writes:?}");
    }
}

const HEAD: [&str; 3] = [
    "| arrive | scopes | in flight | model  | arrive  | most    | denied | wrong  | told   | budget | over   | left   | WRU a  | RRU a  | reserve, ms     | settle, ms      | shards | item   | most thousand   |",
    "|        |        |    wanted |        | a sec.  | flying  | unav.  | refus. | wait   | is up  | limit  | to exp.| scope  | scope  | median | 99th   | median | 99th   |        | KB     | WRU/s  | RRU/s  |",
    "|--------|-------:|----------:|--------|--------:|--------:|-------:|-------:|-------:|-------:|-------:|-------:|-------:|-------:|-------:|-------:|-------:|-------:|-------:|-------:|-------:|-------:|",
];

fn main() {
    let words: Vec<String> = std::env::args().skip(1).collect();
    HEAD.iter().for_each(|line| println!("{line}"));
    for arrival in [Arrival::Steady, Arrival::Burst, Arrival::Half] {
        for in_flight in IN_FLIGHT {
            for scopes in SCOPES {
                for model in [Model::Quick, Model::Slow] {
                    let case = Case { scopes, in_flight, model, arrival };
                    let name = case.name();
                    let cells: Vec<&str> = name.split('|').map(str::trim).collect();
                    let is_wanted = words.iter().all(|word| cells.contains(&word.as_str()));
                    let is_long = in_flight > LONG && (arrival != Arrival::Steady || scopes == 2);
                    if is_wanted && !(is_long && words.is_empty()) {
                        line(&case);
                    }
                }
            }
        }
    }
}
