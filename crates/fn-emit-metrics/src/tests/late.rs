//! Settlements that are left to the queue.

use aws_sdk_dynamodb::Client as Ledger;
use aws_sdk_dynamodb::config::timeout::TimeoutConfig;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use aws_sdk_dynamodb::operation::put_item::PutItemOutput;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use aws_sdk_dynamodb::types::error::ThrottlingException;
use sentry_contract::states::MetricsRecord;

use super::*;
use crate::late::Left;

/// The message of a request that `Settle` could not settle. Its hold expires six minutes after the batch is read.
pub fn unsettled(more: Value) -> String {
    let window = json!({"name": "2026-11", "key": "2026-11", "start": "2026-11-01T00:00:00Z", "resetsAt": "2026-12-01T00:00:00Z"});
    let scope = json!({"scope": "costCenter#support", "source": "costCenter", "item": "costCenter#support", "window": window,
                       "limits": {"output": 5_000}, "shards": 1, "seen": {"input": 0, "output": 0, "usd": "0"}});
    let at = |minutes| now() + chrono::TimeDelta::minutes(minutes);
    let reservation = json!({"requestId": "r1", "executionId": "run-1", "maxTokens": 500, "hold": {"input": 40, "output": 500, "usd": "0"},
                             "heldAt": at(0), "expiresAt": at(6), "scopes": [scope]});
    let model = json!({"requested": "nova-lite", "modelId": "amazon.nova-lite-v1:0", "modelMetric": "amazon.nova-lite-v1:0", "family": "nova"});
    let mut settlement = json!({"reservation": reservation, "model": model});
    settlement.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let mut record = json!({"settlement": settlement, "hold": reservation["hold"]});
    if more.get("nothingSpent").is_none() {
        record["usage"] = usage()["usage"].clone();
    }
    super::record("Succeeded", record)
}

fn settles(output: &'static str) -> Rule {
    mock!(Ledger::update_item)
        .match_requests(move |update| {
            let values = update.expression_attribute_values().unwrap().values();
            update.table_name() == Some("ledger")
                && values.filter_map(|value| value.as_n().ok()).any(|value| value == output)
        })
        .then_output(|| UpdateItemOutput::builder().attributes("settledOutput", N("143".to_owned())).build())
}

/// The write for requests with the same id.
pub fn tells() -> Rule {
    mock!(Ledger::put_item)
        .match_requests(|put| put.item().is_some_and(|item| item.contains_key("told")))
        .then_output(|| PutItemOutput::builder().build())
}

fn counts(name: &'static str) -> Rule {
    mock!(Client::put_metric_data)
        .match_requests(move |input| others(input).contains(&format!("{name}{{}} 1")))
        .then_output(|| PutMetricDataOutput::builder().build())
}

#[tokio::test]
async fn a_late_settlement_charges_what_was_used_and_is_counted() {
    let (metrics, ledger, told) = (counts("LateSettlements"), settles("143"), tells());
    let answer = emitter_with(&metrics, &[&ledger, &told], &[]).emit(batch(&[unsettled(json!({}))]), now()).await;
    assert_eq!((answer, ledger.num_calls(), metrics.num_calls()), (BatchAnswer::default(), 1, 1));
    assert_eq!(told.num_calls(), 1);
}

#[tokio::test]
async fn a_request_that_certainly_spent_nothing_is_released_late() {
    let metrics = counts("LateSettlements");
    let forget = mock!(Ledger::delete_item)
        .match_requests(|delete| delete.table_name() == Some("requests"))
        .then_output(|| DeleteItemOutput::builder().build());
    let ledger = settles("-500");
    emitter_with(&metrics, &[&ledger, &forget], &[])
        .emit(batch(&[unsettled(json!({"nothingSpent": true}))]), now())
        .await;
    assert_eq!((ledger.num_calls(), forget.num_calls(), metrics.num_calls()), (1, 1, 1));
}

#[tokio::test]
async fn a_late_settlement_after_the_holds_expiry_is_told_apart() {
    let (metrics, ledger) = (counts("UnsettledRequests"), settles("143"));
    let later = now() + chrono::TimeDelta::minutes(7);
    emitter_with(&metrics, &[&ledger, &tells()], &[]).emit(batch(&[unsettled(json!({}))]), later).await;
    assert_eq!(metrics.num_calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_throttles_is_tried_again_for_forty_seconds_and_then_the_message_comes_again() {
    let metrics = counts("LateSettlements");
    let throttled = mock!(Ledger::update_item).then_error(|| {
        UpdateItemError::ThrottlingException(ThrottlingException::builder().message("slow down").build())
    });
    let fine = record("Succeeded", usage());
    let plain = mock!(Client::put_metric_data)
        .match_requests(|input| values(input).len() == 6)
        .then_output(|| PutMetricDataOutput::builder().build());
    let begun = tokio::time::Instant::now();
    let answer =
        emitter_with(&plain, &[&throttled, &tells()], &[]).emit(batch(&[unsettled(json!({})), fine]), now()).await;
    let failed: Vec<_> = answer.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
    assert_eq!((failed, plain.num_calls(), metrics.num_calls()), (vec!["m0"], 1, 0));
    assert!(begun.elapsed().as_secs() <= 55, "{:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_ledger_that_hangs_leaves_time_for_the_metrics_of_the_batch() {
    let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = test_support::offline_config(sentry_lambda::http_client(sentry_lambda::Connections::Kept));
    let six_seconds = TimeoutConfig::builder().operation_timeout(std::time::Duration::from_secs(6)).build();
    let ledger = aws_sdk_dynamodb::config::Builder::from(&config)
        .endpoint_url(format!("http://{}", silent.local_addr().unwrap()))
        .timeout_config(six_seconds)
        .build();
    let late = LateSettlements::new(crate::tests::Ledger::new(
        Ledger::from_conf(ledger),
        "ledger".to_owned(),
        "requests".to_owned(),
    ));
    let mut records: Vec<MetricsRecord> =
        (0..20).map(|_| serde_json::from_str(&unsettled(json!({}))).unwrap()).collect();
    let begun = tokio::time::Instant::now();
    let mut left: Vec<_> = records.iter_mut().map(Left::Settlement).collect();
    let settled = late.finish(&mut left, now()).await;
    assert_eq!(settled, [false; 20]);
    assert!((30..=50).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
}

/// The message of a reservation that `Cancel Reservation` could not cancel.
fn given_up() -> String {
    let window = json!({"name": "2026-11", "key": "2026-11", "start": "2026-11-01T00:00:00Z", "resetsAt": "2026-12-01T00:00:00Z"});
    let limit = json!({"scope": "costCenter#support", "source": "costCenter", "item": "costCenter#support", "window": window,
                       "limits": {"output": 5_000}});
    json!({"cancellation": {"requestKey": "r1", "executionId": "run-1", "limits": {"model": [], "tags": [limit]}}})
        .to_string()
}

#[tokio::test]
async fn a_late_cancellation_bars_the_execution_and_lets_go_of_the_request() {
    let bars = mock!(Ledger::update_item)
        .match_requests(|update| {
            let names = update.expression_attribute_names().unwrap().values();
            update.table_name() == Some("ledger") && names.into_iter().any(|name| name.starts_with("x#"))
        })
        .then_output(|| UpdateItemOutput::builder().build());
    let lets_go = mock!(Ledger::put_item)
        .match_requests(|put| {
            put.table_name() == Some("requests") && put.item().unwrap()["requestId"] == S("r1".into())
        })
        .then_output(|| PutItemOutput::builder().build());
    let metrics = counts("none");
    let answer = emitter_with(&metrics, &[&bars, &lets_go], &[]).emit(batch(&[given_up()]), now()).await;
    assert_eq!((answer, bars.num_calls(), lets_go.num_calls()), (BatchAnswer::default(), 1, 1));
    assert_eq!(metrics.num_calls(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_late_cancellation_that_fails_comes_again_and_keeps_back_nothing_else() {
    let broken = mock!(Ledger::update_item)
        .then_error(|| UpdateItemError::generic(ErrorMetadata::builder().code("Gone").build()));
    let lets_go = mock!(Ledger::put_item).then_output(|| PutItemOutput::builder().build());
    let metrics = mock!(Client::put_metric_data)
        .match_requests(|input| values(input).len() == 6)
        .then_output(|| PutMetricDataOutput::builder().build());
    let bodies = [given_up(), record("Succeeded", usage())];
    let emitter = emitter_with(&metrics, &[&broken, &lets_go], &[]);
    let answer = emitter.emit(batch(&bodies), now()).await;
    let failed: Vec<_> = answer.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect();
    assert_eq!((failed, metrics.num_calls()), (vec!["m0"], 1));
}
