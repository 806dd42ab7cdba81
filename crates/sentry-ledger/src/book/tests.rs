//! The ledger in memory. `tests/local/preview.rs` compares it with the one in DynamoDB.

use chrono::{DateTime, Duration, TimeDelta, Utc};
use sentry_domain::{Amount, Charges, Limits, Reaction, Reservation, ScopeLimit};
use test_support::{at, limit};

use super::Book;
use crate::admission::{Ask, Budget};
use crate::decision::Admission;
use crate::holder::Holder;
use crate::requests::Earlier;

const HOLD: TimeDelta = Duration::minutes(6);

fn outputs(most: u64) -> ScopeLimit {
    limit("costCenter#a", Limits { output: Some(most), ..Limits::default() }, 1)
}

fn ask(limits: &[ScopeLimit], max_tokens: u32) -> Ask<'_> {
    Ask {
        input_tokens: 1,
        max_tokens,
        given: true,
        has_fallback: false,
        price: None,
        charges: Charges::default(),
        budgets: limits.iter().map(|limit| Budget { limit, seen: Amount::ZERO }).collect(),
    }
}

fn noon() -> DateTime<Utc> {
    at("2026-11-21T12:00:00Z")
}

/// The reservation that the book makes for the request `id`, and takes. `None` if it denies.
fn reserve(book: &mut Book, id: &str, limits: &[ScopeLimit], tokens: u32, now: DateTime<Utc>) -> Option<Reservation> {
    let holder = Holder { request_id: id, execution_id: id };
    match book.preview(holder, &ask(limits, tokens), None, now, HOLD).admission {
        Admission::Approved { reservation, .. } => {
            book.take(&reservation);
            Some(reservation)
        }
        _ => None,
    }
}

fn used(output: u64) -> Amount {
    Amount { output, requests: 1, ..Amount::ZERO }
}

#[test]
fn a_hold_takes_room_until_it_is_settled_at_what_was_used() {
    let (mut book, limits) = (Book::default(), [outputs(100)]);
    let held = reserve(&mut book, "a", &limits, 80, noon()).unwrap();
    assert!(reserve(&mut book, "b", &limits, 30, noon()).is_none());
    book.settle(&held, Some(used(70)), noon());
    assert!(reserve(&mut book, "c", &limits, 31, noon()).is_none());
    assert!(reserve(&mut book, "d", &limits, 30, noon()).is_some());
}

#[test]
fn unknown_usage_holds_until_it_expires_and_then_counts_in_full() {
    let (mut book, limits) = (Book::default(), [outputs(100)]);
    let held = reserve(&mut book, "a", &limits, 80, noon()).unwrap();
    book.settle(&held, None, noon());
    let later = noon() + HOLD;
    assert_eq!(book.figures(&limits[0], later - TimeDelta::milliseconds(1)).held.output, 80);
    let figures = book.figures(&limits[0], later);
    assert_eq!((figures.held.output, figures.settled.output, figures.settled.requests), (0, 80, 1));
    // A settlement that comes after the end of the hold changes nothing.
    book.settle(&held, Some(used(5)), later);
    assert_eq!(book.figures(&limits[0], later).settled.output, 80);
}

#[test]
fn each_window_begins_empty() {
    let day = |name: &str| {
        let mut limit = outputs(100);
        limit.window.key = name.to_owned();
        [limit]
    };
    let mut book = Book::default();
    let held = reserve(&mut book, "a", &day("2026-11-21"), 100, noon()).unwrap();
    book.settle(&held, Some(used(100)), noon());
    assert!(reserve(&mut book, "b", &day("2026-11-21"), 1, noon()).is_none());
    assert!(reserve(&mut book, "c", &day("2026-11-22"), 100, noon()).is_some());
}

#[test]
fn an_id_is_good_for_one_request_that_spends() {
    let (mut book, limits) = (Book::default(), [outputs(100)]);
    let earlier = |book: &mut Book, now| {
        let holder = Holder { request_id: "a", execution_id: "other" };
        match book.preview(holder, &ask(&limits, 1), None, now, HOLD).admission {
            Admission::Duplicate(earlier) => Some(earlier),
            _ => None,
        }
    };
    let held = reserve(&mut book, "a", &limits, 10, noon()).unwrap();
    assert_eq!(earlier(&mut book, noon()), Some(Earlier::InFlight));
    book.settle(&held, Some(Amount::ZERO), noon());
    assert_eq!(earlier(&mut book, noon()), None);
    let held = reserve(&mut book, "a", &limits, 10, noon()).unwrap();
    book.settle(&held, Some(used(1)), noon());
    assert_eq!(earlier(&mut book, noon() + TimeDelta::hours(47)), Some(Earlier::Settled { told: None }));
    assert_eq!(earlier(&mut book, noon() + TimeDelta::hours(48)), None);
}

#[test]
fn an_id_whose_usage_is_unknown_counts_as_settled_when_its_hold_expires() {
    let (mut book, limits) = (Book::default(), [outputs(100)]);
    let held = reserve(&mut book, "a", &limits, 10, noon()).unwrap();
    book.settle(&held, None, noon());
    assert_eq!(book.earlier("a", noon() + HOLD - TimeDelta::seconds(1)), Some(Earlier::InFlight));
    assert_eq!(book.earlier("a", noon() + HOLD), Some(Earlier::Settled { told: None }));
    assert_eq!(book.earlier("a", noon() + TimeDelta::hours(48)), None);
}

#[test]
fn a_response_stays_in_force_by_the_mark_of_its_alert() {
    let set = Reaction::Set(Limits { output: Some(60), ..Limits::default() });
    let (mut book, limits) = (Book::default(), [outputs(100).responding(50, set)]);
    let held = reserve(&mut book, "a", &limits, 50, noon()).unwrap();
    book.settle(&held, Some(used(50)), noon());
    assert!(reserve(&mut book, "b", &limits, 11, noon()).is_none());
    // A raise of the limit does not end it.
    let raised = [outputs(1_000).responding(50, set)];
    assert!(reserve(&mut book, "c", &raised, 11, noon()).is_none());
    assert!(reserve(&mut book, "d", &raised, 10, noon()).is_some());
}
