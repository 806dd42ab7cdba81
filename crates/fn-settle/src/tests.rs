//! The writes to the ledger, the reported usage, and the alerts that are due.

mod documents;
mod kept;

use std::collections::HashMap;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::put_item::PutItemOutput;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
use aws_sdk_dynamodb::types::error::{ConditionalCheckFailedException, InternalServerError};
use aws_sdk_sqs::operation::send_message::{SendMessageError, SendMessageOutput};
use aws_smithy_mocks::{Rule, RuleMode, mock};
use sentry_contract::Sealed;
use sentry_lambda::Failure;
use sentry_ledger::Ledger;
use serde_json::{Value, json};
use test_support::mock_client;

use crate::{MetricsQueue, Settler};

const MODEL: &str = "us.anthropic.claude-sonnet-4-20250514-v1:0";

/// A settler whose queue accepts everything.
fn settler(rules: &[&Rule]) -> Settler {
    settler_with(rules, &takes(|_| true))
}

fn takes(expected: fn(&Value) -> bool) -> Rule {
    mock!(aws_sdk_sqs::Client::send_message)
        .match_requests(move |message| {
            message.queue_url() == Some("queue")
                && expected(&serde_json::from_str(message.message_body().unwrap()).unwrap())
        })
        .then_output(|| SendMessageOutput::builder().build())
}

fn settler_with(rules: &[&Rule], queue: &Rule) -> Settler {
    let told = tells(|_| true);
    let rules = [rules, &[&told]].concat();
    let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &rules);
    let ledger = Ledger::new(client, "ledger".into(), "requests".into());
    let queue = mock_client!(aws_sdk_sqs, RuleMode::MatchAny, &[queue]);
    Settler::new(ledger, MetricsQueue::new(queue, "queue".into()), Duration::from_secs(240))
}

/// A write for requests with the same id, whose text must be `expected`.
fn tells(expected: fn(&Value) -> bool) -> Rule {
    mock!(Client::put_item)
        .match_requests(move |put| {
            let told = put.item().and_then(|item| item.get("told")?.as_s().ok());
            told.is_some_and(|told| expected(&serde_json::from_str(told).unwrap()))
        })
        .then_output(|| PutItemOutput::builder().build())
}

fn item(numbers: &[(&str, u64)]) -> HashMap<String, AttributeValue> {
    numbers.iter().map(|(name, number)| ((*name).to_owned(), N(number.to_string()))).collect()
}

/// The name of the execution's hold in an item of the ledger, and the hold itself: 400 tokens in, 1,000 out, $0.0162.
const HOLD: &str = "h#ehhnajOTH1w";
const STORED: &str = "b4 rs 7fx2800 mwqcvpc0 7ps0";

/// An update that succeeds and leaves `after`. The values of its expression must contain `numbers`.
fn settles(numbers: &'static [&'static str], after: HashMap<String, AttributeValue>) -> Rule {
    mock!(Client::update_item)
        .match_requests(move |update| {
            let values: Vec<_> =
                update.expression_attribute_values().unwrap().values().filter_map(|value| value.as_n().ok()).collect();
            let stored = S(STORED.to_owned());
            update.condition_expression() == Some("#n0 = :v0")
                && update.expression_attribute_values().unwrap().get(":v0") == Some(&stored)
                && update.expression_attribute_names().unwrap().get("#n0").is_some_and(|name| name == HOLD)
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

fn event(reservation: Value, ended: Value) -> Value {
    let model = json!({"requested": "claude-sonnet-4", "modelId": MODEL, "modelMetric": MODEL, "family": "anthropic",
                       "price": {"input": "3", "output": "15", "cacheRead": "0.30", "cacheWrite5m": "3.75", "cacheWrite1h": "6"}});
    let tags = json!({"applicationId": "helper", "requestId": "r1"});
    json!({"admitted": {"reservation": reservation, "model": model, "tags": tags, "notes": {}}, "ended": ended})
}

fn answered() -> Value {
    let usage = json!({"inputTokens": 350, "outputTokens": 900, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 120_000, "totalTokens": 121_250});
    let message = json!({"role": "assistant", "content": "the marked answer"});
    let answer = json!({"output": {"message": message, "stopReason": "end_turn"}, "usage": usage, "cost": {"usd": "0.46455", "savedUsd": "-0.09", "priced": true}});
    json!({"sealed": {"answer": Sealed::new(&answer).unwrap(), "usage": usage}})
}

fn failed(how: Value) -> Value {
    let error = json!({"code": "ModelRejectedRequest", "message": "no", "retryable": false, "details": {}});
    let mut failure = json!({"statusCode": 502, "error": error});
    failure.as_object_mut().unwrap().extend(how.as_object().unwrap().clone());
    json!({"failure": failure})
}

#[tokio::test]
async fn the_tokens_and_their_exact_price_take_the_place_of_the_hold() {
    // 350 at $3, 120,000 at $3.75, 900 at $15 a million: $0.464550. The input is more than the hold, and all of it
    // counts.
    let after = item(&[("settledInput", 120_350), ("settledOutput", 900), ("settledUsd", 464_550_000_000)]);
    let rule = settles(&["120350", "900", "464550000000", "-400", "-1000", "119950", "-100", "7000"], after);
    let limits = json!({"input": 1_000_000, "usd": "1.00"});
    let settled = settle(&settler(&[&rule]), event(reservation(limits, json!([])), answered())).await.unwrap();
    let budget = json!([{
        "scope": "costCenter#support", "window": "2026-11", "resetsAt": "2026-12-01T00:00:00Z", "source": "costCenter",
        "input": {"limit": 1_000_000, "used": 120_350, "reserved": 0, "remaining": 879_650},
        "usd": {"limit": "1.00", "used": "0.46455", "reserved": "0.00", "remaining": "0.53545"},
    }]);
    assert_eq!((&settled["outcome"], &settled["statusCode"]), (&json!("Succeeded"), &json!(200)));
    let cost = json!({"usd": "0.464550000", "savedUsd": "-0.090000000", "priced": true});
    assert_eq!((&settled["budget"], &settled["cost"]), (&budget, &cost));
    assert_eq!(settled["output"]["message"]["content"], "the marked answer");
}

#[tokio::test]
async fn a_request_with_the_same_id_is_told_the_usage_and_the_cost_and_no_text() {
    let rule = settles(&[], item(&[("settledOutput", 900)]));
    let told = tells(|told| {
        told["usage"]["totalTokens"] == 121_250
            && told["cost"]["usd"] == "0.464550000"
            && !told.to_string().contains("marked")
    });
    let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&rule, &told]);
    let queue = mock_client!(aws_sdk_sqs, RuleMode::MatchAny, &[&takes(|_| true)]);
    let ledger = Ledger::new(client, "ledger".into(), "requests".into());
    let settler = Settler::new(ledger, MetricsQueue::new(queue, "queue".into()), Duration::from_secs(240));
    settle(&settler, event(reservation(json!({"output": 5_000}), json!([])), answered())).await.unwrap();
    assert_eq!(told.num_calls(), 1);
}

#[tokio::test]
async fn the_message_for_the_metrics_has_the_figures_and_no_text() {
    let rule = settles(&[], item(&[("settledOutput", 900)]));
    let queue = takes(|record| {
        record["usage"]["totalTokens"] == 121_250
            && record["hold"]
                == json!({"input": 400, "output": 1000, "usd": "0.016200000", "requests": 0, "inFlight": 0})
            && record["settlement"].is_null()
            && !record.to_string().contains("marked")
    });
    let event = event(reservation(json!({"output": 5_000}), json!([])), answered());
    settle(&settler_with(&[&rule], &queue), event).await.unwrap();
    assert_eq!(queue.num_calls(), 1);
}

#[tokio::test]
async fn bedrocks_reason_reaches_the_client_and_not_the_message_for_the_metrics() {
    let rule = settles(&["-400", "-1000"], item(&[]));
    let forget = mock!(Client::delete_item).then_output(|| DeleteItemOutput::builder().build());
    let queue = takes(|record| record["code"] == "ModelRejectedRequest" && !record.to_string().contains("temperature"));
    let reason = Sealed::new(&"`temperature` and `top_p` cannot both be given").unwrap();
    let ended = failed(json!({"nothingSpent": true, "bedrockMessage": reason}));
    let event = event(reservation(json!({"output": 5_000}), json!([])), ended);
    let answer = settle(&settler_with(&[&rule, &forget], &queue), event).await.unwrap();
    assert_eq!(answer["outcome"], "InvocationFailed");
    assert_eq!(answer["error"]["details"]["bedrockMessage"], "`temperature` and `top_p` cannot both be given");
    assert_eq!(queue.num_calls(), 1);
}

#[tokio::test]
async fn a_call_by_step_functions_is_read_and_priced() {
    let rule = settles(&["143", "1021"], item(&[("settledOutput", 143)]));
    let usage = json!({"InputTokens": 21, "OutputTokens": 143, "CacheReadInputTokens": 1_000, "TotalTokens": 1_164});
    let message = json!({"Message": {"Role": "assistant", "Content": [{"Text": "Hello."}]}});
    let result = json!({"Output": message, "StopReason": "malformed_tool_use", "Usage": usage});
    let ended = json!({"terms": {"rich": false}, "result": result});
    let answer =
        settle(&settler(&[&rule]), event(reservation(json!({"output": 5_000}), json!([])), ended)).await.unwrap();
    // 21 x 3 + 143 x 15 + 1,000 x 0.3 millionths of a dollar. The cache saved 1,000 x 2.7.
    let cost = json!({"usd": "0.002508000", "savedUsd": "0.002700000", "priced": true});
    assert_eq!((&answer["output"]["stopReason"], &answer["cost"]), (&json!("malformed_tool_use"), &cost));
}

#[tokio::test]
async fn an_answer_that_does_not_fit_into_the_document_is_too_large_and_its_usage_is_charged() {
    let rule = settles(&["900"], item(&[("settledOutput", 900)]));
    let mut ended = answered();
    let content = "x".repeat(262_144);
    let usage = ended["sealed"]["usage"].clone();
    let answer = json!({"output": {"message": {"role": "assistant", "content": content}, "stopReason": "end_turn"}, "usage": usage, "cost": {"priced": false}});
    ended["sealed"]["answer"] = serde_json::to_value(Sealed::new(&answer).unwrap()).unwrap();
    let answer =
        settle(&settler(&[&rule]), event(reservation(json!({"output": 5_000}), json!([])), ended)).await.unwrap();
    assert_eq!((&answer["outcome"], &answer["error"]["code"]), (&json!("InvocationFailed"), &json!("OutputTooLarge")));
    assert_eq!((rule.num_calls(), answer.get("output")), (1, None));
}

#[tokio::test]
async fn the_hold_of_a_call_that_used_nothing_is_released_and_the_id_can_be_used_again() {
    let rule = settles(&["-400", "-1000"], item(&[]));
    let forget = mock!(Client::delete_item)
        .match_requests(|delete| delete.table_name() == Some("requests"))
        .then_output(|| DeleteItemOutput::builder().build());
    let event = event(reservation(json!({"output": 5_000}), json!([])), failed(json!({"nothingSpent": true})));
    let settled = settle(&settler(&[&rule, &forget]), event).await.unwrap();
    assert_eq!(settled["budget"][0]["output"], json!({"limit": 5000, "used": 0, "reserved": 0, "remaining": 5000}));
    assert_eq!((rule.num_calls(), forget.num_calls()), (1, 1));
}

#[tokio::test]
async fn a_hold_with_unknown_usage_stays_and_is_shown() {
    let held = item(&[("heldOutput", 1_000), ("committedOutput", 1_000)]);
    let get =
        mock!(Client::get_item).then_output(move || GetItemOutput::builder().set_item(Some(held.clone())).build());
    let event = event(reservation(json!({"output": 5_000}), json!([])), failed(json!({})));
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
    let event = event(reservation(json!({"output": 5_000}), json!([])), answered());
    let settled = settle(&settler(&[&refused, &get]), event).await.unwrap();
    assert_eq!(settled["budget"][0]["output"]["used"], 900);
}

#[tokio::test]
async fn a_reservation_that_nobody_knows_is_taken_back_where_it_is_found() {
    let stored = HashMap::from([(HOLD.to_owned(), S(STORED.to_owned()))]);
    let update = settles(&["-400", "-1000"], item(&[]));
    // This update makes a hold fail that is still being taken.
    let bar = mock!(Client::update_item)
        .match_requests(|update| update.condition_expression().is_none())
        .then_output(move || UpdateItemOutput::builder().set_attributes(Some(stored.clone())).build());
    let forget = mock!(Client::put_item)
        .match_requests(|put| put.item().is_some_and(|item| item["givenUp"] == AttributeValue::Bool(true)))
        .then_output(|| PutItemOutput::builder().build());
    let mut limit = reservation(json!({"output": 5_000}), json!([]))["scopes"][0].clone();
    limit.as_object_mut().unwrap().remove("seen");
    let event = json!({"requestKey": "r1", "executionId": "run-1", "limits": {"model": [limit]}});
    let settled = settle(&settler(&[&update, &bar, &forget]), event).await.unwrap();
    assert_eq!(settled, json!({}));
    assert_eq!((update.num_calls(), forget.num_calls()), (1, 1));
}

#[tokio::test]
async fn a_ledger_that_fails_is_a_failure_and_nothing_is_counted() {
    let rule = mock!(Client::update_item)
        .then_error(|| UpdateItemError::InternalServerError(InternalServerError::builder().build()));
    let queue = takes(|_| true);
    let event = event(reservation(json!({"output": 5_000}), json!([])), answered());
    let failure = settle(&settler_with(&[&rule], &queue), event).await.unwrap_err();
    assert_eq!((failure.name(), queue.num_calls()), ("LedgerUnavailable", 0));
}

#[tokio::test]
async fn a_queue_that_fails_is_a_failure() {
    let rule = settles(&[], item(&[("settledOutput", 900)]));
    let queue = mock!(aws_sdk_sqs::Client::send_message).then_error(|| SendMessageError::unhandled("down"));
    let event = event(reservation(json!({"output": 5_000}), json!([])), answered());
    let failure = settle(&settler_with(&[&rule], &queue), event).await.unwrap_err();
    assert_eq!(failure.name(), "LedgerUnavailable");
}
