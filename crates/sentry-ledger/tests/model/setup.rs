//! The configurations that are explored: limits, requests, and the number of faults.

use std::sync::LazyLock;

use chrono::{DateTime, Utc};
use sentry_domain::{Amount, Charges, LimitWindow, Limits, ScopeLimit};
use sentry_ledger::steps::{Attempt, Place, ScopeItems, shard, spread};
use sentry_ledger::{Ask, Budget, Holder};

pub use test_support::limit;

use crate::world::Client;

/// A tick of the clock, in milliseconds. It is longer than a lease.
const TICK_MS: i64 = 61_000;
/// The executions. The last one works on no request of a setup. Of two shards, `b` and `d` use one, and all others use
/// the other.
pub const OWNERS: [&str; 6] = ["a", "b", "c", "d", "e", "g"];
/// The most shards in these small worlds.
pub const SHARDS: u16 = 2;
/// The names of the executions' holds.
static NAMES: LazyLock<Vec<String>> =
    LazyLock::new(|| OWNERS.map(|execution_id| Holder { request_id: "", execution_id }.owner()).to_vec());

/// A request, and the execution that works on it.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// The idempotency key. Two executions can have the same key.
    pub id: &'static str,
    pub input: u64,
    pub tokens: u32,
    /// `true` if the client gave `tokens`. Fewer are held only if the limits allow it.
    pub given: bool,
}

/// The possible outcomes of a model call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The model certainly produced nothing.
    Nothing,
    /// The model answered with one token.
    Less,
    /// The model answered with as many tokens as it may.
    All,
    /// The outcome is unknown. The model did nothing.
    UnknownNothing,
    /// The outcome is unknown. The model used everything.
    UnknownAll,
}

/// A protocol that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The scopes are written one after the other. If one of them denies, the holds in the others are forgotten.
    HoldForgottenOnDeny,
    /// A repeated settlement counts again.
    SettleNotIdempotent,
    /// An expired hold is given back instead of charged.
    ExpiryRefunds,
    /// The figures are read and judged, and the write has no condition.
    CheckThenWrite,
    /// Nobody checks if another execution has the same request.
    RecordNotChecked,
    /// A repeated reserve writes at once, to the shard that it picks.
    RepeatDoesNotLook,
    /// Usage seen by CloudWatch does not count.
    CloudWatchIgnored,
    /// An execution that is given up is not barred, so its late writes are accepted.
    NoBar,
    /// An execution that is denied after an uncertain write is barred, but keeps a hold that has arrived by then.
    DenialGivesNothingBack,
    /// Items that were read one after the other are judged as if they had been read at one moment.
    PagedReadAsOneMoment,
    /// The second window of a scope is counted, but does not decide.
    WindowLeftOut,
    /// The sweep takes an item out of its index by figures that it read before.
    SweepForgets,
    /// A hold is taken although the sweep comes later than its expiry.
    SweepComesLate,
}

/// A configuration of the model.
#[derive(Clone, Debug)]
pub struct Setup {
    pub name: &'static str,
    pub limits: Vec<ScopeLimit>,
    pub requests: Vec<Request>,
    pub outcomes: &'static [Outcome],
    /// The total number of times that a function or an execution may crash.
    pub crashes: u8,
    /// The number of writes that may arrive late or twice.
    pub late: u8,
    /// The number of times that a scope may be spread over more or fewer shards.
    pub spreads: u8,
    /// `true` if a failed settlement is left to a queue, which delivers it twice.
    pub queue: bool,
    /// `true` if others may act between any two steps of the sweeper.
    pub slow_sweeper: bool,
    /// The duration of a hold in ticks. No execution lives longer.
    pub hold_ticks: u8,
    /// The last tick in which an execution may start.
    pub last_start: u8,
    pub last_tick: u8,
    /// The number of tokens that may bypass the sentry. `None` if CloudWatch always shows 0.
    pub bypass: Option<u64>,
    /// `true` if executions end with their admission, to count those that are admitted at once.
    pub burst: bool,
    /// The position of the execution of the first request, and the distance to the execution of the next request.
    pub executions: (usize, usize),
    pub fault: Option<Fault>,
}

impl Setup {
    /// The limits that apply to an execution that starts at `tick`, by their positions in the setup.
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

    /// The usage of a scope that CloudWatch has seen. CloudWatch knows only the first scope.
    fn seen(&self, place: usize, seen: u64) -> Amount {
        let counts = place == 0 && self.fault != Some(Fault::CloudWatchIgnored);
        if counts { Amount { output: seen, ..Amount::ZERO } } else { Amount::ZERO }
    }

    /// The position in [`OWNERS`] of the execution that works on a request.
    pub const fn execution(&self, number: usize) -> usize {
        self.executions.0 + number * self.executions.1
    }

    /// The name of the holds of the execution that works on a request.
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
            falls_back: false,
            places: ask.budgets.iter().zip(&client.places).map(place).collect(),
            would_deny: vec![],
        }
    }

    /// `true` if the scope of a limit can have shards.
    pub fn may_spread(&self, limit: &ScopeLimit) -> bool {
        spread(limit, 0) > 1 || self.spreads > 0
    }

    /// The items that a reserve may try first. It may see an own item as it was a moment ago.
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

    /// The usage of a request whose model wrote `output` tokens. The model read the whole input, or did nothing.
    pub fn used(&self, number: usize, output: u32) -> Amount {
        let request = &self.requests[number];
        let all = Amount { input: request.input, output: output.into(), requests: 1, ..Amount::ZERO };
        if output == 0 { Amount::ZERO } else { all }
    }
}

/// The time of a tick.
pub fn at(tick: u8) -> DateTime<Utc> {
    test_support::at("2026-11-20T12:00:00Z") + chrono::TimeDelta::milliseconds(TICK_MS * i64::from(tick))
}

/// A limit on requests in flight. Its window never ends.
pub fn limit_in_flight(scope: &str, requests: u64) -> ScopeLimit {
    let limits = Limits { in_flight: Some(requests), ..Limits::default() };
    let month = limit(scope, limits, 1);
    let window = LimitWindow { name: "inFlight".into(), key: "inFlight".into(), resets_at: None, ..month.window };
    ScopeLimit { window, ..month }
}

/// A limit on the window that begins with `tick` and is one tick long.
pub fn limit_of_tick(scope: &str, limits: Limits, tick: u8) -> ScopeLimit {
    let key = format!("tick{tick}");
    let window = LimitWindow { name: key.clone(), key, start: at(tick), resets_at: Some(at(tick + 1)) };
    ScopeLimit { window, ..limit(scope, limits, 1) }
}

pub fn output(tokens: u64) -> Limits {
    Limits { output: Some(tokens), ..Limits::default() }
}
