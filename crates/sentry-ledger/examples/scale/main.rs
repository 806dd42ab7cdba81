//! One hot scope, from 10 to 100,000 requests in flight, over 1, 4 and 10 items: a simulation, seeded, without I/O.
//!
//! The requests take the ledger's own steps (`Attempt`, `Change`, `Ask`); only DynamoDB and the clock are made up.
//! `cargo run -p sentry-ledger --example scale`, or `cargo xtask bench`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::float_arithmetic,
    reason = "a measurement: it may stop, and its rates are for people"
)]

mod dynamo;
mod result;
mod traffic;

use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::states::{LimitWindow, ScopeLimit};
use sentry_domain::{Amount, Limits};
use sentry_ledger::Ask;
use traffic::Traffic;

const IN_FLIGHT: [usize; 5] = [10, 100, 1_000, 10_000, 100_000];
const SHARDS: [u8; 3] = [1, 4, 10];
/// Every request asks for so many tokens and uses a tenth of them to all, evenly spread.
const MOST_TOKENS: u32 = 1_000;
const MEAN_TOKENS: u64 = 550;
/// Enough for all, or for half of those who come.
const BUDGETS: [&str; 2] = ["ample", "for half"];

/// One line of the table.
pub struct Case {
    budget: &'static str,
    in_flight: usize,
    shards: u8,
    limit: u64,
}

/// The simulation's clock: microseconds since a noon.
pub fn clock(micros: u64) -> DateTime<Utc> {
    let noon: DateTime<Utc> = "2026-11-21T12:00:00Z".parse().unwrap();
    noon + TimeDelta::milliseconds(i64::try_from(micros / 1_000).unwrap())
}

/// Enough for percentiles, and for the steady state: the longest answer takes less than twice the average. Of the most,
/// eleven seconds' worth: they show what happens to them long before.
fn arrivals(in_flight: usize) -> usize {
    (2 * in_flight).clamp(4_000, 100_000)
}

fn scope_limit(case: &Case) -> ScopeLimit {
    let window = LimitWindow {
        name: "2026-11".into(),
        key: "2026-11".into(),
        start: "2026-11-01T00:00:00Z".parse().unwrap(),
        resets_at: "2026-12-01T00:00:00Z".parse().unwrap(),
    };
    let limits = Limits { output: Some(case.limit), ..Limits::default() };
    let scope = "model#anthropic.claude-sonnet-4-20250514-v1:0".to_owned();
    ScopeLimit {
        item: scope.clone(),
        scope,
        source: "model".into(),
        window,
        limits,
        alert_at: vec![],
        shards: case.shards,
        when_exceeded: vec![],
    }
}

fn line(case: &Case) {
    let ids: Vec<String> =
        (0..arrivals(case.in_flight)).map(|number| format!("00000000-0000-4000-8000-{number:012}")).collect();
    let limits = [scope_limit(case)];
    let ask = Ask {
        input_tokens: 0,
        max_tokens: MOST_TOKENS,
        given: true,
        has_fallback: false,
        price: None,
        limits: &limits,
        seen: Amount::ZERO,
    };
    let mut run = Traffic::run(case, &ids, &ask);
    let (median, most) = run.delay();
    let each = |units: u64| units as f64 / ids.len() as f64;
    let rate = |count: usize| count as f64 / run.seconds;
    println!(
        "| {:<8} | {:>9} | {:>6} | {:>8.1} | {:>8.1} | {:>9.0} | {:>7.0} | {:>7.0} | {:>5.1} | {:>5.1} | {:>6.1} | {:>7} | {:>7} | {:>5} | {:>5} | {:>7} | {:>9} |",
        case.budget,
        case.in_flight,
        case.shards,
        rate(ids.len()),
        rate(run.delays.len()),
        run.in_flight(),
        median,
        most,
        each(run.write_units),
        each(run.read_units),
        run.largest as f64 / 1_024.0,
        run.told_to_wait,
        run.used_up,
        run.false_refusals,
        run.over_limit,
        run.failed_closed,
        run.unsettled,
    );
}

fn main() {
    println!(
        "| budget   | in flight | shards | arrive/s | admit./s | in flight | delay   | delay   | WRU a | RRU a | item   | told to | budget  | false | over  | failed  | left to   |"
    );
    println!(
        "|          |    wanted |        |          |          |   reached | med. ms | 99th ms | req.  | req.  | KB     | wait    | used up | refus.| limit | closed  | expire    |"
    );
    println!(
        "|----------|----------:|-------:|---------:|---------:|----------:|--------:|--------:|------:|------:|-------:|--------:|--------:|------:|------:|--------:|----------:|"
    );
    for budget in BUDGETS {
        for in_flight in IN_FLIGHT {
            for shards in SHARDS {
                let half = arrivals(in_flight) as u64 / 2 * MEAN_TOKENS;
                let limit = if budget == BUDGETS[0] { 1_000_000_000_000 } else { half };
                line(&Case { budget, in_flight, shards, limit });
            }
        }
    }
}
