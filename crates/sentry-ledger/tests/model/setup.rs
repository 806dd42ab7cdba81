//! What is explored: limits, requests, and how much may go wrong.

use chrono::{DateTime, Utc};
use sentry_contract::states::{LimitWindow, ScopeLimit};
use sentry_domain::{Amount, Limits};
use sentry_ledger::steps::Attempt;
use sentry_ledger::{Ask, Holder};

use crate::world::Client;

/// A tick of the clock, in milliseconds: longer than a lease is good for.
const TICK_MS: i64 = 61_000;
/// The executions, one a request.
pub const OWNERS: [&str; 4] = ["a", "b", "c", "d"];

/// A request, and with it the execution that works on it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The idempotency key; two executions may have the same.
    pub id: &'static str,
    pub input: u64,
    pub tokens: u32,
    /// Whether it wants `tokens`, and fewer only where the limits say so.
    pub given: bool,
}

/// How a call of the model can end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// It certainly produced nothing.
    Nothing,
    /// It answered with one token.
    Less,
    /// It answered with as many tokens as it may.
    All,
    /// Nobody knows; it did nothing.
    UnknownNothing,
    /// Nobody knows; it used everything.
    UnknownAll,
}

/// A protocol that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The scopes are written one after the other, and those that were written are forgotten when one denies.
    HoldForgottenOnDeny,
    /// A repeated settlement counts again.
    SettleNotIdempotent,
    /// An expired hold is given back instead of charged.
    ExpiryRefunds,
    /// The figures are read and judged, and the write has no condition.
    CheckThenWrite,
    /// Nobody looks whether another execution has the same request.
    RecordNotChecked,
    /// A repeated reserve writes at once, to whichever shard it picks.
    RepeatDoesNotLook,
    /// What CloudWatch has seen does not count.
    CloudWatchIgnored,
}

/// What is explored.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub limits: Vec<ScopeLimit>,
    pub requests: Vec<Request>,
    pub outcomes: &'static [Outcome],
    /// How often a function or an execution may crash, all together.
    pub crashes: u8,
    /// How many writes may arrive late, or once more.
    pub late: u8,
    /// How long a hold lasts; no execution lives longer.
    pub hold_ticks: u8,
    /// The tick in which the last execution may start.
    pub last_start: u8,
    pub last_tick: u8,
    /// How many tokens go round the sentry; `None` when CloudWatch stands still at 0.
    pub bypass: Option<u64>,
    /// Ends with the admission, to count who is admitted at once.
    pub burst: bool,
    pub fault: Option<Fault>,
}

impl Setup {
    pub fn ask(&self, number: usize, seen: u64) -> Ask<'_> {
        let Request { input, tokens, given, .. } = self.requests[number];
        let seen = if self.fault == Some(Fault::CloudWatchIgnored) { 0 } else { seen };
        let seen = Amount { output: seen, ..Amount::ZERO };
        Ask {
            input_tokens: input,
            max_tokens: tokens,
            given,
            has_fallback: false,
            price: None,
            limits: &self.limits,
            seen,
        }
    }

    pub fn holder(&self, number: usize) -> Holder<'static> {
        Holder { request_id: self.requests[number].id, execution_id: OWNERS[number] }
    }

    pub fn attempt<'a>(&self, ask: &'a Ask<'a>, number: usize, client: &Client) -> Attempt<'a> {
        Attempt {
            holder: self.holder(number),
            ask,
            now: at(client.since),
            expires_at: at(client.since + self.hold_ticks),
            max_tokens: client.max_tokens,
            places: client.places.clone(),
        }
    }

    /// For each limit the shards that a reserve may pick.
    pub fn places(&self) -> Vec<Vec<Option<u8>>> {
        let mut all = vec![vec![]];
        for limit in &self.limits {
            let shards: Vec<Option<u8>> =
                if limit.shards > 1 { (0..limit.shards).map(Some).collect() } else { vec![None] };
            let longer = |places: &Vec<Option<u8>>| {
                shards.iter().map(|shard| places.iter().copied().chain([*shard]).collect()).collect::<Vec<_>>()
            };
            all = all.iter().flat_map(longer).collect();
        }
        all
    }

    /// What a request used whose model wrote so many tokens: it read the whole input, or did nothing.
    pub fn used(&self, number: usize, output: u32) -> Amount {
        let input = if output == 0 { 0 } else { self.requests[number].input };
        Amount { input, output: output.into(), ..Amount::ZERO }
    }
}

/// The moment of a tick.
pub fn at(tick: u8) -> DateTime<Utc> {
    let start: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().unwrap();
    start + chrono::TimeDelta::milliseconds(TICK_MS * i64::from(tick))
}

pub fn limit(scope: &str, limits: Limits, shards: u8) -> ScopeLimit {
    let window = LimitWindow {
        name: "2026-11".into(),
        key: "2026-11".into(),
        start: "2026-11-01T00:00:00Z".parse().unwrap(),
        resets_at: "2026-12-01T00:00:00Z".parse().unwrap(),
    };
    ScopeLimit {
        scope: scope.into(),
        source: "model".into(),
        item: scope.into(),
        window,
        limits,
        alert_at: vec![],
        shards,
        when_exceeded: vec![],
    }
}

pub fn output(tokens: u64) -> Limits {
    Limits { output: Some(tokens), ..Limits::default() }
}
