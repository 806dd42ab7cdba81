//! The figures of two days with random calls and random delays.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// Seconds of a day.
const DAY: i64 = 86_400;
/// Seconds between two runs.
const RUN: i64 = 60;
const SETTLED: TimeDelta = TimeDelta::seconds(45);
/// The first and the last second that is simulated: from 23:20 until 01:20, with midnight at `DAY`.
const SPAN: (i64, i64) = (DAY - 2_400, DAY + 4_800);

/// A call of the model.
#[derive(Clone, Copy, Debug)]
struct Call {
    /// The second at which the request arrived.
    arrived: i64,
    /// Duration until the call ended, in seconds.
    lasted: i64,
    /// Seconds from the end until CloudWatch has it.
    counted_after: i64,
    /// Seconds from the end until the history has it.
    recorded_after: i64,
    tokens: Tokens,
    /// `false` if it bypassed the sentry.
    governed: bool,
    /// Tokens that the history counts in addition, because it counts the hold.
    unknown: u64,
}

fn some_call(governed: impl Strategy<Value = bool>) -> impl Strategy<Value = Call> {
    let times = (SPAN.0..SPAN.1 - 1_200, 0..300_i64, 0..200_i64, 0..45_i64);
    (times, 1..1_000_u64, 1..1_000_u64, governed, prop_oneof![9 => Just(0), 1 => 0..5_000_u64]).prop_map(
        |((arrived, lasted, counted_after, recorded_after), input, output, governed, unknown)| Call {
            arrived,
            lasted,
            counted_after,
            recorded_after,
            tokens: Tokens { input, output },
            governed,
            unknown,
        },
    )
}

impl Call {
    const fn ended(&self) -> i64 {
        self.arrived + self.lasted
    }
}

fn total(calls: &[Call], which: impl Fn(&Call) -> bool, plus_unknown: bool) -> Tokens {
    let wanted = calls.iter().filter(|call| which(call));
    wanted.fold(Tokens::default(), |sum, call| {
        let more = if plus_unknown { call.unknown } else { 0 };
        let tokens = Tokens { input: call.tokens.input + more, output: call.tokens.output + more };
        sum.with(tokens, |one, other| one + other)
    })
}

/// All runs, and the figures of both days after each. A run fails if `fails` says so for its number.
fn runs(calls: &[Call], fails: impl Fn(i64) -> bool) -> Vec<(i64, BTreeMap<i64, Ungoverned>)> {
    let mut items: BTreeMap<i64, Ungoverned> = BTreeMap::new();
    let mut all = Vec::new();
    for at in (SPAN.0..SPAN.1).step_by(usize::try_from(RUN).unwrap()).filter(|at| !fails(at / RUN)) {
        let today = at / DAY;
        let days = if at % DAY < 3_600 { today - 1..=today } else { today..=today };
        for day in days {
            let (start, end) = (day * DAY, (day + 1) * DAY);
            let counted = |call: &Call| call.ended() + call.counted_after <= at && (start..end).contains(&call.ended());
            let recorded = |call: &Call, day: i64| {
                call.governed && call.ended() + call.recorded_after <= at && call.arrived / DAY == day
            };
            let early = start..start + LONGEST_REQUEST.num_seconds();
            let facts = Facts {
                counted: total(calls, counted, false),
                after_midnight: total(calls, |call| counted(call) && early.contains(&call.ended()), false),
                governed: total(calls, |call| recorded(call, day), true),
                governed_before: total(calls, |call| recorded(call, day - 1), true),
                figures_before: items.get(&(day - 1)).copied(),
                at,
            };
            if let Some(next) = facts.next(items.get(&day), SETTLED) {
                items.insert(day, next);
            }
        }
        all.push((at, items.clone()));
    }
    all
}

fn sum(items: &BTreeMap<i64, Ungoverned>) -> Tokens {
    items.values().fold(Tokens::default(), |sum, item| sum.with(item.tokens, |one, other| one + other))
}

proptest! {
    #[test]
    fn governed_calls_alone_are_never_ungoverned(
        calls in prop::collection::vec(some_call(Just(true)), 0..60), failing in prop::collection::btree_set(0..2_000_i64, 0..40)
    ) {
        for (at, items) in runs(&calls, |number| failing.contains(&(number % 2_000))) {
            prop_assert_eq!(sum(&items), Tokens::default(), "at {}", at);
        }
    }

    #[test]
    fn a_figure_only_grows_and_is_never_more_than_the_truth(
        calls in prop::collection::vec(some_call(any::<bool>()), 0..60)
    ) {
        let mut before = Tokens::default();
        for (at, items) in runs(&calls, |_| false) {
            let truth = total(&calls, |call| !call.governed && call.ended() + call.counted_after <= at, false);
            let figure = sum(&items);
            prop_assert!(figure.input <= truth.input && figure.output <= truth.output, "{:?} > {:?}", figure, truth);
            prop_assert!(figure.input >= before.input && figure.output >= before.output);
            before = figure;
        }
    }

    #[test]
    fn every_direct_call_is_found_if_no_request_runs_at_midnight_and_all_usage_is_known(
        calls in prop::collection::vec(some_call(any::<bool>()), 0..60)
    ) {
        let crosses = |call: &Call| call.governed && (call.arrived < DAY + 360 && call.ended() >= DAY || call.unknown > 0);
        let calls: Vec<Call> = calls.into_iter().filter(|call| !crosses(call)).collect();
        let all = runs(&calls, |_| false);
        prop_assert_eq!(sum(&all.last().unwrap().1), total(&calls, |call| !call.governed, false));
    }
}

#[test]
fn a_direct_call_is_found_by_the_run_after_the_one_that_saw_it() {
    let call = Call {
        arrived: SPAN.0 + 10,
        lasted: 1,
        counted_after: 1,
        recorded_after: 0,
        tokens: Tokens { input: 70, output: 30 },
        governed: false,
        unknown: 0,
    };
    let found: Vec<u64> = runs(&[call], |_| false).iter().take(4).map(|(_, items)| sum(items).total()).collect();
    assert_eq!(found, [0, 0, 100, 100]);
}

#[test]
fn a_run_that_follows_too_soon_decides_nothing() {
    let seen = Ungoverned { seen: Tokens { input: 5, output: 5 }, seen_at: 1_000, ..Ungoverned::default() };
    let facts = |at| Facts { counted: Tokens { input: 5, output: 5 }, at, ..Facts::default() };
    assert_eq!(facts(1_044).next(Some(&seen), SETTLED), None);
    assert_eq!(facts(1_045).next(Some(&seen), SETTLED).unwrap().tokens.total(), 10);
}
