//! What is explored: limits, requests, and how much may go wrong.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sentry_contract::states::{Enforcement, LimitWindow, ScopeLimit};
use sentry_domain::{Amount, Charges, Limits};
use sentry_ledger::steps::{Attempt, Place, ScopeItems, shard, spread};
use sentry_ledger::{Ask, Budget, Holder};

use crate::world::Client;

/// A tick of the clock, in milliseconds: longer than a lease is good for.
const TICK_MS: i64 = 61_000;
/// The executions, and last a stranger. Of two shards, `b` and `d` use the one, all others the other.
pub const OWNERS: [&str; 6] = ["a", "b", "c", "d", "e", "g"];
/// The most shards in these small worlds.
pub const SHARDS: u16 = 2;
/// The names of their holds.
static NAMES: LazyLock<Vec<String>> =
    LazyLock::new(|| OWNERS.map(|execution_id| Holder { request_id: "", execution_id }.owner()).to_vec());

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
    /// Whoever is given up is not barred: its late writes are taken.
    NoBar,
    /// Who is denied after an uncertain write is barred, and keeps what has arrived by then.
    DenialGivesNothingBack,
    /// Items that were read one after the other are judged as if that had been at one moment.
    PagedReadAsOneMoment,
    /// The second window of a scope is counted, and does not decide.
    WindowLeftOut,
    /// The sweep takes an item out of its index by what it read before.
    SweepForgets,
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
    /// How often a scope may be spread over more or fewer shards, for whatever reason.
    pub spreads: u8,
    /// Whether a settlement that fails is left to a queue, which delivers it twice.
    pub queue: bool,
    /// Whether others may act between any two steps of the sweeper.
    pub slow_sweeper: bool,
    /// How long a hold lasts; no execution lives longer.
    pub hold_ticks: u8,
    /// The tick in which the last execution may start.
    pub last_start: u8,
    pub last_tick: u8,
    /// How many tokens go round the sentry; `None` when CloudWatch stands still at 0.
    pub bypass: Option<u64>,
    /// Ends with the admission, to count who is admitted at once.
    pub burst: bool,
    /// Which execution works on the first request, and how many further on the one for the next is.
    pub executions: (usize, usize),
    pub fault: Option<Fault>,
}

impl Setup {
    /// The limits that apply to an execution that starts at `tick`, by their places in the setup.
    pub fn limits_at(&self, tick: u8) -> impl Iterator<Item = usize> {
        let now = at(tick);
        let applies =
            move |limit: &ScopeLimit| limit.window.start <= now && limit.window.resets_at.is_none_or(|end| now < end);
        self.limits.iter().enumerate().filter(move |(_, limit)| applies(limit)).map(|(place, _)| place)
    }

    pub fn ask(&self, number: usize, client: &Client) -> Ask<'_> {
        let Request { input, tokens, given, .. } = self.requests[number];
        let budget = |place: usize| Budget { limit: &self.limits[place], seen: self.seen(place, client.seen) };
        Ask {
            input_tokens: input,
            max_tokens: tokens,
            given,
            has_fallback: false,
            price: None,
            charges: Charges::default(),
            budgets: self.limits_at(client.born).map(budget).collect(),
        }
    }

    /// What CloudWatch has seen of a scope: it knows the first one.
    fn seen(&self, place: usize, seen: u64) -> Amount {
        let counts = place == 0 && self.fault != Some(Fault::CloudWatchIgnored);
        if counts { Amount { output: seen, ..Amount::ZERO } } else { Amount::ZERO }
    }

    /// The place in [`OWNERS`] of the execution that works on a request.
    pub const fn execution(&self, number: usize) -> usize {
        self.executions.0 + number * self.executions.1
    }

    /// The name of its holds.
    pub fn owner(&self, number: usize) -> &'static str {
        &NAMES[self.execution(number)]
    }

    /// The request whose execution has holds of this name.
    pub fn named(&self, owner: &str) -> usize {
        (0..self.requests.len()).find(|number| self.owner(*number) == owner).unwrap()
    }

    pub fn holder(&self, number: usize) -> Holder<'static> {
        Holder { request_id: self.requests[number].id, execution_id: OWNERS[self.execution(number)] }
    }

    pub fn attempt<'a>(&self, ask: &'a Ask<'a>, number: usize, client: &Client) -> Attempt<'a> {
        let place = |(budget, shard): (&Budget<'a>, &Option<u16>)| Place { shard: *shard, ..Place::own(*budget) };
        Attempt {
            holder: self.holder(number),
            ask,
            now: at(client.since),
            expires_at: at(client.since + self.hold_ticks),
            max_tokens: client.max_tokens,
            places: ask.budgets.iter().zip(&client.places).map(place).collect(),
            would_deny: vec![],
        }
    }

    /// Whether a limit's scope may have shards.
    pub fn may_spread(&self, limit: &ScopeLimit) -> bool {
        spread(limit, 0) > 1 || self.spreads > 0
    }

    /// The places where a reserve may try first: it may see an own item as it was a moment ago.
    pub fn places(&self, number: usize, tick: u8, scopes: &[ScopeItems]) -> Vec<Vec<Option<u16>>> {
        let spot = self.holder(number).spot();
        let mut all = vec![vec![]];
        for place in self.limits_at(tick) {
            let mut places = vec![shard(spot, spread(&self.limits[place], 0))];
            if scopes[place].own.spread_at_ms > 0 && places == [None] {
                places.push(shard(spot, SHARDS));
            }
            let longer = |before: &Vec<Option<u16>>| {
                places.iter().map(|place| before.iter().copied().chain([*place]).collect()).collect::<Vec<_>>()
            };
            all = all.iter().flat_map(longer).collect();
        }
        all
    }

    /// What a request used whose model wrote so many tokens: it read the whole input, or did nothing.
    pub fn used(&self, number: usize, output: u32) -> Amount {
        let request = &self.requests[number];
        let all = Amount { input: request.input, output: output.into(), requests: 1, ..Amount::ZERO };
        if output == 0 { Amount::ZERO } else { all }
    }
}

/// The moment of a tick.
pub fn at(tick: u8) -> DateTime<Utc> {
    let start: DateTime<Utc> = "2026-11-20T12:00:00Z".parse().unwrap();
    start + chrono::TimeDelta::milliseconds(TICK_MS * i64::from(tick))
}

/// A limit on a month.
pub fn limit(scope: &str, limits: Limits, shards: u16) -> ScopeLimit {
    let window = LimitWindow {
        name: "2026-11".into(),
        key: "2026-11".into(),
        start: "2026-11-01T00:00:00Z".parse().unwrap(),
        resets_at: Some("2026-12-01T00:00:00Z".parse().unwrap()),
    };
    ScopeLimit {
        scope: scope.into(),
        source: "model".into(),
        item: scope.into(),
        window,
        limits,
        per_request: Limits::default(),
        enforce: Enforcement::Deny,
        alert_at: vec![],
        shards,
        when_exceeded: vec![],
    }
}

/// A limit on what is in flight, whose window never ends.
pub fn limit_in_flight(scope: &str, requests: u64) -> ScopeLimit {
    let limits = Limits { in_flight: Some(requests), ..Limits::default() };
    let month = limit(scope, limits, 1);
    let window = LimitWindow { name: "inFlight".into(), key: "inFlight".into(), resets_at: None, ..month.window };
    ScopeLimit { window, ..month }
}

/// A limit on the window that is one tick long and begins with `tick`.
pub fn limit_of_tick(scope: &str, limits: Limits, tick: u8) -> ScopeLimit {
    let key = format!("tick{tick}");
    let window = LimitWindow { name: key.clone(), key, start: at(tick), resets_at: Some(at(tick + 1)) };
    ScopeLimit { window, ..limit(scope, limits, 1) }
}

pub fn output(tokens: u64) -> Limits {
    Limits { output: Some(tokens), ..Limits::default() }
}
