//! Requests that reserve, wait for their model and settle, as the functions and the state machine do it.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use chrono::{DateTime, TimeDelta, Utc};
use fastrand::Rng;
use sentry_domain::Amount;
use sentry_ledger::change::Change;
use sentry_ledger::steps::{Attempt, Key, ROUNDS, Step, longest_pause_ms, settlements};
use sentry_ledger::{Admission, Ask, Holder};

use crate::dynamo::{Reply, Table};
use crate::result::Run;
use crate::{Case, MOST_TOKENS};

/// Microseconds to DynamoDB, and as many back; a transaction takes twice as long there.
const HALF_CALL: u64 = 2_000;
/// The SDK's attempts at a call that is throttled, and the first back-off in microseconds (`sentry-lambda`).
const CALL_ATTEMPTS: u32 = 3;
const BACKOFF: u64 = 100_000;
/// The state machine's attempts at a function, and the most that it waits before the next.
const FUNCTION_ATTEMPTS: u32 = 3;
const RETRY_WAIT: u64 = 1_000_000;
/// What the model takes: 2 to 20 seconds.
const MODEL: std::ops::Range<u64> = 2_000_000..20_000_000;
/// `HoldSeconds`.
const HOLD: TimeDelta = TimeDelta::seconds(360);

type Changes = Vec<(Key, Change)>;

/// What a request does next.
#[derive(Debug)]
enum Next {
    Begin,
    Try,
    Write { call: u32 },
    Look { round: u32, call: u32 },
    Prepare(std::vec::IntoIter<Changes>),
    Commit(Changes, std::vec::IntoIter<Changes>),
    Settle { round: u32, call: u32 },
    Figures { round: u32, call: u32 },
}

struct Request<'a> {
    attempt: Attempt<'a>,
    arrived: u64,
    functions: u32,
    round: u32,
    changes: Changes,
    settled: bool,
}

/// A clock, the requests and the table that they share.
pub struct Traffic<'a> {
    ask: &'a Ask<'a>,
    table: Table,
    random: Rng,
    queue: BinaryHeap<Reverse<(u64, u64, usize)>>,
    nexts: Vec<Option<Next>>,
    requests: Vec<Option<Request<'a>>>,
    events: u64,
    run: Run,
}

impl<'a> Traffic<'a> {
    /// Lets every request of `ids` come, one after the other, and follows them to their end.
    pub fn run(case: &Case, ids: &'a [String], ask: &'a Ask<'a>) -> Run {
        let random = Rng::with_seed(20_261_121);
        fastrand::seed(20_261_121);
        let mut traffic = Self {
            ask,
            table: Table::new(&ask.limits[0]),
            random,
            queue: BinaryHeap::new(),
            nexts: ids.iter().map(|_| None).collect(),
            requests: ids.iter().map(|_| None).collect(),
            events: 0,
            run: Run::new(case.limit),
        };
        let between = (MODEL.start + MODEL.end) as f64 / 2.0 / case.in_flight as f64;
        let mut at = 0;
        for number in 0..ids.len() {
            at += (-(1.0 - traffic.random.f64()).ln() * between) as u64;
            traffic.push(number, at, Next::Begin);
        }
        traffic.run.seconds = at as f64 / 1_000_000.0;
        while let Some(Reverse((now, _, number))) = traffic.queue.pop() {
            traffic.step(number, now, ids);
        }
        traffic.run.write_units += traffic.table.write_units;
        traffic.run.read_units = traffic.table.read_units;
        traffic.run.largest = traffic.table.largest;
        traffic.run
    }

    fn push(&mut self, number: usize, at: u64, next: Next) {
        self.events += 1;
        self.nexts[number] = Some(next);
        self.queue.push(Reverse((at, self.events, number)));
    }

    /// The ledger's own pause between rounds, in microseconds.
    fn pause(&mut self, round: u32) -> u64 {
        1_000 * self.random.u64(0..=longest_pause_ms(round))
    }

    fn step(&mut self, number: usize, now: u64, ids: &'a [String]) {
        match self.nexts[number].take().unwrap() {
            Next::Begin => self.begin(number, now, &ids[number]),
            Next::Try => self.try_again(number, now),
            Next::Write { call } => self.write(number, now, call),
            Next::Look { round, call } => self.look(number, now, round, call),
            Next::Prepare(groups) => self.prepare(number, now, groups),
            Next::Commit(changes, groups) => {
                self.table.commit(&changes);
                self.push(number, now + 2 * HALF_CALL, Next::Prepare(groups));
            }
            Next::Settle { round, call } => self.settle(number, now, round, call),
            Next::Figures { round, call } => self.figures(number, now, round, call),
        }
    }

    /// The function starts: the request is registered, in a table whose keys are all different.
    fn begin(&mut self, number: usize, now: u64, id: &'a str) {
        let at: DateTime<Utc> = crate::clock(now);
        let shards = self.ask.limits[0].shards;
        let places = vec![(shards > 1).then(|| self.random.u8(0..shards))];
        let holder = Holder { request_id: id, execution_id: id };
        let attempt =
            Attempt { holder, ask: self.ask, now: at, expires_at: at + HOLD, max_tokens: MOST_TOKENS, places };
        let before = self.requests[number].take();
        let (arrived, functions) = before.as_ref().map_or((now, 1), |before| (before.arrived, before.functions + 1));
        let again = before.is_some();
        self.requests[number] =
            Some(Request { attempt, arrived, functions, round: 0, changes: vec![], settled: false });
        self.run.write_units += 1;
        let next = if again { Next::Look { round: 0, call: 1 } } else { Next::Try };
        self.push(number, now + 2 * HALF_CALL, next);
    }

    fn request(&mut self, number: usize) -> &mut Request<'a> {
        self.requests[number].as_mut().unwrap()
    }

    fn try_again(&mut self, number: usize, now: u64) {
        let request = self.request(number);
        let next = if request.round >= ROUNDS {
            return self.failed(number, now);
        } else if let Some(changes) = request.attempt.changes() {
            request.changes = changes;
            Next::Write { call: 1 }
        } else {
            Next::Look { round: 0, call: 1 }
        };
        self.push(number, now + HALF_CALL, next);
    }

    fn write(&mut self, number: usize, now: u64, call: u32) {
        let (key, change) = self.request(number).changes[0].clone();
        let answered = now + HALF_CALL;
        match self.table.update(&key, &change, now) {
            Reply::Done => {
                self.run.hold(self.ask.hold(MOST_TOKENS).output);
                self.admitted(number, answered);
            }
            Reply::Refused => self.push(number, answered + HALF_CALL, Next::Look { round: 0, call: 1 }),
            Reply::Conflict => self.next_round(number, answered),
            Reply::Throttled => self.call_again(number, answered, call, Next::Write { call: call + 1 }),
            Reply::TooLarge => self.failed(number, answered),
        }
    }

    /// What the SDK does with a call that was throttled.
    fn call_again(&mut self, number: usize, now: u64, call: u32, next: Next) {
        if call == CALL_ATTEMPTS {
            return self.failed(number, now);
        }
        let wait = self.random.u64(0..=BACKOFF << (call - 1));
        self.push(number, now + wait + HALF_CALL, next);
    }

    fn next_round(&mut self, number: usize, now: u64) {
        let round = self.request(number).round;
        self.request(number).round += 1;
        let pause = self.pause(round);
        self.push(number, now + pause, Next::Try);
    }

    fn look(&mut self, number: usize, now: u64, round: u32, call: u32) {
        let answered = now + HALF_CALL;
        match self.table.read(now) {
            Reply::Done => {}
            Reply::Throttled if self.ask.limits[0].shards == 1 => {
                return self.call_again(number, answered, call, Next::Look { round, call: call + 1 });
            }
            Reply::Throttled | Reply::Conflict if round + 1 < ROUNDS => {
                let wait = self.pause(round);
                return self.push(number, answered + wait + HALF_CALL, Next::Look { round: round + 1, call });
            }
            _ => return self.failed(number, answered),
        }
        let request = self.requests[number].as_mut().unwrap();
        match request.attempt.after(std::slice::from_ref(&self.table.items)) {
            Step::Done(Admission::Approved(_)) => self.admitted(number, answered),
            Step::Done(Admission::Denied { shortage, .. }) => {
                // The request that is registered is forgotten.
                self.run.write_units += 1;
                self.run.denied(shortage.retry_after_seconds.is_some(), u64::try_from(shortage.needed).unwrap());
                self.requests[number] = None;
            }
            Step::Done(Admission::Duplicate) => panic!("every request is there once"),
            Step::Again(groups) => self.push(number, answered + 2 * HALF_CALL, Next::Prepare(groups.into_iter())),
        }
    }

    /// Leases, one after the other; whatever becomes of them, the next attempt finds it out.
    fn prepare(&mut self, number: usize, now: u64, mut groups: std::vec::IntoIter<Changes>) {
        let Some(changes) = groups.next() else {
            let request = self.request(number);
            request.round += 1;
            let round = request.round - 1;
            let pause = if round > 0 { self.pause(round) } else { 0 };
            return self.push(number, now + pause, Next::Try);
        };
        let reply = self.table.prepare(&changes, now);
        let next = if reply == Reply::Done { Next::Commit(changes, groups) } else { Next::Prepare(groups) };
        self.push(number, now + 2 * HALF_CALL, next);
    }

    fn admitted(&mut self, number: usize, now: u64) {
        let model = self.random.u64(MODEL);
        let request = self.requests[number].as_mut().unwrap();
        self.run.delays.push(now - request.arrived);
        (request.functions, request.round) = (1, 0);
        let actual = self.random.u64(u64::from(MOST_TOKENS) / 10..=MOST_TOKENS.into());
        let actual = Amount { input: 0, output: actual, ..Amount::ZERO };
        request.changes = settlements(&request.attempt.reservation(), Some(actual), crate::clock(now + model));
        self.run.admitted(model);
        self.push(number, now + model + HALF_CALL, Next::Settle { round: 0, call: 1 });
    }

    fn settle(&mut self, number: usize, now: u64, round: u32, call: u32) {
        let (key, change) = self.request(number).changes[0].clone();
        let answered = now + HALF_CALL;
        match self.table.update(&key, &change, now) {
            reply @ (Reply::Done | Reply::Refused) => {
                if reply == Reply::Done {
                    self.request(number).settled = true;
                    self.run.settle(&change);
                }
                if self.ask.limits[0].shards == 1 {
                    self.requests[number] = None;
                } else {
                    self.push(number, answered + HALF_CALL, Next::Figures { round: 0, call: 1 });
                }
            }
            Reply::Conflict if round + 1 < ROUNDS => {
                let wait = self.pause(round);
                self.push(number, answered + wait + HALF_CALL, Next::Settle { round: round + 1, call });
            }
            Reply::Throttled if call < CALL_ATTEMPTS => {
                self.call_again(number, answered, call, Next::Settle { round, call: call + 1 });
            }
            _ => self.settle_failed(number, answered),
        }
    }

    /// What the answer shows of a scope with shards is read after its settlement.
    fn figures(&mut self, number: usize, now: u64, round: u32, call: u32) {
        match self.table.read(now) {
            Reply::Done => self.requests[number] = None,
            Reply::Throttled | Reply::Conflict if round + 1 < ROUNDS => {
                let wait = self.pause(round);
                self.push(number, now + wait + 2 * HALF_CALL, Next::Figures { round: round + 1, call });
            }
            _ => self.settle_failed(number, now + HALF_CALL),
        }
    }

    fn settle_failed(&mut self, number: usize, now: u64) {
        let wait = self.random.u64(0..=RETRY_WAIT);
        let request = self.request(number);
        request.functions += 1;
        if request.functions <= FUNCTION_ATTEMPTS {
            return self.push(number, now + wait + HALF_CALL, Next::Settle { round: 0, call: 1 });
        }
        let settled = request.settled;
        self.run.unsettled += u64::from(!settled);
        self.run.without_figures += u64::from(settled);
        self.requests[number] = None;
    }

    /// The function failed: the state machine calls it again, or denies.
    fn failed(&mut self, number: usize, now: u64) {
        if self.request(number).functions < FUNCTION_ATTEMPTS {
            let wait = self.random.u64(0..=RETRY_WAIT);
            return self.push(number, now + wait, Next::Begin);
        }
        self.run.failed_closed += 1;
        self.requests[number] = None;
    }
}
