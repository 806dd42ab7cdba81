//! Replays requests against limits: the look-up, the judgment and the ledger of the functions, in memory.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use fn_lookup_limit::LimitItems;
use fn_reserve::replay;
use sentry_contract::answer::Degraded;
use sentry_contract::request::{Estimate, Model, Request, Tags, request_key};
use sentry_contract::states::{
    Admitted, AskedFallback, Decision, Gathered, LimitsFound, LookupLimitInput, ReserveInput, TokenCount,
};
use sentry_contract::usage::{UsageFound, UsageSeries};
use sentry_contract::{ErrorBody, ErrorCode, Outcome};
use sentry_domain::{Amount, CacheTtl, Reservation, ScopeLimit, TokenUsage, Usd};
use sentry_ledger::Book;

use super::audit::{Past, Usage};

/// The decision about a past request.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    Approved,
    /// It would have been served after a change, because of the limit that `cause` names.
    Degraded {
        degraded: Degraded,
        cause: Option<ErrorBody>,
    },
    Denied(ErrorBody),
    /// An earlier request with its id would have been admitted, so it would have been refused as a duplicate.
    Repeated,
}

/// A past request with its new decision.
#[derive(Clone, Debug)]
pub struct Judgment {
    pub past: Past,
    pub verdict: Verdict,
    /// Denials that limits in `observe` mode would have made.
    pub would_deny: Vec<ErrorBody>,
    /// The most tokens that it would have used, and their cost, if it was denied in the past and is admitted now.
    pub admitted_now: Option<Amount>,
    /// Tokens and dollars of the past that it would not have spent.
    pub saved: Saved,
}

/// An amount that would not have been spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Saved {
    pub tokens: u64,
    pub usd: Usd,
}

/// A replay: the proposed limits, and the ledger as they would have left it.
pub struct Replay {
    items: LimitItems,
    hold_for: TimeDelta,
    book: Book,
    /// The ends of the requests in flight, the earliest first.
    ends: BinaryHeap<Reverse<(DateTime<Utc>, usize)>>,
    in_flight: HashMap<usize, (Reservation, Option<Amount>)>,
    started: usize,
    /// Keys of the items that applied to a request.
    pub applied: BTreeSet<String>,
    /// Windows that began before the first request that is replayed.
    pub cut: BTreeSet<String>,
    since: DateTime<Utc>,
}

impl Replay {
    /// A replay against `items`, with a ledger that is empty at `since`. Holds expire after `hold_for`.
    pub fn new(items: LimitItems, hold_for: TimeDelta, since: DateTime<Utc>) -> Self {
        Self {
            items,
            hold_for,
            book: Book::default(),
            ends: BinaryHeap::new(),
            in_flight: HashMap::new(),
            started: 0,
            applied: BTreeSet::new(),
            cut: BTreeSet::new(),
            since,
        }
    }

    /// Judges a request. Call it in the order of the decisions.
    pub fn judge(&mut self, past: Past) -> Judgment {
        let now = past.decided_at;
        self.settle_until(now);
        let input = self.input(&past);
        self.note(&input);
        match replay(&input, &mut self.book, now, self.hold_for) {
            Decision::Denied { answer, .. } => {
                let error = answer.error.unwrap_or_else(|| unknown(&past));
                let saved = saved_in_full(&past);
                let verdict = match error.code {
                    ErrorCode::DuplicateRequest => Verdict::Repeated,
                    _ => Verdict::Denied(error),
                };
                Judgment { past, verdict, would_deny: Vec::new(), admitted_now: None, saved }
            }
            Decision::Approved { admitted, .. } => self.admitted(past, &input, *admitted),
        }
    }

    fn admitted(&mut self, past: Past, input: &ReserveInput, admitted: Admitted) -> Judgment {
        let verdict = match admitted.notes.degraded.clone() {
            None => Verdict::Approved,
            Some(degraded) => Verdict::Degraded { degraded, cause: self.cause(input, past.decided_at) },
        };
        let spent = spent(&past, &admitted);
        let admitted_now = (past.line.outcome == Outcome::Denied).then_some(spent).flatten();
        let saved = match (&verdict, spent) {
            (Verdict::Degraded { .. }, Some(spent)) => saved_of(&past, spent),
            _ => Saved::default(),
        };
        self.book.take(&admitted.reservation);
        self.ends.push(Reverse((past.ended_at, self.started)));
        self.in_flight.insert(self.started, (admitted.reservation, spent));
        self.started += 1;
        Judgment { past, verdict, would_deny: admitted.notes.would_deny, admitted_now, saved }
    }

    /// Settles the requests that ended until `now`.
    fn settle_until(&mut self, now: DateTime<Utc>) {
        while let Some(Reverse((at, number))) = self.ends.peek().copied().filter(|Reverse((at, _))| *at <= now) {
            self.ends.pop();
            if let Some((reservation, spent)) = self.in_flight.remove(&number) {
                self.book.settle(&reservation, spent, at);
            }
        }
    }

    /// The input that `Reserve` would have had with the proposed limits. CloudWatch has no figures: the replay does not
    /// know which it had.
    fn input(&self, past: &Past) -> ReserveInput {
        let (line, asked) = (&past.line, &past.asked);
        let model = Model::from(&asked.model);
        let fallback = asked.fallback.as_ref().map(AskedFallback::fallback);
        let wanted = LookupLimitInput { model, tags: line.tags.clone(), fallback };
        let limits = self.items.lookup(&wanted, past.decided_at);
        let LookupLimitInput { model, tags, fallback } = wanted;
        let key = request_key(line.tag(Tags::APPLICATION_ID), line.tag(Tags::REQUEST_ID));
        let request = Request {
            tags,
            request_key: key,
            digest: None,
            model,
            estimate: Estimate {
                input_tokens: asked.input_tokens,
                max_tokens: asked.max_tokens,
                max_tokens_given: asked.max_tokens_given,
                charges: asked.charges,
            },
            counted_as: None,
            fallback,
            notices: Vec::new(),
        };
        let nothing = UsageSeries { as_of: past.decided_at, buckets: Vec::new() };
        let usage = UsageFound { model: nothing.clone(), fallback: Some(nothing) };
        ReserveInput {
            execution_id: line.identity(),
            request,
            gathered: (
                Gathered::Available(usage),
                Gathered::Available(limits),
                Gathered::Available(TokenCount { input_tokens: None }),
            ),
        }
    }

    /// The limit that a degraded request exceeds: the denial if no limit had a remedy.
    fn cause(&mut self, input: &ReserveInput, now: DateTime<Utc>) -> Option<ErrorBody> {
        let (usage, limits, count) = &input.gathered;
        let mut limits = limits.clone();
        if let Gathered::Available(LimitsFound::Found { limits }) = &mut limits {
            let found = limits.as_mut();
            found.model.iter_mut().chain(&mut found.tags).for_each(without_remedies);
        }
        let mut request = input.request.clone();
        request.estimate.max_tokens_given = true;
        let input = ReserveInput {
            execution_id: input.execution_id.clone(),
            request,
            gathered: (usage.clone(), limits, count.clone()),
        };
        match replay(&input, &mut self.book, now, self.hold_for) {
            Decision::Denied { answer, .. } => answer.error,
            Decision::Approved { .. } => None,
        }
    }

    fn note(&mut self, input: &ReserveInput) {
        match &input.gathered.1 {
            Gathered::Available(LimitsFound::Found { limits }) => {
                for limit in limits.all() {
                    if !self.applied.contains(&limit.item) {
                        self.applied.insert(limit.item.clone());
                    }
                    let window = &limit.window;
                    let is_cut = window.start < self.since && limit.limits.in_flight.is_none();
                    if is_cut && !self.cut.contains(&window.name) {
                        self.cut.insert(window.name.clone());
                    }
                }
            }
            Gathered::Available(LimitsFound::Denied { denial }) => {
                self.applied.extend(denial.details.get("item").and_then(|item| item.as_str()).map(str::to_owned));
            }
            Gathered::Unavailable { .. } => {}
        }
    }
}

fn without_remedies(limit: &mut ScopeLimit) {
    limit.when_exceeded.clear();
    if let Some(then) = limit.respond.as_mut().and_then(|response| response.then.as_mut()) {
        then.when_exceeded.clear();
    }
}

/// The error of a denial whose answer has none, which the library does not make.
fn unknown(past: &Past) -> ErrorBody {
    ErrorBody::new(past.line.code.unwrap_or(ErrorCode::BudgetExceeded), "")
}

/// The amount that the admitted request would have been settled at. `None` if nobody knows what it used.
///
/// The tokens are those of the past, up to the new `max_tokens`. A request that was denied in the past counts as its
/// hold in full, because nobody knows what it would have used.
fn spent(past: &Past, admitted: &Admitted) -> Option<Amount> {
    let line = &past.line;
    if line.outcome == Outcome::Denied {
        return Some(admitted.reservation.hold.spent_in_full());
    }
    match line.usage() {
        Usage::Nothing => Some(Amount::ZERO),
        Usage::Unknown => None,
        Usage::Known => {
            let output = line.output_tokens.min(admitted.reservation.max_tokens.into());
            let usage = tokens(past, output);
            let amount = Amount::of_request(&usage, admitted.model.price.as_ref());
            let is_same = output == line.output_tokens && admitted.model.model_metric == line.metric();
            // The line does not have the tier that processed the request, but it has the exact cost.
            Some(match line.cost_usd.filter(|_| is_same) {
                Some(usd) => Amount { usd, ..amount },
                None => amount,
            })
        }
    }
}

fn tokens(past: &Past, output: u64) -> TokenUsage {
    let line = &past.line;
    let (read, written) = (line.cache_read_tokens, line.cache_write_tokens);
    let for_an_hour = past.asked.charges.cache == Some(CacheTtl::OneHour);
    TokenUsage {
        input: line.input_tokens.saturating_sub(read).saturating_sub(written),
        output,
        cache_read: read,
        cache_write: written,
        cache_write_1h: if for_an_hour { written } else { 0 },
        tier: past.asked.charges.tier,
    }
}

fn saved_in_full(past: &Past) -> Saved {
    let line = &past.line;
    Saved { tokens: line.input_tokens.saturating_add(line.output_tokens), usd: line.cost_usd.unwrap_or_default() }
}

/// The part of the past spend that is more than `spent`.
fn saved_of(past: &Past, spent: Amount) -> Saved {
    let all = saved_in_full(past);
    let usd = if past.line.cost_usd.is_some() { all.usd.saturating_sub(spent.usd) } else { Usd::ZERO };
    Saved { tokens: all.tokens.saturating_sub(spent.input.saturating_add(spent.output)), usd }
}

#[cfg(test)]
#[path = "replay_tests.rs"]
mod tests;
