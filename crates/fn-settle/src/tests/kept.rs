//! Answers that are kept for clients that lose their connection.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::states::SettleEvent;

use super::*;
use crate::{AnswersTable, Ending, Kept};

/// A write to the answers table.
fn keeps(succeeds: bool) -> Rule {
    let keep = mock!(Client::update_item).match_requests(|update| {
        let key = update.key().unwrap();
        let values = update.expression_attribute_values().unwrap();
        let answer: Value = serde_json::from_str(values[":answer"].as_s().unwrap()).unwrap();
        update.table_name() == Some("answers")
            && update.update_expression().unwrap().ends_with("#expires = if_not_exists(#queued, :expires)")
            && (&key["applicationId"], &key["requestId"]) == (&S("helper".to_owned()), &S("r1".to_owned()))
            && answer["output"]["message"]["content"] == "the marked answer"
            && (&values[":done"], &values[":outcome"]) == (&S("done".to_owned()), &S("Succeeded".to_owned()))
            // Two hours after 2026-11-21T12:00:07Z.
            && values[":expires"] == N("1795269607".to_owned())
    });
    if succeeds {
        keep.then_output(|| UpdateItemOutput::builder().build())
    } else {
        keep.then_error(|| UpdateItemError::InternalServerError(InternalServerError::builder().build()))
    }
}

fn now() -> DateTime<Utc> {
    "2026-11-21T12:00:07Z".parse().unwrap()
}

fn keeping(rules: &[&Rule], keep: &Rule) -> Settler {
    let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[keep]);
    settler(rules).keeping(Some(AnswersTable::new(client, "answers".into(), TimeDelta::hours(2))))
}

#[tokio::test]
async fn an_answer_is_kept_and_returned_even_if_it_cannot_be_kept() {
    for succeeds in [true, false] {
        let keep = keeps(succeeds);
        let rule = settles(&[], item(&[("settledOutput", 900)]));
        let event = event(reservation(json!({"output": 5_000}), json!([])), answered());
        let answer = settle(&keeping(&[&rule], &keep), event).await.unwrap();
        assert_eq!(answer["outcome"], "Succeeded");
        assert_eq!(keep.num_calls(), 1);
    }
}

#[tokio::test]
async fn a_failure_that_used_nothing_is_not_kept_because_its_id_can_be_used_again() {
    let keep = mock!(Client::update_item).then_output(|| UpdateItemOutput::builder().build());
    let rule = settles(&["-400", "-1000"], item(&[]));
    let forget = mock!(Client::delete_item).then_output(|| DeleteItemOutput::builder().build());
    let event = event(reservation(json!({"output": 5_000}), json!([])), failed(json!({"nothingSpent": true})));
    settle(&keeping(&[&rule, &forget], &keep), event).await.unwrap();
    assert_eq!(keep.num_calls(), 0);
}

/// A read of the answers table that finds `item`.
fn finds(item: &[(&str, &str)]) -> Rule {
    let mut found: HashMap<String, AttributeValue> =
        item.iter().map(|(name, text)| ((*name).to_owned(), S((*text).to_owned()))).collect();
    if let Some(seconds) = found.get("expiresAt").and_then(|it| it.as_s().ok()).cloned() {
        found.insert("expiresAt".to_owned(), N(seconds));
    }
    mock!(Client::get_item)
        .match_requests(|get| {
            let key = get.key().unwrap();
            get.consistent_read() == Some(true)
                && (&key["applicationId"], &key["requestId"]) == (&S("helper".to_owned()), &S("r1".to_owned()))
        })
        .then_output(move || GetItemOutput::builder().set_item(Some(found.clone())).build())
}

const KEPT: &str = r#"{"outcome":"Succeeded","output":{"id":12345678901234567890123}}"#;

fn repeated() -> Value {
    json!({"outcome": "Invalid", "tags": {"applicationId": "helper", "requestId": "r1"},
           "error": {"code": "DuplicateRequest", "details": {"state": "settled"}}})
}

async fn repeat(answers: Option<&Rule>) -> String {
    let settler = answers.map_or_else(|| settler(&[]), |rule| keeping(&[], rule));
    let event = serde_json::from_value(json!({"repeated": repeated(), "digest": "d1"})).unwrap();
    let ending = settler.settle(event, "2026-11-21T12:00:07Z".parse().unwrap()).await.unwrap();
    serde_json::to_string(&ending).unwrap()
}

#[tokio::test]
async fn a_repeated_document_gets_its_kept_answer_with_its_numbers_as_they_are() {
    let kept = finds(&[("answer", KEPT), ("documentDigest", "d1"), ("expiresAt", "1795269607")]);
    let answer = r#"{"outcome":"Succeeded","output":{"id":12345678901234567890123},"replayed":true}"#;
    assert_eq!(repeat(Some(&kept)).await, answer);
}

#[tokio::test]
async fn without_an_answer_to_the_same_document_a_repetition_is_a_duplicate() {
    let large = format!("{{\"text\":\"{}\"}}", "x".repeat(262_144 - 11));
    let others = [
        vec![("answer", KEPT), ("documentDigest", "d2"), ("expiresAt", "1795269607")],
        vec![("answer", KEPT), ("expiresAt", "1795269607")],
        vec![("documentDigest", "d1"), ("expiresAt", "1795269607")],
        // A second before the repetition.
        vec![("answer", KEPT), ("documentDigest", "d1"), ("expiresAt", "1795262406")],
        vec![("answer", &large), ("documentDigest", "d1"), ("expiresAt", "1795269607")],
    ];
    let duplicate = repeated().to_string();
    for item in others {
        assert_eq!(repeat(Some(&finds(&item))).await, duplicate, "{:?}", item.first());
    }
    let failing = mock!(Client::get_item).then_error(|| {
        aws_sdk_dynamodb::operation::get_item::GetItemError::InternalServerError(InternalServerError::builder().build())
    });
    for answers in [Some(&failing), None] {
        assert_eq!(repeat(answers).await, duplicate);
    }
}

#[tokio::test]
async fn an_answer_that_passed_by_in_events_is_settled_and_not_kept() {
    let keep = mock!(Client::update_item).then_output(|| UpdateItemOutput::builder().build());
    let rule = settles(&[], item(&[("settledOutput", 900)]));
    let event = event(reservation(json!({"output": 5_000}), json!([])), answered());
    let SettleEvent::Settle(input) = serde_json::from_value(event).unwrap() else { panic!("a settlement") };
    let ended = keeping(&[&rule], &keep).settle_without_text(*input, now()).await.unwrap();
    assert!(matches!(ended, Ending::Document(_)));
    assert_eq!((rule.num_calls() > 0, keep.num_calls()), (true, 0));
}

#[tokio::test]
async fn an_item_is_read_until_it_expires_and_only_a_complete_one_has_an_answer() {
    for (state, expires, expected) in [
        ("done", now().timestamp() + 1, Some(Some("{}"))),
        ("done", now().timestamp(), None),
        ("running", now().timestamp() + 1, Some(None)),
    ] {
        let read = mock!(Client::get_item)
            .match_requests(|read| {
                let key = read.key().unwrap();
                (&key["applicationId"], &key["requestId"]) == (&S("helper".to_owned()), &S("r1".to_owned()))
                    && read.consistent_read() == Some(true)
            })
            .then_output(move || {
                let item =
                    [("state", S(state.into())), ("answer", S("{}".into())), ("expiresAt", N(expires.to_string()))];
                GetItemOutput::builder()
                    .set_item(Some(item.map(|(name, value)| (name.to_owned(), value)).into()))
                    .build()
            });
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&read]);
        let table = AnswersTable::new(client, "answers".into(), TimeDelta::hours(2));
        let found = table.find("helper", "r1", now()).await.unwrap();
        let expected = expected.map(|answer| Kept { state: state.to_owned(), answer: answer.map(str::to_owned) });
        assert_eq!(found, expected, "{state} {expires}");
    }
}
