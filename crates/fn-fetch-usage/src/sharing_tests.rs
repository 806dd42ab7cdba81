//! One figure for all environments of the function.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_cloudwatch::Client;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::error::{ConditionalCheckFailedException, InternalServerError};
use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock};
use chrono::TimeDelta;
use futures_util::future::join_all;
use test_support::{at, mock_client};

use crate::tests::{cloudwatch, input, now, page, throttled};
use crate::{SharedFigures, UsageSource};

/// The item of one model, with DynamoDB's conditions on it.
#[derive(Clone, Default)]
struct Table(Arc<Mutex<HashMap<String, AttributeValue>>>);

impl Table {
    /// Applies an update if its condition holds. The update has one of the two expressions that the function writes.
    fn update(&self, update: &UpdateItemInput) -> MockResponse<UpdateItemOutput, UpdateItemError> {
        let mut item = self.0.lock().unwrap();
        let values = update.expression_attribute_values().unwrap();
        let number = |value: &AttributeValue| value.as_n().unwrap().parse::<i64>().unwrap();
        let holds = match update.condition_expression().unwrap() {
            "attribute_not_exists(#asked) OR #asked <= :now" => {
                item.get("askedUntil").is_none_or(|until| number(until) <= number(&values[":now"]))
            }
            "attribute_not_exists(#as_of) OR #as_of < :as_of" => {
                item.get("asOf").is_none_or(|as_of| number(as_of) < number(&values[":as_of"]))
            }
            other => panic!("{other}"),
        };
        if !holds {
            let refused = ConditionalCheckFailedException::builder().build();
            return MockResponse::Error(UpdateItemError::ConditionalCheckFailedException(refused));
        }
        for (name, placeholder) in
            [("askedUntil", ":until"), ("askedUntil", ":none"), ("asOf", ":as_of"), ("series", ":series")]
        {
            if let Some(value) = values.get(placeholder) {
                item.insert(name.to_owned(), value.clone());
            }
        }
        MockResponse::Output(UpdateItemOutput::builder().build())
    }

    fn client(&self) -> aws_sdk_dynamodb::Client {
        let (reading, writing) = (self.clone(), self.clone());
        let get = mock!(aws_sdk_dynamodb::Client::get_item)
            .match_requests(|get| {
                get.key().unwrap()["scope"].as_s().unwrap() == "usage#amazon.nova-lite-v1:0"
                    && get.table_name() == Some("ledger")
            })
            .then_compute_response(move |_| {
                let item = reading.0.lock().unwrap().clone();
                MockResponse::Output(GetItemOutput::builder().set_item(Some(item)).build())
            });
        let update =
            mock!(aws_sdk_dynamodb::Client::update_item).then_compute_response(move |update| writing.update(update));
        dynamodb(&[&get, &update])
    }
}

fn dynamodb(rules: &[&Rule]) -> aws_sdk_dynamodb::Client {
    mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, rules)
}

/// A new environment of the function.
fn environment(table: &Table, rule: &Rule) -> UsageSource {
    UsageSource::new(cloudwatch(&[rule]), SharedFigures::new(table.client(), "ledger".into()), 60)
}

fn answering(tokens: f64) -> Rule {
    mock!(Client::get_metric_data)
        .then_output(move || page([&[("2026-11-18T05:00:00Z", tokens)], &[], &[], &[], &[], &[]]))
}

/// Asks fifty new environments at once, `seconds` after the first moment. Returns the tokens that each one uses, or the
/// name of its error.
async fn fifty(table: &Table, rule: &Rule, seconds: i64) -> Vec<Result<u64, String>> {
    let then = now() + TimeDelta::seconds(seconds);
    let ask = async |_| {
        let found = environment(table, rule).fetch(&input(false), then).await;
        let month = at("2026-11-01T00:00:00Z");
        found.map(|found| found.model.since(month).input).map_err(|failure| failure.name().to_owned())
    };
    join_all((0..50).map(ask)).await
}

#[tokio::test(start_paused = true)]
async fn fifty_cold_environments_ask_once_and_all_have_the_figure() {
    let (table, rule) = (Table::default(), answering(7.0));
    assert!(fifty(&table, &rule, 0).await.iter().all(|found| *found == Ok(7)));
    assert_eq!(rule.num_calls(), 1);
    let renewed = answering(8.0);
    assert!(fifty(&table, &renewed, 59).await.iter().all(|found| *found == Ok(7)));
    assert_eq!(renewed.num_calls(), 0);
    // A minute later one environment asks. The others use the last figure or the new one.
    let found = fifty(&table, &renewed, 61).await;
    assert!(found.iter().all(|found| matches!(found, Ok(7 | 8))) && found.contains(&Ok(8)), "{found:?}");
    assert_eq!(renewed.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn four_minutes_without_cloudwatch_deny_nobody_and_six_deny_by_name() {
    let (table, good) = (Table::default(), answering(7.0));
    assert!(fifty(&table, &good, 0).await.iter().all(|found| *found == Ok(7)));
    let bad = mock!(Client::get_metric_data).then_error(throttled);
    for seconds in (61..=240).step_by(20) {
        assert!(fifty(&table, &bad, seconds).await.iter().all(|found| *found == Ok(7)), "after {seconds} s");
    }
    // At most one environment asks every five seconds.
    assert!(bad.num_calls() <= 240 / 5, "{}", bad.num_calls());
    assert!(fifty(&table, &bad, 299).await.iter().all(|found| *found == Ok(7)));
    for found in fifty(&table, &bad, 360).await {
        assert_eq!(found, Err("UsageUnavailable".to_owned()));
    }
    assert!(fifty(&table, &answering(9.0), 370).await.contains(&Ok(9)));
}

#[tokio::test(start_paused = true)]
async fn an_older_figure_never_replaces_a_newer_one() {
    let table = Table::default();
    let newer = environment(&table, &answering(8.0)).fetch(&input(false), now() + TimeDelta::seconds(2)).await.unwrap();
    let shared = SharedFigures::new(table.client(), "ledger".into());
    let mut older = newer.model.clone();
    older.as_of = now();
    assert!(!shared.store("amazon.nova-lite-v1:0", &older, now()).await.unwrap());
    assert_eq!(shared.read("amazon.nova-lite-v1:0").await.unwrap().series, Some(newer.model));
}

#[tokio::test(start_paused = true)]
async fn without_the_table_cloudwatch_is_asked_directly() {
    let broken = mock!(aws_sdk_dynamodb::Client::get_item).then_error(|| {
        let error = InternalServerError::builder().build();
        aws_sdk_dynamodb::operation::get_item::GetItemError::InternalServerError(error)
    });
    let rule = answering(7.0);
    let shared = SharedFigures::new(dynamodb(&[&broken]), "ledger".into());
    let source = UsageSource::new(cloudwatch(&[&rule]), shared, 60);
    for _ in 0..2 {
        source.fetch(&input(false), now()).await.unwrap();
    }
    assert_eq!((rule.num_calls(), broken.num_calls()), (1, 1), "the environment itself remembers the figure");
}
