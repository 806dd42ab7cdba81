//! What is written, what is reported, and which alerts are due.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
use aws_sdk_dynamodb::types::error::{ConditionalCheckFailedException, InternalServerError};
use aws_smithy_mocks::{MockResponseInterceptor, Rule, RuleMode, create_mock_http_client, mock};
use sentry_lambda::{Failure, offline_config};
use sentry_ledger::Ledger;
use serde_json::{Value, json};

use crate::Settler;

const MODEL: &str = "us.anthropic.claude-sonnet-4-20250514-v1:0";

fn settler(rules: &[&Rule]) -> Settler {
    let interceptor = MockResponseInterceptor::new().rule_mode(RuleMode::MatchAny);
    let interceptor = rules.iter().fold(interceptor, |all, rule| all.with_rule(rule));
    let config = aws_sdk_dynamodb::config::Builder::from(&offline_config(create_mock_http_client()));
    let client = Client::from_conf(config.interceptor(interceptor).build());
    let ledger = Ledger::new(client, "ledger".into(), "requests".into());
    Settler::new(ledger)
}

fn item(numbers: &[(&str, u64)]) -> HashMap<String, AttributeValue> {
    numbers.iter().map(|(name, number)| ((*name).to_owned(), N(number.to_string()))).collect()
}

/// An update that succeeds and leaves `after`; the values of its expression must contain `numbers`.
fn settles(numbers: &'static [&'static str], after: HashMap<String, AttributeValue>) -> Rule {
    mock!(Client::update_item)
        .match_requests(move |update| {
            let values: Vec<_> =
                update.expression_attribute_values().unwrap().values().filter_map(|value| value.as_n().ok()).collect();
            let stored = S("400 1000 16200000000 1795262400000 1795262760000 run-1".to_owned());
            update.condition_expression() == Some("#n0 = :v0")
                && update.expression_attribute_values().unwrap().get(":v0") == Some(&stored)
                && update.expression_attribute_names().unwrap().get("#n0").is_some_and(|name| name == "h#r1")
                && numbers.iter().all(|number| values.iter().any(|value| value == number))
        })
        .then_output(move || UpdateItemOutput::builder().set_attributes(Some(after.clone())).build())
}

fn reservation(limits: Value, alert_at: Value) -> Value {
    let window = json!({"name": "2026-11", "key": "2026-11", "start": "2026-11-01T00:00:00Z", "resetsAt": "2026-12-01T00:00:00Z"});
    let scope = json!({"scope": "costCenter#support", "source": "costCenter", "item": "costCenter#default", "window": window, "limits": limits,
                       "alertAt": alert_at, "shards": 1, "seen": {"input": 0, "output": 0, "usd": "0.00"}});
    json!({"requestId": "r1", "executionId": "run-1", "maxTokens": 1000, "hold": {"input": 400, "output": 1000, "usd": "0.0162"},
           "heldAt": "2026-11-21T12:00:00Z", "expiresAt": "2026-11-21T12:06:00Z", "scopes": [scope]})
}

async fn settle(settler: &Settler, event: Value) -> Result<Value, Failure> {
    let now = "2026-11-21T12:00:07Z".parse().unwrap();
    let settled = settler.settle(serde_json::from_value(event).unwrap(), now).await?;
    Ok(serde_json::to_value(settled).unwrap())
}

fn event(reservation: Value, how: Value) -> Value {
    let model = json!({"requested": "claude-sonnet-4", "modelId": MODEL, "modelMetric": MODEL, "family": "anthropic",
                       "price": {"input": "3", "output": "15", "cacheRead": "0.30", "cacheWrite5m": "3.75", "cacheWrite1h": "6"}});
    let mut event = json!({"model": model, "reservation": reservation});
    event.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
    event
}

fn usage() -> Value {
    json!({"usage": {"inputTokens": 350, "outputTokens": 900, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 120_000}})
}

#[tokio::test]
async fn the_tokens_and_their_exact_price_take_the_place_of_the_hold() {
    // 350 at $3, 120,000 at $3.75, 900 at $15 a million: $0.464550; more input than held, and it counts all the same.
    let after = item(&[("settledInput", 120_350), ("settledOutput", 900), ("settledUsd", 464_550_000_000)]);
    let rule = settles(&["120350", "900", "464550000000", "-400", "-1000", "119950", "-100", "7000"], after);
    let limits = json!({"input": 1_000_000, "usd": "1.00"});
    let settled = settle(&settler(&[&rule]), event(reservation(limits, json!([])), usage())).await.unwrap();
    let budget = json!([{
        "scope": "costCenter#support", "window": "2026-11", "resetsAt": "2026-12-01T00:00:00Z", "source": "costCenter",
        "input": {"limit": 1_000_000, "used": 120_350, "reserved": 0, "remaining": 879_650},
        "usd": {"limit": "1.00", "used": "0.46455", "reserved": "0.00", "remaining": "0.53545"},
    }]);
    assert_eq!(settled, json!({"budget": budget, "alerts": []}));
}

#[tokio::test]
async fn what_certainly_used_nothing_is_released_and_may_come_again() {
    let rule = settles(&["-400", "-1000"], item(&[]));
    let forget = mock!(Client::delete_item)
        .match_requests(|delete| delete.table_name() == Some("requests"))
        .then_output(|| DeleteItemOutput::builder().build());
    let event = event(reservation(json!({"output": 5_000}), json!([])), json!({"nothingSpent": true}));
    let settled = settle(&settler(&[&rule, &forget]), event).await.unwrap();
    assert_eq!(settled["budget"][0]["output"], json!({"limit": 5000, "used": 0, "reserved": 0, "remaining": 5000}));
    assert_eq!((rule.num_calls(), forget.num_calls()), (1, 1));
}

#[tokio::test]
async fn where_nobody_knows_the_hold_stays_and_is_shown() {
    let held = item(&[("heldOutput", 1_000), ("committedOutput", 1_000)]);
    let get =
        mock!(Client::get_item).then_output(move || GetItemOutput::builder().set_item(Some(held.clone())).build());
    let event = event(reservation(json!({"output": 5_000}), json!([])), json!({}));
    let settled = settle(&settler(&[&get]), event).await.unwrap();
    assert_eq!(settled["budget"][0]["output"], json!({"limit": 5000, "used": 0, "reserved": 1000, "remaining": 4000}));
}

#[tokio::test]
async fn a_repetition_reports_the_figures_and_changes_nothing() {
    let refused = mock!(Client::update_item).then_error(|| {
        UpdateItemError::ConditionalCheckFailedException(ConditionalCheckFailedException::builder().build())
    });
    let get = mock!(Client::get_item)
        .then_output(|| GetItemOutput::builder().set_item(Some(item(&[("settledOutput", 900)]))).build());
    let event = event(reservation(json!({"output": 5_000}), json!([])), usage());
    let settled = settle(&settler(&[&refused, &get]), event).await.unwrap();
    assert_eq!(settled["budget"][0]["output"]["used"], 900);
}

#[tokio::test]
async fn thresholds_that_are_reached_and_not_reported_are_due() {
    let mut after = item(&[("settledOutput", 2_500), ("settledInput", 10), ("a#50", 9_999_999_999)]);
    for (used, due) in [(2_500, vec![]), (4_000, vec![80]), (5_000, vec![80, 100]), (6_000, vec![80, 100])] {
        after.insert("settledOutput".into(), N(used.to_string()));
        let rule = settles(&[], after.clone());
        let limits = json!({"output": 5_000, "input": 1_000_000});
        let event = event(reservation(limits, json!([50, 80, 100])), usage());
        let settled = settle(&settler(&[&rule]), event).await.unwrap();
        let thresholds: Vec<_> =
            settled["alerts"].as_array().unwrap().iter().map(|alert| alert["threshold"].clone()).collect();
        assert_eq!(json!(thresholds), json!(due), "{used}");
        if used == 4_000 {
            let alert = json!({"scope": "costCenter#support", "window": "2026-11", "windowKey": "2026-11", "resetsAt": "2026-12-01T00:00:00Z",
                               "threshold": 80, "unit": "output", "limit": "5000", "used": "4000"});
            assert_eq!(settled["alerts"][0], alert);
        }
    }
}

#[tokio::test]
async fn a_reservation_that_nobody_knows_is_taken_back_where_it_is_found() {
    let stored =
        HashMap::from([("h#r1".to_owned(), S("400 1000 16200000000 1795262400000 1795262760000 run-1".to_owned()))]);
    let get =
        mock!(Client::get_item).then_output(move || GetItemOutput::builder().set_item(Some(stored.clone())).build());
    let update = settles(&["-400", "-1000"], item(&[]));
    let forget = mock!(Client::delete_item).then_output(|| DeleteItemOutput::builder().build());
    let mut limit = reservation(json!({"output": 5_000}), json!([]))["scopes"][0].clone();
    limit.as_object_mut().unwrap().remove("seen");
    let event = json!({"requestId": "r1", "executionId": "run-1", "limits": [limit]});
    let settled = settle(&settler(&[&get, &update, &forget]), event).await.unwrap();
    assert_eq!(settled, json!({"budget": [], "alerts": []}));
    assert_eq!((update.num_calls(), forget.num_calls()), (1, 1));
}

#[tokio::test]
async fn a_ledger_that_fails_is_a_failure() {
    let rule = mock!(Client::update_item)
        .then_error(|| UpdateItemError::InternalServerError(InternalServerError::builder().build()));
    let event = event(reservation(json!({"output": 5_000}), json!([])), usage());
    assert_eq!(settle(&settler(&[&rule]), event).await.unwrap_err().name(), "LedgerUnavailable");
}
