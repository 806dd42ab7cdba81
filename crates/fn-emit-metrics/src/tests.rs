//! Messages, and the metrics that CloudWatch gets from them.

mod alerts;
mod documents;
mod history;
mod late;
mod values;

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::ErrorMetadata;
use aws_sdk_cloudwatch::operation::put_metric_data::{PutMetricDataError, PutMetricDataInput, PutMetricDataOutput};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsOutput;
use aws_smithy_mocks::{Rule, RuleMode, mock};
use chrono::{DateTime, Utc};
use sentry_history::History;
use sentry_lambda::sqs::{Batch, BatchAnswer};
use sentry_ledger::Ledger;
use serde_json::{Value, json};
use test_support::mock_client;

use crate::{Alerts, Emitter, LateSettlements, MetricValues, UsageHistory};

/// The time at which batches are read, in seconds since 1970.
const NOW: i64 = 1_795_237_200;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

/// An emitter whose CloudWatch, ledger and SNS answer by these rules, and whose usage history accepts everything.
fn emitter_with(cloudwatch: &Rule, ledger: &[&Rule], sns: &[&Rule]) -> Emitter {
    let taken = mock!(aws_sdk_dynamodb::Client::transact_write_items)
        .then_output(|| TransactWriteItemsOutput::builder().build());
    emitter_of(cloudwatch, ledger, &taken, sns)
}

/// An emitter whose services answer by these rules.
fn emitter_of(cloudwatch: &Rule, ledger: &[&Rule], history: &Rule, sns: &[&Rule]) -> Emitter {
    let history = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[history]);
    let history = History::new(history, "usage".to_owned());
    let ledger = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, ledger);
    let ledger = Ledger::new(ledger, "ledger".to_owned(), "requests".to_owned());
    let sns = mock_client!(aws_sdk_sns, RuleMode::MatchAny, sns);
    let cloudwatch = mock_client!(aws_sdk_cloudwatch, RuleMode::MatchAny, &[cloudwatch]);
    let (late, alerts) = (LateSettlements::new(ledger.clone()), Alerts::new(ledger, sns, "topic".to_owned()));
    let values = MetricValues::new(values::table(), "usage".to_owned(), 200);
    Emitter::new(cloudwatch, late, UsageHistory::new(history, "run, project"), alerts, values)
}

fn emitter(rule: &Rule) -> Emitter {
    emitter_with(rule, &[], &[])
}

fn batch(bodies: &[String]) -> Batch {
    let records = bodies.iter().enumerate().map(|(n, body)| json!({"messageId": format!("m{n}"), "body": body}));
    serde_json::from_value(json!({"Records": records.collect::<Vec<_>>()})).unwrap()
}

fn record(outcome: &str, more: Value) -> String {
    let mut record = json!({
        "outcome": outcome,
        "tags": {"applicationId": "helper", "costCenter": "support", "timestamp": "2026-11-21T05:00:00.123456Z"},
        "model": {"requested": "nova-lite", "modelId": "amazon.nova-lite-v1:0", "modelMetric": "amazon.nova-lite-v1:0"}
    });
    record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    record.to_string()
}

fn usage() -> Value {
    json!({"usage": {"inputTokens": 21, "outputTokens": 143, "cacheReadInputTokens": 4, "cacheWriteInputTokens": 5, "totalTokens": 173}})
}

/// The metrics of requests, which have five dimensions.
fn values(input: &PutMetricDataInput) -> BTreeMap<String, String> {
    let of_requests = input.metric_data().iter().filter(|datum| datum.dimensions().len() == 5);
    of_requests.map(|d| (d.metric_name().unwrap().to_owned(), d.value().unwrap().to_string())).collect()
}

/// The other metrics, as `Name{Dimension=value} value`.
fn others(input: &PutMetricDataInput) -> BTreeSet<String> {
    let others = input.metric_data().iter().filter(|datum| datum.dimensions().len() != 5);
    others
        .map(|datum| {
            let dimensions = datum.dimensions().iter().map(|d| format!("{}={}", d.name().unwrap(), d.value().unwrap()));
            let dimensions: Vec<_> = dimensions.collect();
            format!("{}{{{}}} {}", datum.metric_name().unwrap(), dimensions.join(","), datum.value().unwrap())
        })
        .collect()
}

#[tokio::test]
async fn each_outcome_puts_all_six_metrics_in_one_call() {
    let names =
        ["InputTokens", "InvocationFailed", "OutputTokens", "RateLimitApproved", "RateLimitDenied", "TotalRequests"];
    let cases = [
        ("Succeeded", usage(), ["30", "0", "143", "1", "0", "1"]),
        ("Denied", json!({"code": "BudgetExceeded"}), ["0", "0", "0", "0", "1", "1"]),
        ("InvocationFailed", json!({"code": "ModelThrottled"}), ["0", "1", "0", "1", "0", "1"]),
        ("InvocationFailed", usage(), ["30", "1", "143", "1", "0", "1"]),
    ];
    for (outcome, more, expected) in cases {
        let expected: BTreeMap<_, _> =
            names.into_iter().zip(expected).map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
        let rule = mock!(Client::put_metric_data)
            .match_requests(move |input| input.namespace() == Some("GenAIRateLimiting") && values(input) == expected)
            .then_output(|| PutMetricDataOutput::builder().build());
        let answer = emitter(&rule).emit(batch(&[record(outcome, more)]), now()).await;
        assert!(answer.batch_item_failures.is_empty());
        assert_eq!(rule.num_calls(), 1, "{outcome}");
    }
}

#[tokio::test]
async fn the_other_metrics_of_a_request_count_for_the_whole_stack() {
    let held = |more: Value| {
        let mut record = json!({"hold": {"input": 40, "output": 500, "usd": "0.001"}});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let degraded = json!({"degraded": {"action": "clamp", "from": 2048, "to": 500}});
    let fallback = json!({"degraded": {"action": "fallback", "from": "amazon.nova-pro-v1:0", "to": "amazon.nova-lite-v1:0",
                                       "maxTokens": {"from": 2048, "to": 500}}});
    let mut more_than_held = held(usage());
    more_than_held["hold"]["output"] = json!(usage()["usage"]["outputTokens"].as_u64().unwrap() - 1);
    let exceeded = format!("HeldTokens{{}} {}", 40 + more_than_held["hold"]["output"].as_u64().unwrap());
    let cases: [(&str, Value, &[&str]); 8] = [
        ("Succeeded", usage(), &[]),
        ("Succeeded", more_than_held, &[&exceeded, "UsedTokens{} 173", "ExceededHolds{} 1"]),
        ("Succeeded", held(usage()), &["HeldTokens{} 540", "UsedTokens{} 173"]),
        ("Succeeded", held(degraded), &["Degradations{Action=clamp} 1"]),
        ("Succeeded", held(fallback), &["Degradations{Action=fallback} 1"]),
        ("InvocationFailed", held(json!({"code": "ModelThrottled"})), &[]),
        ("Denied", json!({"code": "BudgetReserved"}), &["Denials{Code=BudgetReserved} 1"]),
        ("Denied", json!({"code": "LimitMalformed"}), &["Denials{Code=LimitMalformed} 1"]),
    ];
    for (outcome, more, expected) in cases {
        let name = more.to_string();
        let expected: BTreeSet<_> = expected.iter().map(|&text| text.to_owned()).collect();
        let rule = mock!(Client::put_metric_data)
            .match_requests(move |input| values(input).len() == 6 && others(input) == expected)
            .then_output(|| PutMetricDataOutput::builder().build());
        emitter(&rule).emit(batch(&[record(outcome, more)]), now()).await;
        assert_eq!(rule.num_calls(), 1, "{outcome} {name}");
    }
}

#[tokio::test]
async fn a_metric_has_five_dimensions_the_requests_time_and_counts() {
    let rule = mock!(Client::put_metric_data)
        .match_requests(|input| {
            input.metric_data().iter().all(|datum| {
                let dimensions: Vec<_> =
                    datum.dimensions().iter().map(|d| (d.name().unwrap(), d.value().unwrap())).collect();
                dimensions
                    == [
                        ("Model", "nova-lite"),
                        ("ModelId", "amazon.nova-lite-v1:0"),
                        ("CostCenter", "support"),
                        ("Application", "helper"),
                        ("Environment", "unspecified"),
                    ]
                    && datum.timestamp().unwrap().to_millis().unwrap() == 1_795_237_200_123
                    && datum.unit().unwrap().as_str() == "Count"
            })
        })
        .then_output(|| PutMetricDataOutput::builder().build());
    emitter(&rule).emit(batch(&[record("Succeeded", usage())]), now()).await;
    assert_eq!(rule.num_calls(), 1);
}

fn failed(answer: &BatchAnswer) -> Vec<&str> {
    answer.batch_item_failures.iter().map(|failure| failure.item_identifier.as_str()).collect()
}

fn refusal() -> PutMetricDataError {
    PutMetricDataError::generic(ErrorMetadata::builder().code("InvalidParameterValue").build())
}

#[tokio::test]
async fn an_unreadable_message_fails_alone_and_a_failed_put_fails_its_messages() {
    let fine = mock!(Client::put_metric_data).then_output(|| PutMetricDataOutput::builder().build());
    let refused = mock!(Client::put_metric_data).then_error(refusal);
    let bodies = [record("Succeeded", usage()), "{}".to_owned(), record("Denied", json!({}))];
    assert_eq!(failed(&emitter(&fine).emit(batch(&bodies), now()).await), ["m1"]);
    assert_eq!(failed(&emitter(&refused).emit(batch(&bodies), now()).await), ["m1", "m0", "m2"]);
}

#[tokio::test]
async fn a_request_that_cloudwatch_refuses_does_not_keep_back_the_others() {
    let stored = || PutMetricDataOutput::builder().build();
    let rule =
        mock!(Client::put_metric_data).sequence().error(refusal).output(stored).error(refusal).output(stored).build();
    let bodies = [0, 1, 2].map(|_| record("Succeeded", usage()));
    assert_eq!(failed(&emitter(&rule).emit(batch(&bodies), now()).await), ["m1"]);
    assert_eq!(rule.num_calls(), 4);
}
