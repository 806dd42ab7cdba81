//! The protocol step by step: repetitions, duplicates, expiry, windows.

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use sentry_domain::{Amount, Enforcement, LimitWindow, Limits, Reservation, ScopeLimit, Window, WindowKind};
use sentry_ledger::{Admission, Earlier, Figures, Holder, Ledger, LedgerError, Used};

use crate::support::{HOLD, approved, ask, at_once, figures_of, ledger, limit, noon, output, sweep};

async fn reserve(ledger: &Ledger, limits: &[ScopeLimit], id: &str, execution: &str, at: DateTime<Utc>) -> Admission {
    let holder = Holder { request_id: id, execution_id: execution };
    ledger.reserve(holder, &ask(limits, 60), at, HOLD).await.unwrap()
}

fn reservation(admission: Admission) -> Reservation {
    match admission {
        Admission::Approved { reservation, .. } => reservation,
        other => panic!("not approved: {other:?}"),
    }
}

/// The wait that a denial suggests, and the used and reserved output tokens of each scope.
fn denial(admission: Admission) -> (Option<u64>, Vec<(u64, u64)>) {
    match admission {
        Admission::Denied { shortage, budget, .. } => {
            let output = budget.iter().map(|entry| entry.output.unwrap());
            (shortage.retry_after_seconds, output.map(|output| (output.used, output.reserved)).collect())
        }
        other => panic!("not denied: {other:?}"),
    }
}

/// The figures of the first scope, as the holder of a reservation sees them.
async fn figures(ledger: &Ledger, reservation: &Reservation) -> Figures {
    ledger.settle(reservation, None, noon()).await.unwrap().remove(0).figures
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn an_execution_that_asks_again_finds_its_own_hold() {
    let (ledger, limits) = (ledger().await, [limit("model#m", 100, 1), limit("costCenter#c", 100, 1)]);
    let first = reservation(reserve(&ledger, &limits, "a", "run-1", noon()).await);
    let again = reservation(reserve(&ledger, &limits, "a", "run-1", noon() + TimeDelta::seconds(3)).await);
    assert_eq!(first, again);
    assert_eq!(figures(&ledger, &first).await.held, Amount { input: 10, requests: 1, in_flight: 1, ..output(60) });
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_request_id_is_good_for_one_request_that_spends() {
    let (ledger, limits) = (ledger().await, [limit("model#m", 1_000, 1)]);
    let held = reservation(reserve(&ledger, &limits, "a", "run-1", noon()).await);
    assert_eq!(reserve(&ledger, &limits, "a", "run-2", noon()).await, Admission::Duplicate(Earlier::InFlight));
    let used = |amount, told: &str| Used { amount, told: told.to_owned() };
    // The model never worked on the request, so its id may be used again. An answer without tokens is still an answer.
    ledger.release(&held, noon()).await.unwrap();
    let blocked = reservation(reserve(&ledger, &limits, "b", "run-2", noon()).await);
    ledger.end(&blocked, Some(used(Amount::ZERO, "nothing")), false, noon()).await.unwrap();
    let settled = |told: Option<&str>| Admission::Duplicate(Earlier::Settled { told: told.map(str::to_owned) });
    assert_eq!(reserve(&ledger, &limits, "b", "run-3", noon()).await, settled(Some("nothing")));
    let held = reservation(reserve(&ledger, &limits, "a", "run-3", noon()).await);
    ledger.end(&held, Some(used(output(5), "five")), false, noon()).await.unwrap();
    let days_later = noon() + TimeDelta::hours(47);
    assert_eq!(reserve(&ledger, &limits, "a", "run-4", days_later).await, settled(Some("five")));
    assert_eq!(figures(&ledger, &held).await.settled.output, 5);
    // Nobody settled this request. Its hold counts in full when it expires.
    reservation(reserve(&ledger, &limits, "c", "run-5", noon()).await);
    let before = noon() + HOLD - TimeDelta::seconds(1);
    assert_eq!(reserve(&ledger, &limits, "c", "run-6", before).await, Admission::Duplicate(Earlier::InFlight));
    assert_eq!(reserve(&ledger, &limits, "c", "run-6", noon() + HOLD).await, settled(None));
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_denied_request_may_come_again_and_holds_nothing_anywhere() {
    let (ledger, limits) = (ledger().await, [limit("model#m", 1_000, 1), limit("costCenter#c", 100, 1)]);
    let first = reservation(reserve(&ledger, &limits, "a", "run-1", noon()).await);
    let (wait, figures) = denial(reserve(&ledger, &limits, "b", "run-2", noon()).await);
    assert_eq!((wait.is_some(), figures), (true, vec![(0, 60), (0, 60)]));
    ledger.settle(&first, Some(output(40)), noon()).await.unwrap();
    reservation(reserve(&ledger, &limits, "b", "run-3", noon()).await);
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn an_expired_hold_is_settled_in_full_by_whoever_meets_it_and_only_once() {
    let (ledger, limits) = (ledger().await, [limit("model#m", 100, 1)]);
    let lost = reservation(reserve(&ledger, &limits, "a", "run-1", noon()).await);
    let (wait, _) = denial(reserve(&ledger, &limits, "b", "run-2", noon() + HOLD - TimeDelta::seconds(1)).await);
    assert_eq!(wait, Some(1));
    let (wait, figures) = denial(reserve(&ledger, &limits, "b", "run-2", noon() + HOLD).await);
    assert_eq!((wait, figures), (None, vec![(60, 0)]));
    // The lost request settles late. This changes nothing, because the usage that it reports may not be all that was
    // billed.
    let after = ledger.settle(&lost, Some(output(1)), noon() + HOLD).await.unwrap();
    assert_eq!((after[0].figures.settled.output, after[0].figures.held), (60, Amount::ZERO));
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn the_sweeper_settles_expired_holds_and_no_others() {
    let (ledger, limits) = (ledger().await, [limit("model#m", 200, 1), limit("costCenter#c", 1_000, 4)]);
    let old = reservation(reserve(&ledger, &limits, "a", "run-1", noon()).await);
    let young = reservation(reserve(&ledger, &limits, "b", "run-2", noon() + TimeDelta::seconds(60)).await);
    assert_eq!(sweep(&ledger, noon() + HOLD - TimeDelta::milliseconds(1)).await.settled, 0);
    let swept = sweep(&ledger, noon() + HOLD).await;
    assert_eq!((swept.settled, swept.failed), (2, 0));
    assert!(young.expires_at > noon() + HOLD);
    ledger.settle(&old, Some(Amount::ZERO), noon() + HOLD).await.unwrap();
    for limit in &limits {
        assert_eq!(figures_of(&ledger, limit).await, (60, 60));
    }
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn the_sweeper_settles_a_hold_in_time_that_is_taken_after_a_longer_one() {
    let (ledger, limits) = (ledger().await, [limit("model#m", 200, 1), limit("costCenter#c", 1_000, 4)]);
    let stream = Holder { request_id: "a", execution_id: "run-1" };
    reservation(ledger.reserve(stream, &ask(&limits, 60), noon(), HOLD * 3).await.unwrap());
    let later = noon() + TimeDelta::seconds(60);
    reservation(reserve(&ledger, &limits, "b", "run-2", later).await);
    assert_eq!(sweep(&ledger, later + HOLD - TimeDelta::milliseconds(1)).await.settled, 0);
    assert_eq!(sweep(&ledger, later + HOLD).await.settled, 2);
    assert_eq!(sweep(&ledger, noon() + HOLD * 3).await.settled, 2);
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn cancelling_gives_back_what_the_execution_holds_and_nothing_else() {
    let (ledger, limits) = (ledger().await, [limit("model#m", 10_000, 4), limit("costCenter#c", 200, 1)]);
    reservation(reserve(&ledger, &limits, "a", "run-1", noon()).await);
    let other = reservation(reserve(&ledger, &limits, "b", "run-2", noon()).await);
    for execution in ["run-3", "run-1", "run-1"] {
        ledger.cancel(Holder { request_id: "a", execution_id: execution }, &limits.each_ref(), noon()).await.unwrap();
    }
    assert!(other.scopes.iter().any(|scope| scope.shard.is_some()));
    for limit in &limits {
        assert_eq!(figures_of(&ledger, limit).await, (0, 60));
    }
    reservation(reserve(&ledger, &limits, "a", "run-4", noon()).await);
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_request_is_charged_to_the_window_that_admitted_it() {
    let ledger = ledger().await;
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    for (kind, before, after) in [
        (WindowKind::Hour, "2026-11-21T13:59:59.900Z", "2026-11-21T14:00:05Z"),
        (WindowKind::Day, "2026-11-21T23:59:59Z", "2026-11-22T00:00:10Z"),
        (WindowKind::Month, "2026-11-30T23:59:59.999Z", "2026-12-01T00:02:00Z"),
    ] {
        let in_window = |instant| {
            let window = LimitWindow::from(&Window::containing(kind, Tz::UTC, instant));
            [ScopeLimit { window, ..limit(&format!("{kind:?}"), 100, 1) }]
        };
        let (old, new) = (in_window(at(before)), in_window(at(after)));
        let held = reservation(reserve(&ledger, &old, &format!("{kind:?}-a"), "run-1", at(before)).await);
        // The next window has its full limit, even while the hold of the old window still exists.
        let next = reservation(reserve(&ledger, &new, &format!("{kind:?}-b"), "run-2", at(after)).await);
        let settled = ledger.settle(&held, Some(output(50)), at(after)).await.unwrap().remove(0);
        assert_eq!((settled.figures.settled.output, settled.figures.held.output), (50, 0));
        assert_eq!(settled.figures.entry(&old[0], Amount::ZERO).window, old[0].window.name);
        let fresh = ledger.settle(&next, Some(output(7)), at(after)).await.unwrap().remove(0);
        assert_eq!(fresh.figures.settled.output, 7, "{kind:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn editing_the_limit_or_its_shards_never_lets_more_through() {
    let ledger = ledger().await;
    // Each request takes 10 tokens. The limit is first spread over 4 items, then lowered, then kept in one item, then
    // spread over 8 items, then raised.
    let mut admitted = approved(&at_once(&ledger, &[limit("model#m", 10_000, 4)], 30, 10).await).len();
    assert_eq!(admitted, 30);
    for (most, shards, more) in [(350, 4, 5), (400, 1, 5), (450, 8, 5), (1_000, 4, 55), (900, 2, 0)] {
        let now = approved(&at_once(&ledger, &[limit("model#m", most, shards)], 100, 10).await).len();
        assert_eq!(now, more, "limit {most} in {shards} shards");
        admitted += now;
    }
    assert_eq!(admitted, 100);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn usage_that_bypasses_the_sentry_counts_once_as_the_larger_figure() {
    let (ledger, limits) = (ledger().await, [limit("model#m", 100, 1)]);
    let seen = |tokens| {
        let mut ask = ask(&limits, 30);
        ask.budgets[0].seen = output(tokens);
        ask
    };
    let holder = |id| Holder { request_id: id, execution_id: id };
    let held = reservation(ledger.reserve(holder("a"), &seen(40), noon(), HOLD).await.unwrap());
    // 40 tokens are seen and 30 are held. So 30 are left, but not 31.
    let more = sentry_ledger::Ask { max_tokens: 31, ..seen(40) };
    denial(ledger.reserve(holder("b"), &more, noon(), HOLD).await.unwrap());
    ledger.settle(&held, Some(output(30)), noon()).await.unwrap();
    // The 30 settled and the 40 seen tokens may be the same ones. So 60 are left.
    let more = sentry_ledger::Ask { max_tokens: 60, ..seen(40) };
    reservation(ledger.reserve(holder("c"), &more, noon(), HOLD).await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_unit_that_is_limited_only_now_counts_what_the_shards_hold_of_it() {
    let ledger = ledger().await;
    let spread = [limit("model#m", 10_000, 2)];
    // Each request holds 10 input tokens.
    assert_eq!(approved(&at_once(&ledger, &spread, 9, 10).await).len(), 9);
    let mut limited = spread.clone();
    limited[0].limits.input = Some(100);
    for shards in [1, 2] {
        limited[0].shards = shards;
        let expected = usize::from(shards == 1);
        assert_eq!(approved(&at_once(&ledger, &limited, 30, 10).await).len(), expected, "{shards} shards");
    }
    // Now only output is limited, and its count includes the usage in the meantime.
    limited[0].limits = sentry_domain::Limits { output: Some(120), ..Default::default() };
    assert_eq!(approved(&at_once(&ledger, &limited, 30, 10).await).len(), 2);
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn an_execution_that_was_given_up_takes_no_hold_any_more_and_another_one_may_have_the_request() {
    let (ledger, limits) = (ledger().await, [limit("model#m", 10_000, 4), limit("costCenter#c", 200, 1)]);
    let gone = Holder { request_id: "a", execution_id: "run-1" };
    ledger.cancel(gone, &limits.each_ref(), noon()).await.unwrap();
    // The registration of the given-up execution comes late, and fails.
    let late = ledger.reserve(gone, &ask(&limits, 60), noon(), HOLD).await;
    assert!(matches!(late, Err(LedgerError::GivenUp)), "{late:?}");
    // Under another request id, the execution is registered, but its write is barred.
    let late = ledger.reserve(Holder { request_id: "b", ..gone }, &ask(&limits, 60), noon(), HOLD).await;
    assert!(matches!(late, Err(LedgerError::GivenUp)), "{late:?}");
    for limit in &limits {
        assert_eq!(figures_of(&ledger, limit).await, (0, 0));
    }
    reservation(reserve(&ledger, &limits, "a", "run-2", noon()).await);
    // The bar is removed after its time.
    sweep(&ledger, noon() + TimeDelta::seconds(120)).await;
    reservation(ledger.reserve(Holder { request_id: "c", ..gone }, &ask(&limits, 60), noon(), HOLD).await.unwrap());
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn never_more_are_in_flight_than_may_be_also_when_some_are_lost() {
    let ledger = ledger().await;
    let mut limits = [limit("model#m", 0, 1)];
    limits[0].limits = Limits { in_flight: Some(5), ..Limits::default() };
    limits[0].window = LimitWindow::from(&Window::in_flight());
    let first = at_once(&ledger, &limits, 100, 10).await;
    let five = approved(&first);
    assert_eq!(five.len(), 5);
    for reservation in five.iter().take(2) {
        ledger.settle(reservation, Some(Amount { requests: 1, ..output(7) }), noon()).await.unwrap();
    }
    assert_eq!(approved(&at_once(&ledger, &limits, 100, 10).await).len(), 2);
    // Five executions died. Their holds expire, and nothing is in flight any more.
    assert_eq!(sweep(&ledger, noon() + HOLD).await.settled, 5);
    assert_eq!(approved(&at_once(&ledger, &limits, 100, 10).await).len(), 5);
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_scope_with_several_windows_fits_into_all_or_is_charged_in_none() {
    let ledger = ledger().await;
    let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
    let windows = |instant: DateTime<Utc>| {
        [(WindowKind::Month, 500), (WindowKind::Day, 200), (WindowKind::Minute, 120)].map(|(kind, most)| ScopeLimit {
            window: LimitWindow::from(&Window::containing(kind, Tz::UTC, instant)),
            ..limit("model#m", most, 1)
        })
    };
    let spend = async |id: &str, text: &str| {
        let limits = windows(at(text));
        match reserve(&ledger, &limits, id, id, at(text)).await {
            Admission::Approved { reservation, .. } => {
                ledger.settle(&reservation, Some(output(60)), at(text)).await.unwrap();
                None
            }
            Admission::Denied { shortage, budget, .. } => {
                assert_eq!(budget.len(), 3);
                Some((shortage.limit.window.name, shortage.limit.window.resets_at))
            }
            Admission::Duplicate(_) => panic!("no duplicate"),
        }
    };
    let denied = |window: &str, resets_at: &str| Some((window.to_owned(), Some(at(resets_at))));
    assert_eq!(spend("a", "2026-11-21T12:00:05Z").await, None);
    assert_eq!(spend("b", "2026-11-21T12:00:06Z").await, None);
    assert_eq!(spend("c", "2026-11-21T12:00:07Z").await, denied("2026-11-21T12:00", "2026-11-21T12:01:00Z"));
    assert_eq!(spend("d", "2026-11-21T12:01:00Z").await, None);
    assert_eq!(spend("e", "2026-11-21T12:02:00Z").await, denied("2026-11-21", "2026-11-22T00:00:00Z"));
    for (id, day) in [("f", 22), ("g", 23), ("h", 24), ("i", 25), ("j", 26)] {
        assert_eq!(spend(id, &format!("2026-11-{day}T12:00:00Z")).await, None);
    }
    assert_eq!(spend("k", "2026-11-27T12:00:00Z").await, denied("2026-11", "2026-12-01T00:00:00Z"));
    assert_eq!(spend("l", "2026-12-01T00:00:00Z").await, None);
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_limit_that_observes_is_passed_tenfold_and_says_so_each_time() {
    let ledger = ledger().await;
    let mut limits = [limit("model#m", 100, 1)];
    limits[0].enforce = Enforcement::Observe;
    for number in 0..20_u64 {
        let id = format!("r{number}");
        let Admission::Approved { reservation, would_deny } = reserve(&ledger, &limits, &id, &id, noon()).await else {
            panic!("{number} is denied");
        };
        let fits = number < 1;
        assert_eq!(would_deny.is_empty(), fits, "{number}: {would_deny:?}");
        if let Some(shortage) = would_deny.first() {
            assert_eq!(shortage.remaining, u128::from(100_u64.saturating_sub(number * 50)));
        }
        ledger.settle(&reservation, Some(output(50)), noon()).await.unwrap();
    }
    limits[0].enforce = Enforcement::Deny;
    assert_eq!(figures_of(&ledger, &limits[0]).await, (1_000, 0));
}
