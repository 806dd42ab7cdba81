//! The usage history: the requests that are counted, and the messages that are delivered again.

use std::sync::{Arc, Mutex};

use aws_sdk_cloudwatch::Client as CloudWatch;
use aws_sdk_dynamodb::Client as Table;
use aws_sdk_dynamodb::operation::transact_write_items::{TransactWriteItemsError, TransactWriteItemsInput};
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::types::CancellationReason;
use aws_sdk_dynamodb::types::error::TransactionCanceledException;
use aws_sdk_sns::Client as Sns;
use aws_sdk_sns::operation::publish::PublishOutput;
use aws_smithy_mocks::MockResponse;

use super::*;

fn stored() -> Rule {
    mock!(CloudWatch::put_metric_data).then_output(|| PutMetricDataOutput::builder().build())
}

/// A table that remembers the markers of requests, and records the scopes that it adds to.
fn remembers(markers: &Arc<Mutex<BTreeSet<String>>>, scopes: &Arc<Mutex<BTreeSet<String>>>) -> Rule {
    let (markers, scopes) = (Arc::clone(markers), Arc::clone(scopes));
    mock!(Table::transact_write_items).then_compute_response(move |input: &TransactWriteItemsInput| {
        let puts = input.transact_items().iter().filter_map(|action| action.put());
        let wanted: Vec<_> = puts.map(|put| put.item()["scope"].as_s().unwrap().clone()).collect();
        let mut known = markers.lock().unwrap();
        if wanted.iter().any(|marker| known.contains(marker)) {
            let code = |marker| if known.contains(marker) { "ConditionalCheckFailed" } else { "None" };
            let reasons =
                wanted.iter().map(|marker| CancellationReason::builder().code(code(marker)).build()).collect();
            let canceled = TransactionCanceledException::builder().set_cancellation_reasons(Some(reasons)).build();
            return MockResponse::Error(TransactWriteItemsError::TransactionCanceledException(canceled));
        }
        known.extend(wanted);
        let updates = input.transact_items().iter().filter_map(|action| action.update());
        scopes.lock().unwrap().extend(updates.map(|update| update.key()["scope"].as_s().unwrap().clone()));
        MockResponse::Output(TransactWriteItemsOutput::builder().build())
    })
}

#[tokio::test]
async fn a_message_that_comes_again_is_counted_once() {
    let (markers, scopes) = (Arc::default(), Arc::default());
    let (history, cloudwatch) = (remembers(&markers, &scopes), stored());
    let emitter = emitter_of(&cloudwatch, &[], &history, &[]);
    let tags = json!({"applicationId": "helper", "userId": "Jo", "run": "7", "timestamp": "2026-11-21T05:00:00Z", "modelMetric": "nova"});
    let bodies = [
        record("Succeeded", json!({"executionId": "run-1", "usage": usage()["usage"], "tags": tags})),
        record("Denied", json!({"executionId": "run-2", "code": "BudgetExceeded"})),
    ];
    for _ in 0..2 {
        assert_eq!(emitter.emit(batch(&bodies), now()).await, BatchAnswer::default());
    }
    assert_eq!(*markers.lock().unwrap(), BTreeSet::from(["request#run-1", "request#run-2"].map(str::to_owned)));
    let scopes = scopes.lock().unwrap();
    for scope in ["run#7", "user#jo", "costCenter#unspecified+model#amazon.nova-lite-v1:0", "costCenter#support"] {
        assert!(scopes.contains(scope), "{scope} in {scopes:?}");
    }
    assert_eq!((history.num_calls(), cloudwatch.num_calls()), (2, 2));
}

#[tokio::test]
async fn a_history_that_cannot_be_written_keeps_back_no_alert_and_its_message_comes_again() {
    let history = mock!(Table::transact_write_items).then_error(|| {
        TransactWriteItemsError::generic(ErrorMetadata::builder().code("ResourceNotFoundException").build())
    });
    let ledger = mock!(Table::update_item).then_output(|| UpdateItemOutput::builder().build());
    let sns = mock!(Sns::publish).then_output(|| PublishOutput::builder().build());
    let alert = json!({"scope": "user#jo", "window": "2026-11", "windowKey": "2026-11", "threshold": 80, "unit": "requests",
                       "limit": "10", "used": "8"});
    let cloudwatch = stored();
    let emitter = emitter_of(&cloudwatch, &[&ledger, &ledger], &history, &[&sns]);
    let answer = emitter.emit(batch(&[record("Succeeded", json!({"alerts": [alert]}))]), now()).await;
    assert_eq!(failed(&answer), ["m0"]);
    assert_eq!((sns.num_calls(), cloudwatch.num_calls()), (1, 0));
}
