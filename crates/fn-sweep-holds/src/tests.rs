//! The holds that are settled, and the time at which a run starts its second pass.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::query::{QueryError, QueryOutput};
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
use aws_sdk_dynamodb::types::error::InternalServerError;
use aws_sdk_sqs::operation::send_message::{SendMessageError, SendMessageOutput};
use aws_smithy_mocks::{Rule, RuleMode, mock};
use chrono::{DateTime, Utc};
use sentry_ledger::Ledger;
use test_support::mock_client;

use crate::{AlertQueue, sweep};

const NOW: i64 = 1_795_262_400_000;
const MINUTES: i64 = 360_000;

type Attributes = HashMap<String, AttributeValue>;

fn ledger(rules: &[&Rule]) -> Ledger {
    Ledger::new(mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, rules), "ledger".into(), String::new())
}

/// A queue that answers by this rule.
fn queue(rule: &Rule) -> AlertQueue {
    AlertQueue::new(mock_client!(aws_sdk_sqs, RuleMode::MatchAny, &[rule]), "queue".into())
}

/// A queue that must not be used.
fn no_queue() -> AlertQueue {
    queue(&mock!(aws_sdk_sqs::Client::send_message).then_output(|| panic!("no alert is due")))
}

fn key(number: usize) -> Attributes {
    let text = [("scope", format!("model#{number}")), ("window", "2026-11".into())];
    text.into_iter().map(|(name, text)| (name.to_owned(), S(text))).collect()
}

/// The index. Each page has the items with these numbers.
fn index(pages: &'static [&'static [usize]]) -> Rule {
    let page = move |place: usize| {
        let more = (place + 1 < pages.len() && !pages[place + 1].is_empty()).then(|| key(0));
        let keys = pages[place].iter().map(|number| key(*number));
        QueryOutput::builder().set_items(Some(keys.collect())).set_last_evaluated_key(more).build()
    };
    let mut rule = mock!(Client::query)
        .match_requests(|query| query.index_name() == Some("SweepIndex") && query.table_name() == Some("ledger"))
        .sequence();
    for place in 0..pages.len() {
        rule = rule.output(move || page(place));
    }
    rule.build()
}

/// Every item has one hold, which has just expired.
fn items() -> Rule {
    mock!(Client::get_item).then_output(|| {
        let taken = base36(NOW - MINUTES);
        let item = HashMap::from([
            ("h#owner".to_owned(), S(format!("a k 0 {taken} {}", base36(MINUTES)))),
            ("heldRequests".to_owned(), N("1".into())),
            ("sweepAtMs".to_owned(), N(NOW.to_string())),
        ]);
        GetItemOutput::builder().set_item(Some(item)).build()
    })
}

fn base36(mut number: i64) -> String {
    let mut digits = String::new();
    while number > 0 {
        digits.insert(0, char::from_digit(u32::try_from(number % 36).unwrap(), 36).unwrap());
        number /= 36;
    }
    digits
}

/// Settles a hold. The item then has no hold.
fn settles() -> Rule {
    mock!(Client::update_item).then_output(|| {
        let left = HashMap::from([("sweepAtMs".to_owned(), N(NOW.to_string()))]);
        UpdateItemOutput::builder().set_attributes(Some(left)).build()
    })
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp_millis(NOW).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_items_that_are_due_are_read_and_settled_and_no_others() {
    let (index, items, update) = (index(&[&[1, 2], &[3], &[]]), items(), settles());
    let report = sweep(&ledger(&[&index, &items, &update]), &no_queue(), now).await.unwrap();
    // Two updates per item: the settlement, and the time of the next look.
    assert_eq!((report.settled, report.items, update.num_calls()), (3, 3, 6));
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_expires_soon_is_not_left_for_the_next_run() {
    let (index, items, update) = (index(&[&[], &[], &[1]]), items(), settles());
    let clock = AtomicI64::new(NOW);
    let now = || DateTime::from_timestamp_millis(clock.fetch_add(5_000, Ordering::Relaxed)).unwrap();
    assert_eq!(sweep(&ledger(&[&index, &items, &update]), &no_queue(), now).await.unwrap().settled, 1);
}

#[tokio::test(start_paused = true)]
async fn a_hold_that_cannot_be_settled_fails_the_run_after_everything_else_is_done() {
    let (index, items, update) = (index(&[&[0, 1], &[]]), items(), settles());
    let broken = mock!(Client::update_item)
        .match_requests(|update| update.key().unwrap()["scope"] == S("model#0".into()))
        .then_error(|| UpdateItemError::InternalServerError(InternalServerError::builder().build()));
    let failure = sweep(&ledger(&[&index, &items, &broken, &update]), &no_queue(), now).await.unwrap_err();
    assert_eq!(failure.name(), "LedgerUnavailable");
    assert_eq!(update.num_calls(), 2);
    let unreadable =
        mock!(Client::query).then_error(|| QueryError::InternalServerError(InternalServerError::builder().build()));
    assert!(sweep(&ledger(&[&unreadable]), &no_queue(), now).await.is_err());
}

/// Settles a hold of 20 output tokens in an item that watches 80 % of 20.
fn settles_all() -> Rule {
    mock!(aws_sdk_dynamodb::Client::update_item).then_output(|| {
        let left = HashMap::from([
            ("sweepAtMs".to_owned(), N(NOW.to_string())),
            ("watch".to_owned(), S("50,80 - 20 - - - 1796083200 2026-11".into())),
            ("settledOutput".to_owned(), N("20".into())),
            ("a#50".to_owned(), N("9999999999".into())),
        ]);
        UpdateItemOutput::builder().set_attributes(Some(left)).build()
    })
}

#[tokio::test(start_paused = true)]
async fn a_threshold_that_an_expired_hold_reaches_is_queued_before_the_item_is_left() {
    let (index, items, update) = (index(&[&[1], &[]]), items(), settles_all());
    let bodies = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&bodies);
    let takes = mock!(aws_sdk_sqs::Client::send_message)
        .match_requests(|message| message.queue_url() == Some("queue"))
        .then_compute_output(move |message| {
            let body: serde_json::Value = serde_json::from_str(message.message_body().unwrap()).unwrap();
            keeps.lock().unwrap().push(body);
            SendMessageOutput::builder().build()
        });
    let report = sweep(&ledger(&[&index, &items, &update]), &queue(&takes), now).await.unwrap();
    assert_eq!((report.settled, report.alerts, takes.num_calls(), update.num_calls()), (1, 1, 1, 2));
    insta::assert_json_snapshot!(*bodies.lock().unwrap());
}

#[tokio::test(start_paused = true)]
async fn an_item_stays_due_when_its_alert_cannot_be_queued() {
    let (index, items, update) = (index(&[&[1], &[]]), items(), settles_all());
    let refuses = mock!(aws_sdk_sqs::Client::send_message)
        .then_error(|| SendMessageError::generic(aws_sdk_sqs::error::ErrorMetadata::builder().code("Gone").build()));
    let failure = sweep(&ledger(&[&index, &items, &update]), &queue(&refuses), now).await.unwrap_err();
    assert_eq!(failure.name(), "LedgerUnavailable");
    // The settlement, but not the time of the next look.
    assert_eq!(update.num_calls(), 1);
}
