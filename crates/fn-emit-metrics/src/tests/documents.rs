//! The complete call to CloudWatch for each outcome.

use std::sync::{Arc, Mutex};

use aws_sdk_cloudwatch::primitives::DateTimeFormat;
use aws_sdk_sns::Client as Sns;
use aws_sdk_sns::operation::publish::PublishOutput;

use super::*;

/// The only call for this message, which leaves nothing for another delivery.
async fn stored(body: String, now: DateTime<Utc>) -> Value {
    let calls = Arc::new(Mutex::new(Vec::new()));
    let keeps = Arc::clone(&calls);
    let cloudwatch = mock!(Client::put_metric_data).then_compute_output(move |input| {
        keeps.lock().unwrap().push(call(input));
        PutMetricDataOutput::builder().build()
    });
    let ledger = mock!(aws_sdk_dynamodb::Client::update_item)
        .then_output(|| aws_sdk_dynamodb::operation::update_item::UpdateItemOutput::builder().build());
    let sns = mock!(Sns::publish).then_output(|| PublishOutput::builder().build());
    let answer = emitter_with(&cloudwatch, &[&ledger, &late::tells()], &[&sns]).emit(batch(&[body]), now).await;
    assert_eq!((answer, cloudwatch.num_calls()), (BatchAnswer::default(), 1));
    calls.lock().unwrap().remove(0)
}

/// The call, with each metric as `Name{Dimension=value} value unit at time`.
fn call(input: &PutMetricDataInput) -> Value {
    let data = input.metric_data().iter().map(|datum| {
        let dimensions = datum.dimensions().iter().map(|d| format!("{}={}", d.name().unwrap(), d.value().unwrap()));
        format!(
            "{}{{{}}} {} {} at {}",
            datum.metric_name().unwrap(),
            dimensions.collect::<Vec<_>>().join(","),
            datum.value().unwrap(),
            datum.unit().unwrap(),
            datum.timestamp().unwrap().fmt(DateTimeFormat::DateTime).unwrap()
        )
    });
    json!({"namespace": input.namespace(), "metricData": data.collect::<Vec<_>>()})
}

#[tokio::test]
async fn each_outcome_is_one_call_to_cloudwatch() {
    let held = |more: Value| {
        let mut record = json!({"hold": {"input": 40, "output": 500, "usd": "0.001", "requests": 1, "inFlight": 1}});
        record.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        record
    };
    let mut more_than_held = held(usage());
    more_than_held["hold"]["output"] = json!(100);
    more_than_held["degraded"] = json!({"action": "clamp", "from": 2_048, "to": 100});
    more_than_held["alerts"] = json!([alerts::alert(80)]);
    let outcomes = [
        ("answered", record("Succeeded", held(usage()))),
        ("answered_with_more_than_was_held_and_an_alert", record("Succeeded", more_than_held)),
        ("denied", record("Denied", json!({"code": "BudgetReserved", "nothingSpent": true}))),
        ("failed", record("InvocationFailed", held(json!({"code": "ModelThrottled", "nothingSpent": true})))),
        ("settled_late", late::unsettled(json!({}))),
        ("alerts_of_the_sweep", json!({"alerts": [alerts::alert(50), alerts::alert(80)]}).to_string()),
    ];
    for (name, body) in outcomes {
        insta::assert_json_snapshot!(name, stored(body, now()).await);
    }
    let after_the_hold = now() + chrono::TimeDelta::minutes(7);
    insta::assert_json_snapshot!(
        "settled_after_the_hold_expired",
        stored(late::unsettled(json!({})), after_the_hold).await
    );
}
