//! Judgments by given figures.

use proptest::prelude::*;

use super::*;
use crate::item::Hold;
use sentry_domain::{Charges, Limits};
use test_support::limit;

const NOW: i64 = 1_795_000_000_000;

/// One limit on output for each pair of an amount and its remedies.
fn degrading(limits: &[(u64, &[Remedy])]) -> Vec<ScopeLimit> {
    let of = |(most, remedies): &(u64, &[Remedy])| ScopeLimit {
        when_exceeded: remedies.to_vec(),
        ..outputs(&[*most]).remove(0)
    };
    limits.iter().map(of).collect()
}

fn outputs(limits: &[u64]) -> Vec<ScopeLimit> {
    limits.iter().map(|most| limit("s", Limits { output: Some(*most), ..Limits::default() }, 1)).collect()
}

fn ask(limits: &[ScopeLimit], max_tokens: u32, given: bool) -> Ask<'_> {
    let budgets = limits.iter().map(|limit| Budget { limit, seen: Amount::ZERO }).collect();
    Ask { input_tokens: 10, max_tokens, given, has_fallback: false, price: None, charges: Charges::default(), budgets }
}

/// Judges by one set of figures for each budget, in the same order.
fn judge(ask: &Ask<'_>, figures: &[Figures]) -> Verdict {
    let standings = ask.budgets.iter().zip(figures);
    let standings: Vec<_> =
        standings.map(|(budget, figures)| Standing { budget: *budget, figures: figures.clone() }).collect();
    ask.judge(&standings, NOW)
}

fn fits(max_tokens: u32) -> Verdict {
    Verdict::Fits { max_tokens, would_deny: vec![] }
}

fn figures(settled: u64, holds: &[(u64, i64)]) -> Figures {
    let hold = |(amount, age): &(u64, i64)| Hold {
        amount: Amount { output: *amount, ..Amount::ZERO },
        taken_ms: NOW - age,
        expires_ms: NOW - age + 360_000,
    };
    Figures {
        settled: Amount { output: settled, ..Amount::ZERO },
        held: Amount { output: holds.iter().map(|(amount, _)| amount).sum(), ..Amount::ZERO },
        holds: holds.iter().enumerate().map(|(number, each)| (number.to_string(), hold(each))).collect(),
        mean_ms: None,
    }
}

fn shortage(verdict: Verdict) -> Shortage {
    match verdict {
        Verdict::Denied(shortage) => shortage,
        Verdict::Fits { max_tokens, .. } => panic!("fits with {max_tokens}"),
    }
}

#[test]
fn max_tokens_of_the_client_fit_or_are_denied_and_are_not_lowered_unless_a_limit_says_so() {
    let limits = outputs(&[100]);
    assert_eq!(judge(&ask(&limits, 60, true), &[figures(40, &[])]), fits(60));
    let short = shortage(judge(&ask(&limits, 61, true), &[figures(40, &[])]));
    assert_eq!((short.needed, short.remaining, short.retry_after_seconds), (61, 60, None));
}

#[test]
fn without_max_tokens_the_sentry_asks_for_the_remaining_tokens() {
    let limits = outputs(&[100, 90]);
    let ask = ask(&limits, 2_048, false);
    assert_eq!(judge(&ask, &[figures(0, &[]), figures(0, &[])]), fits(90));
    assert_eq!(judge(&ask, &[figures(84, &[]), figures(0, &[])]), fits(16));
    assert_eq!(shortage(judge(&ask, &[figures(85, &[]), figures(0, &[])])).retry_after_seconds, None);
}

#[test]
fn waiting_helps_where_the_holds_alone_are_in_the_way() {
    let limits = outputs(&[100]);
    let short = shortage(judge(&ask(&limits, 50, true), &[figures(50, &[(50, 500)])]));
    assert_eq!((short.remaining, short.retry_after_seconds), (0, Some(2)));
    let short = shortage(judge(&ask(&limits, 51, true), &[figures(50, &[(50, 500)])]));
    assert_eq!(short.retry_after_seconds, None);
}

#[test]
fn the_wait_is_until_enough_holds_should_be_settled() {
    let limits = outputs(&[100]);
    let known = |mean_ms| Figures { mean_ms: Some(mean_ms), ..figures(0, &[(40, 9_000), (50, 1_000)]) };
    let wait = |tokens, mean| shortage(judge(&ask(&limits, tokens, true), &[known(mean)])).retry_after_seconds;
    assert_eq!(wait(50, 10_000), Some(1));
    assert_eq!(wait(60, 10_000), Some(9));
    // Both holds are older than the mean, so each is expected to last 1.5 times its age.
    assert_eq!((wait(60, 500), wait(61, 500)), (Some(1), Some(5)));
}

#[test]
fn a_limit_in_dollars_bounds_the_tokens_that_can_be_paid() {
    let price: Price = serde_json::from_str(r#"{"input": "3", "output": "15"}"#).unwrap();
    let limits = [limit("s", Limits { usd: "0.003".parse().ok(), ..Limits::default() }, 1)];
    let ask = Ask { price: Some(&price), ..ask(&limits, 2_048, false) };
    // 10 input tokens cost 0.00003 of the limit, and 198 output tokens cost 0.00297.
    assert_eq!(judge(&ask, &[Figures::default()]), fits(198));
    assert_eq!(ask.hold(198).usd.to_string(), "0.003000000");
}

#[test]
fn a_limit_of_zero_allows_nothing() {
    let limits = [limit("s", Limits { input: Some(0), ..Limits::default() }, 1)];
    let short = shortage(judge(&ask(&limits, 1, true), &[Figures::default()]));
    assert_eq!((short.unit, short.retry_after_seconds), (Unit::Input, None));
}

#[test]
fn usage_that_cloudwatch_has_seen_counts_for_its_budget_only() {
    let limits = outputs(&[100, 100]);
    let mut ask = ask(&limits, 2_048, false);
    ask.budgets[0].seen = Amount { output: 70, ..Amount::ZERO };
    assert_eq!(judge(&ask, &[figures(20, &[]), figures(40, &[])]), fits(30));
}

const CLAMP: &[Remedy] = &[Remedy::Clamp];
const FALLBACK: &[Remedy] = &[Remedy::Fallback];
const BOTH: &[Remedy] = &[Remedy::Clamp, Remedy::Fallback];
const FALLBACK_FIRST: &[Remedy] = &[Remedy::Fallback, Remedy::Clamp];

#[test]
fn a_wish_is_lowered_to_what_is_left_where_every_limit_that_it_exceeds_says_so() {
    let judged = |limits: &[(u64, &[Remedy])], settled: u64| {
        let limits = degrading(limits);
        let figures: Vec<_> = limits.iter().map(|_| figures(settled, &[])).collect();
        judge(&ask(&limits, 60, true), &figures)
    };
    assert_eq!(judged(&[(100, CLAMP)], 40), fits(60));
    assert_eq!(judged(&[(100, CLAMP)], 41), fits(59));
    assert_eq!(judged(&[(100, CLAMP), (90, BOTH)], 50), fits(40));
    // The request does not exceed the second limit, so the remedies of that limit do not matter.
    assert_eq!(judged(&[(100, CLAMP), (200, &[])], 70), fits(30));
    let short = shortage(judged(&[(100, CLAMP), (90, &[])], 50));
    assert_eq!((&*short.limit, short.needed), (&degrading(&[(100, CLAMP)])[0], 60));
    assert_eq!((short.remaining, short.retry_after_seconds), (50, None));
    assert_eq!(shortage(judged(&[(100, FALLBACK)], 41)).needed, 60);
}

#[test]
fn a_wish_is_not_lowered_under_the_floor() {
    let limits = degrading(&[(100, CLAMP)]);
    let judged = |tokens, settled| judge(&ask(&limits, tokens, true), &[figures(settled, &[])]);
    assert_eq!(judged(60, 84), fits(16));
    let short = shortage(judged(60, 85));
    assert_eq!((short.needed, short.remaining, short.retry_after_seconds), (16, 15, None));
    // The client wants fewer tokens than the floor, so the request gets all of them or none.
    assert_eq!(judged(10, 90), fits(10));
    assert_eq!(shortage(judged(10, 91)).needed, 10);
}

#[test]
fn a_wish_is_not_lowered_for_what_others_hold() {
    let limits = degrading(&[(100, CLAMP), (100, &[])]);
    let judged = |settled, held: [u64; 2]| {
        let each = held.map(|held| figures(settled, &[(held, 500)]));
        judge(&ask(&limits[..1], 60, true), &each[..1])
    };
    let short = shortage(judged(0, [50, 0]));
    assert_eq!((short.needed, short.remaining, short.retry_after_seconds), (60, 50, Some(2)));
    // The request could never have more than 55 tokens, so it waits for 55.
    assert_eq!(judged(45, [0, 0]), fits(55));
    let short = shortage(judged(45, [5, 0]));
    assert_eq!((short.needed, short.remaining, short.retry_after_seconds), (55, 50, Some(2)));
    // The same if only the room of the other limit is held. That limit does not allow `clamp`, and does not need to.
    let both = [figures(45, &[]), figures(0, &[(50, 500)])];
    let short = shortage(judge(&ask(&limits, 60, true), &both));
    assert_eq!((&*short.limit, short.needed, short.retry_after_seconds), (&limits[1], 55, Some(2)));
}

#[test]
fn a_short_answer_in_dollars_is_what_can_be_paid() {
    let price: Price = serde_json::from_str(r#"{"input": "3", "output": "15"}"#).unwrap();
    let limit = limit("s", Limits { usd: "0.003".parse().ok(), ..Limits::default() }, 1);
    let limits = [ScopeLimit { when_exceeded: CLAMP.to_vec(), ..limit }];
    let ask = Ask { price: Some(&price), ..ask(&limits, 2_000, true) };
    assert_eq!(judge(&ask, &[Figures::default()]), fits(198));
}

#[test]
fn a_request_that_only_the_input_exceeds_is_denied() {
    let limit = limit("s", Limits { input: Some(9), ..Limits::default() }, 1);
    let limits = [ScopeLimit { when_exceeded: CLAMP.to_vec(), ..limit }];
    let short = shortage(judge(&ask(&limits, 60, true), &[Figures::default()]));
    assert_eq!((short.unit, short.needed, short.may_fall_back), (Unit::Input, 10, false));
}

#[test]
fn a_fallback_may_answer_where_every_limit_that_refuses_for_good_says_so() {
    let may = |limits: &[(u64, &[Remedy])], held: u64| {
        let limits = degrading(limits);
        let figures: Vec<_> = limits.iter().map(|_| figures(0, &[(held, 500)])).collect();
        shortage(judge(&ask(&limits, 60, true), &figures)).may_fall_back
    };
    assert!(may(&[(50, FALLBACK)], 0));
    assert!(may(&[(15, BOTH)], 0));
    assert!(may(&[(50, FALLBACK), (50, FALLBACK), (60, &[])], 0));
    assert!(!may(&[(50, FALLBACK), (50, &[])], 0) && !may(&[(50, &[]), (50, FALLBACK)], 0));
    assert!(!may(&[(50, &[])], 0) && !may(&[(15, CLAMP)], 0));
    // The request would fit one limit without holds. It exceeds the other limit even without holds.
    assert!(!may(&[(60, FALLBACK)], 30) && may(&[(60, &[]), (50, FALLBACK)], 30));
    // Both limits allow `clamp`, but only the second one is exceeded after that.
    assert!(may(&[(50, CLAMP), (15, BOTH)], 0));
}

#[test]
fn the_order_of_the_words_is_the_order_of_trying() {
    let judged = |limits: &[(u64, &[Remedy])], has_fallback| {
        let limits = degrading(limits);
        let figures: Vec<_> = limits.iter().map(|_| figures(0, &[])).collect();
        judge(&Ask { has_fallback, ..ask(&limits, 60, true) }, &figures)
    };
    assert_eq!(judged(&[(50, BOTH)], true), fits(50));
    assert!(shortage(judged(&[(50, FALLBACK_FIRST)], true)).may_fall_back);
    assert_eq!(judged(&[(50, FALLBACK_FIRST)], false), fits(50));
    // If the limits differ, a shorter answer of the model comes before the fallback.
    assert_eq!(judged(&[(50, FALLBACK_FIRST), (40, BOTH)], true), fits(40));
    // The client gave no `max_tokens`, so a lower one needs no remedy.
    let limits = degrading(&[(50, FALLBACK_FIRST)]);
    let ask = Ask { has_fallback: true, ..ask(&limits, 60, false) };
    assert_eq!(judge(&ask, &[Figures::default()]), fits(50));
}

fn remedies() -> impl Strategy<Value = Vec<Remedy>> {
    prop::sample::select([&[], CLAMP, FALLBACK, BOTH, FALLBACK_FIRST].map(<[Remedy]>::to_vec).to_vec())
}

proptest! {
    #[test]
    fn a_lowered_wish_passes_no_limit_nor_the_floor_and_needs_leave(
        scopes in prop::collection::vec((0_u64..200, 0_u64..150, 0_u64..60, remedies()), 1..4),
        max_tokens in 1_u32..150,
        has_fallback: bool,
    ) {
        let named = |(number, (most, _, _, words)): (usize, &(u64, u64, u64, Vec<Remedy>))| ScopeLimit {
            scope: number.to_string(),
            ..degrading(&[(*most, words)]).remove(0)
        };
        let limits: Vec<_> = scopes.iter().enumerate().map(named).collect();
        let figures: Vec<_> = scopes.iter().map(|(_, settled, held, _)| figures(*settled, &[(*held, 500)])).collect();
        let ask = Ask { has_fallback, ..ask(&limits, max_tokens, true) };
        let left = |held: bool| {
            let room = |(most, settled, hold, _): &(u64, u64, u64, Vec<Remedy>)| {
                most.saturating_sub(*settled).saturating_sub(if held { *hold } else { 0 })
            };
            scopes.iter().map(room).collect::<Vec<_>>()
        };
        let wanted = u64::from(max_tokens);
        let exceeded = || scopes.iter().zip(left(false)).filter(|(_, left)| *left < wanted).map(|(scope, _)| &scope.3);
        match judge(&ask, &figures) {
            Verdict::Fits { max_tokens: tokens, .. } => {
                prop_assert!(left(true).into_iter().all(|left| u64::from(tokens) <= left && left > 0));
                prop_assert!(tokens <= max_tokens && tokens >= max_tokens.min(LEAST_OUTPUT_TOKENS));
                if tokens < max_tokens {
                    prop_assert_eq!(Some(u64::from(tokens)), left(false).into_iter().min());
                    prop_assert!(exceeded().count() > 0 && exceeded().all(|words| words.contains(&Remedy::Clamp)));
                    prop_assert!(!has_fallback || exceeded().any(|words| words.first() == Some(&Remedy::Clamp)));
                }
            }
            Verdict::Denied(short) => {
                prop_assert!(short.needed > short.remaining || short.remaining == 0);
                let place: usize = short.limit.scope.parse().unwrap();
                prop_assert_eq!(short.remaining, u128::from(left(true)[place]));
                let alone = left(false)[place];
                prop_assert_eq!(short.retry_after_seconds.is_some(), short.needed <= u128::from(alone) && alone > 0);
                prop_assert!(!short.may_fall_back || (short.retry_after_seconds.is_none() && short.limit.allows(Remedy::Fallback)));
                // A request that fits in full at the moment is never denied.
                prop_assert!(left(true).into_iter().any(|left| left < wanted || left == 0));
            }
        }
    }
}

#[test]
fn a_limit_that_observes_denies_nothing_and_says_what_it_would_have_denied() {
    let observing = ScopeLimit { enforce: Enforcement::Observe, ..outputs(&[50]).remove(0) };
    let limits = [observing, outputs(&[100]).remove(0)];
    let Verdict::Fits { max_tokens, would_deny } = judge(&ask(&limits, 60, true), &[figures(0, &[]), figures(0, &[])])
    else {
        panic!("denied");
    };
    assert_eq!((max_tokens, would_deny.len()), (60, 1));
    assert_eq!((would_deny[0].needed, would_deny[0].remaining, &*would_deny[0].limit), (60, 50, &limits[0]));
    // A limit that observes does not lower `max_tokens`. The other limit still denies.
    assert!(matches!(
        judge(&ask(&limits, 60, false), &[figures(50, &[]), figures(0, &[])]),
        Verdict::Fits { max_tokens: 60, .. }
    ));
    assert_eq!(
        shortage(judge(&ask(&limits, 60, true), &[figures(0, &[]), figures(41, &[])])).limit.as_ref(),
        &limits[1]
    );
}

#[test]
fn a_window_that_never_resets_is_waited_for_as_long_as_its_holds_last() {
    let mut limits = outputs(&[100]);
    limits[0].window.resets_at = None;
    assert_eq!(shortage(judge(&ask(&limits, 50, true), &[figures(50, &[(50, 500)])])).retry_after_seconds, Some(2));
    let limits = [limit("s", Limits { in_flight: Some(1), ..Limits::default() }, 1)];
    let held = Figures { held: Amount { in_flight: 1, ..Amount::ZERO }, ..Figures::default() };
    let short = shortage(judge(&ask(&limits, 50, true), &[held]));
    assert_eq!((short.unit, short.needed, short.remaining, short.retry_after_seconds), (Unit::InFlight, 1, 0, Some(2)));
}
