//! Responses of DynamoDB, and the results for the requests.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::ErrorMetadata;
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsInput, TransactWriteItemsOutput};
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_smithy_mocks::{Rule, RuleMode, mock};
use chrono::TimeDelta;
use serde_json::json;
use test_support::{at, attributes, mock_client, update};

use super::*;
use crate::decided::tests::record;

fn history(mode: RuleMode, rules: &[&Rule]) -> History {
    History::new(mock_client!(aws_sdk_dynamodb, mode, rules), "usage".to_owned()).keeping(30)
}

fn request(id: &str) -> Decided {
    Decided::of(&record(json!({"executionId": id})), id, &[]).unwrap()
}

fn noon() -> DateTime<Utc> {
    at("2026-11-22T12:00:00Z")
}

fn canceled(codes: &[&str]) -> TransactWriteItemsError {
    let reasons = codes.iter().map(|code| CancellationReason::builder().code(*code).build()).collect();
    let canceled = TransactionCanceledException::builder().set_cancellation_reasons(Some(reasons)).build();
    TransactWriteItemsError::TransactionCanceledException(canceled)
}

fn refuses(codes: &'static [&'static str]) -> Rule {
    mock!(Client::transact_write_items).then_error(move || canceled(codes))
}

fn marked(input: &TransactWriteItemsInput) -> Vec<&str> {
    let puts = input.transact_items().iter().filter_map(|action| action.put());
    puts.map(|put| put.item()[SCOPE].as_s().unwrap().strip_prefix(MARKER).unwrap()).collect()
}

/// Accepts a transaction that has exactly these markers.
fn writes(ids: &'static [&'static str]) -> Rule {
    mock!(Client::transact_write_items)
        .match_requests(move |input| marked(input) == ids)
        .then_output(|| TransactWriteItemsOutput::builder().build())
}

#[tokio::test]
async fn one_transaction_has_a_marker_for_each_request_and_one_sum_for_each_scope() {
    let rule = mock!(Client::transact_write_items)
        .match_requests(|input| {
            let actions = input.transact_items();
            let marker = actions[0].put().unwrap();
            assert_eq!(marker.item()[SCOPE].as_s().unwrap(), "request#a");
            // 38 days after 2026-11-21T23:59:59.
            assert_eq!(marker.item()[EXPIRES_AT].as_n().unwrap(), "1798588799");
            assert_eq!(marker.condition_expression(), Some("attribute_not_exists(#scope)"));
            let sums: Vec<_> = actions.iter().filter_map(|action| action.update()).collect();
            assert_eq!((actions.len(), sums.len()), (9, 7));
            let sum = sums[0];
            assert_eq!(sum.key()[DAY].as_s().unwrap(), "2026-11-21");
            assert_eq!(sum.update_expression(), "SET #expires = :expires ADD #0 :0, #1 :1, #2 :2");
            let values = sum.expression_attribute_values().unwrap();
            assert_eq!(values[":0"].as_n().unwrap(), "2");
            // 2026-12-22T00:00:00Z
            assert_eq!(values[":expires"].as_n().unwrap(), "1797897600");
            true
        })
        .then_output(|| TransactWriteItemsOutput::builder().build());
    let report = history(RuleMode::MatchAny, &[&rule]).record(&[request("a"), request("b")], noon()).await;
    assert_eq!(report.recorded, [Recorded::Counted; 2]);
    assert_eq!(rule.num_calls(), 1);
}

/// The transaction of one request: its marker, and an addition for each scope.
async fn transaction(more: serde_json::Value) -> serde_json::Value {
    let sent = Arc::new(Mutex::new(json!([])));
    let keeps = Arc::clone(&sent);
    let rule = mock!(Client::transact_write_items).then_compute_output(move |input| {
        let actions = input.transact_items().iter().map(|action| match (action.put(), action.update()) {
            (Some(put), None) => {
                json!({"table": put.table_name(), "item": attributes(put.item()), "condition": put.condition_expression(),
                       "names": put.expression_attribute_names()})
            }
            (None, Some(addition)) => update(addition),
            other => panic!("{other:?}"),
        });
        *keeps.lock().unwrap() = actions.collect();
        TransactWriteItemsOutput::builder().build()
    });
    let request = Decided::of(&record(more), "m1", &["run".to_owned()]).unwrap();
    history(RuleMode::MatchAny, &[&rule]).record(&[request], noon()).await;
    sent.lock().unwrap().take()
}

#[tokio::test]
async fn a_request_adds_its_marker_and_the_same_numbers_to_each_of_its_scopes() {
    let hold = json!({"input": 400, "output": 1_000, "usd": "0.0162", "requests": 1, "inFlight": 1});
    let usage = json!({"inputTokens": 350, "outputTokens": 900, "cacheReadInputTokens": 7, "cacheWriteInputTokens": 20,
                       "totalTokens": 1_277});
    let answered = json!({"usage": usage, "hold": hold, "scopes": ["costCenter#default"]});
    insta::assert_json_snapshot!("answered", transaction(answered).await);
    let failed = json!({"outcome": "InvocationFailed", "code": "ModelTimeout", "hold": hold});
    insta::assert_json_snapshot!("failed_with_unknown_usage", transaction(failed).await);
    let denied = json!({"outcome": "Denied", "code": "BudgetExceeded", "nothingSpent": true});
    insta::assert_json_snapshot!("denied", transaction(denied).await);
}

#[tokio::test]
async fn a_request_whose_marker_exists_is_left_out_and_the_others_are_counted() {
    let rules = [refuses(&["None", "ConditionalCheckFailed", "None", "TransactionConflict"]), writes(&["a", "c"])];
    let history = history(RuleMode::Sequential, &[&rules[0], &rules[1]]);
    let report = history.record(&["a", "b", "c"].map(request), noon()).await;
    assert_eq!(report.recorded, [Recorded::Counted, Recorded::Before, Recorded::Counted]);
    assert!(report.problem.is_none());
}

#[tokio::test]
async fn nothing_is_written_where_all_are_counted() {
    let rule = refuses(&["ConditionalCheckFailed", "ConditionalCheckFailed"]);
    let report = history(RuleMode::Sequential, &[&rule]).record(&["a", "b"].map(request), noon()).await;
    assert_eq!((report.recorded.as_slice(), rule.num_calls()), (&[Recorded::Before; 2][..], 1));
}

#[tokio::test]
async fn one_decision_in_two_messages_is_counted_once() {
    let rule = writes(&["a", "b"]);
    let report = history(RuleMode::MatchAny, &[&rule]).record(&["a", "b", "a"].map(request), noon()).await;
    assert_eq!(report.recorded, [Recorded::Counted, Recorded::Counted, Recorded::Before]);
}

#[tokio::test(start_paused = true)]
async fn a_conflict_is_tried_again_until_time_is_up() {
    let conflict: &[&str] = &["None", "TransactionConflict", "None"];
    let rules = [refuses(conflict), refuses(&["ThrottlingError"]), writes(&["a"])];
    let twice = history(RuleMode::Sequential, &[&rules[0], &rules[1], &rules[2]]);
    assert_eq!(twice.record(&[request("a")], noon()).await.recorded, [Recorded::Counted]);
    let begun = Instant::now();
    let always = refuses(&["None", "TransactionConflict", "None"]);
    let report = history(RuleMode::MatchAny, &[&always]).record(&[request("a")], noon()).await;
    assert_eq!(report.recorded, [Recorded::Failed]);
    assert!(matches!(report.problem, Some(HistoryError::Contended)));
    assert!((5..=6).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_request_that_dynamodb_does_not_take_does_not_keep_back_the_others() {
    let refused = mock!(Client::transact_write_items)
        .match_requests(|input| marked(input).contains(&"bad"))
        .then_error(|| TransactWriteItemsError::generic(ErrorMetadata::builder().code("ValidationException").build()));
    let taken = mock!(Client::transact_write_items).then_output(|| TransactWriteItemsOutput::builder().build());
    let history = history(RuleMode::MatchAny, &[&refused, &taken]);
    let report = history.record(&["a", "b", "c", "bad", "d"].map(request), noon()).await;
    let [counted, failed] = [Recorded::Counted, Recorded::Failed];
    assert_eq!(report.recorded, [counted, counted, counted, failed, counted]);
    assert!(matches!(report.problem, Some(HistoryError::Refused(_))));
}

#[tokio::test]
async fn a_table_that_is_not_there_fails_every_request() {
    let rule = mock!(Client::transact_write_items).then_error(|| {
        TransactWriteItemsError::generic(ErrorMetadata::builder().code("ResourceNotFoundException").build())
    });
    let report = history(RuleMode::MatchAny, &[&rule]).record(&["a", "b", "a"].map(request), noon()).await;
    assert_eq!(report.recorded, [Recorded::Failed; 3]);
    assert!(matches!(report.problem, Some(HistoryError::Unavailable(_))));
}

#[tokio::test]
async fn a_request_that_is_older_than_its_marker_is_left_alone() {
    let rule = writes(&["a"]);
    let history = history(RuleMode::MatchAny, &[&rule]);
    let at = at("2026-11-22T00:00:00Z");
    let last = at + TimeDelta::days(crate::MARKED_DAYS) - TimeDelta::seconds(2);
    assert_eq!(history.record(&[request("a")], last).await.recorded, [Recorded::Counted]);
    assert_eq!(history.record(&[request("a")], last + TimeDelta::seconds(2)).await.recorded, [Recorded::TooOld]);
}
