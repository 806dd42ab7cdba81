//! Alerts: who publishes, in which order, and the effects of failures.

use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client as Ledger;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
use aws_sdk_dynamodb::types::error::{
    ConditionalCheckFailedException, InternalServerError, TransactionConflictException,
};
use aws_sdk_sns::Client as Sns;
use aws_sdk_sns::operation::publish::{PublishError, PublishInput, PublishOutput};
use aws_sdk_sns::types::error::InternalErrorException;
use aws_smithy_mocks::{MockResponse, Rule, mock};

use super::*;

/// All steps, in order, and the services that record them.
#[derive(Clone, Default)]
struct Steps(Arc<Mutex<Vec<String>>>);

impl Steps {
    fn note(&self, step: impl Into<String>) {
        self.0.lock().unwrap().push(step.into());
    }

    fn taken(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// A ledger that fails a step with the error that `refusal` returns for its number (from 0) and its name, such as
    /// `claim a#80`. `None` lets the step succeed.
    fn ledger(&self, refusal: impl Fn(usize, &str) -> Option<UpdateItemError> + Send + Sync + 'static) -> Rule {
        let steps = self.clone();
        mock!(Ledger::update_item).then_compute_response(move |input| {
            let step = step(input);
            let number = steps.taken().len();
            steps.note(&step);
            match refusal(number, &step) {
                None => MockResponse::Output(UpdateItemOutput::builder().build()),
                Some(error) => MockResponse::Error(error),
            }
        })
    }

    fn sns(&self) -> Rule {
        let steps = self.clone();
        mock!(Sns::publish).then_output(move || {
            steps.note("publish");
            PublishOutput::builder().build()
        })
    }

    fn broken_sns(&self) -> Rule {
        let steps = self.clone();
        mock!(Sns::publish).then_error(move || {
            steps.note("publish");
            PublishError::InternalErrorException(InternalErrorException::builder().build())
        })
    }

    fn cloudwatch(&self) -> Rule {
        let steps = self.clone();
        mock!(Client::put_metric_data).then_compute_output(move |input| {
            let requests = input.metric_data().iter().filter(|d| d.metric_name() == Some("TotalRequests")).count();
            steps.note(format!("store {requests}"));
            PutMetricDataOutput::builder().build()
        })
    }
}

/// The name of an update, which must be one of the protocol's.
fn step(input: &UpdateItemInput) -> String {
    let key = input.key().unwrap();
    assert_eq!((&key["scope"], &key["window"]), (&S("costCenter#support".into()), &S("2026-11@UTC".into())));
    assert_eq!(input.table_name(), Some("ledger"));
    let names = input.expression_attribute_names().unwrap();
    let values = input.expression_attribute_values().unwrap();
    let kept = (input.update_expression().unwrap(), input.condition_expression().unwrap());
    let name = match kept {
        ("SET #mark = :until", "attribute_exists(#scope) AND (attribute_not_exists(#mark) OR #mark < :now)") => {
            assert_eq!(values[":now"], second(NOW));
            assert_eq!(values[":until"], second(NOW + 120));
            assert_eq!(names["#scope"], "scope");
            "claim"
        }
        ("REMOVE #mark", "#mark = :until") => {
            assert_eq!(values[":until"], second(NOW + 120));
            "give back"
        }
        ("SET #mark = :sent", "attribute_exists(#scope)") => {
            assert_eq!(values[":sent"], second(9_999_999_999));
            assert_eq!(names["#scope"], "scope");
            "mark"
        }
        other => panic!("{other:?}"),
    };
    format!("{name} {}", names["#mark"])
}

fn second(second: i64) -> AttributeValue {
    N(second.to_string())
}

pub fn alert(threshold: u8) -> Value {
    json!({
        "scope": "costCenter#support", "window": "2026-11", "windowKey": "2026-11@UTC", "resetsAt": "2026-12-01T00:00:00Z",
        "threshold": threshold, "unit": "output", "limit": "1000", "used": "812"
    })
}

fn alerting(thresholds: &[u8]) -> String {
    record("Succeeded", json!({"alerts": thresholds.iter().map(|&threshold| alert(threshold)).collect::<Vec<_>>()}))
}

fn taken() -> UpdateItemError {
    let item = [("scope".to_owned(), S("costCenter#support".into()))].into();
    UpdateItemError::ConditionalCheckFailedException(
        ConditionalCheckFailedException::builder().set_item(Some(item)).build(),
    )
}

fn item_gone() -> UpdateItemError {
    UpdateItemError::ConditionalCheckFailedException(ConditionalCheckFailedException::builder().build())
}

fn conflict() -> UpdateItemError {
    UpdateItemError::TransactionConflictException(TransactionConflictException::builder().build())
}

fn lost() -> UpdateItemError {
    UpdateItemError::InternalServerError(InternalServerError::builder().build())
}

/// The steps for messages with these `bodies`, and the messages that are delivered again.
async fn run(steps: &Steps, ledger: &Rule, sns: &Rule, bodies: &[String]) -> (Vec<String>, Vec<String>) {
    let answer = emitter_with(&steps.cloudwatch(), &[ledger], &[sns]).emit(batch(bodies), now()).await;
    (steps.taken(), failed(&answer).into_iter().map(str::to_owned).collect())
}

#[tokio::test]
async fn an_alert_is_claimed_published_marked_and_counted_in_this_order() {
    let steps = Steps::default();
    let (ledger, sns) = (steps.ledger(|_, _| None), steps.sns());
    let (done, again) = run(&steps, &ledger, &sns, &[alerting(&[80])]).await;
    assert_eq!(done, ["claim a#80", "publish", "mark a#80", "store 1"]);
    assert!(again.is_empty());
}

fn attribute<'a>(input: &'a PublishInput, name: &str) -> Option<&'a str> {
    input.message_attributes()?.get(name)?.string_value()
}

#[tokio::test]
async fn a_published_alert_is_a_message_to_the_topic_and_a_metric() {
    let steps = Steps::default();
    let sns = mock!(Sns::publish)
        .match_requests(|input| {
            let message: Value = serde_json::from_str(input.message().unwrap()).unwrap();
            input.topic_arn() == Some("topic")
                && input.subject() == Some("Budget alert: 80% of costCenter#support")
                && message["used"] == "812"
                && message["content"]["title"] == "Budget alert: 80% of costCenter#support"
                && attribute(input, "scope") == Some("costCenter#support")
                && attribute(input, "scopeKind") == Some("costCenter")
                && attribute(input, "threshold") == Some("80")
        })
        .then_output(|| PublishOutput::builder().build());
    let cloudwatch = mock!(Client::put_metric_data)
        .match_requests(|input| {
            let expected = "BudgetAlerts{Scope=costCenter#support,Threshold=80} 1".to_owned();
            values(input).len() == 6 && others(input) == BTreeSet::from([expected])
        })
        .then_output(|| PutMetricDataOutput::builder().build());
    emitter_with(&cloudwatch, &[&steps.ledger(|_, _| None)], &[&sns]).emit(batch(&[alerting(&[80])]), now()).await;
    assert_eq!((sns.num_calls(), cloudwatch.num_calls()), (1, 1));
}

#[tokio::test]
async fn an_alert_that_somebody_else_has_claimed_or_that_has_no_window_any_more_is_dropped() {
    for refusal in [taken, item_gone] {
        let steps = Steps::default();
        let (ledger, sns) = (steps.ledger(move |_, _| Some(refusal())), steps.sns());
        let (done, again) = run(&steps, &ledger, &sns, &[alerting(&[80])]).await;
        assert_eq!(done, ["claim a#80", "store 1"]);
        assert!(again.is_empty());
    }
}

#[tokio::test]
async fn an_alert_that_cannot_be_published_is_given_back_and_its_request_is_not_counted_yet() {
    let steps = Steps::default();
    let (ledger, sns) = (steps.ledger(|_, _| None), steps.broken_sns());
    let (done, again) = run(&steps, &ledger, &sns, &[alerting(&[80]), record("Succeeded", usage())]).await;
    assert_eq!(done, ["claim a#80", "publish", "give back a#80", "store 1"]);
    assert_eq!(again, ["m0"]);
}

#[tokio::test]
async fn one_message_brings_an_alert_again_and_the_others_of_its_batch_do_not_wait_for_it() {
    let steps = Steps::default();
    let (ledger, sns) = (steps.ledger(|_, _| None), steps.broken_sns());
    let bodies = [alerting(&[80]), alerting(&[80]), alerting(&[80, 100]), alerting(&[100])];
    let (done, again) = run(&steps, &ledger, &sns, &bodies).await;
    // After the first failure, no other alert is tried in this batch.
    assert_eq!(done, ["claim a#80", "publish", "give back a#80", "store 2"]);
    assert_eq!(again, ["m0", "m2"]);
}

#[tokio::test]
async fn an_alert_of_several_messages_of_a_batch_is_claimed_once() {
    let steps = Steps::default();
    let (ledger, sns) = (steps.ledger(|_, _| None), steps.sns());
    let (done, again) = run(&steps, &ledger, &sns, &[alerting(&[50]), alerting(&[50, 80])]).await;
    assert_eq!(done, ["claim a#50", "publish", "mark a#50", "claim a#80", "publish", "mark a#80", "store 2"]);
    assert!(again.is_empty());
}

#[tokio::test]
async fn a_claim_is_repeated_when_it_was_refused_untouched_and_never_when_it_may_have_been_done() {
    let steps = Steps::default();
    let ledger = steps.ledger(|number, _| (number == 0).then(conflict));
    let (done, again) = run(&steps, &ledger, &steps.sns(), &[alerting(&[80])]).await;
    assert_eq!(done, ["claim a#80", "claim a#80", "publish", "mark a#80", "store 1"]);
    assert!(again.is_empty());

    let steps = Steps::default();
    let (done, again) = run(&steps, &steps.ledger(|_, _| Some(lost())), &steps.sns(), &[alerting(&[80])]).await;
    assert_eq!(done, ["claim a#80"]);
    assert_eq!(again, ["m0"]);
}

#[tokio::test]
async fn an_alert_that_is_published_but_not_marked_is_not_published_for_certain_once_more() {
    let steps = Steps::default();
    let ledger = steps.ledger(|_, step| (step == "mark a#80").then(lost));
    let (done, again) = run(&steps, &ledger, &steps.sns(), &[alerting(&[80])]).await;
    assert_eq!(done, ["claim a#80", "publish", "mark a#80", "store 1"]);
    assert!(again.is_empty());
}

#[tokio::test]
async fn a_claim_that_cannot_be_given_back_lapses_and_its_message_is_delivered_again_all_the_same() {
    let steps = Steps::default();
    let ledger = steps.ledger(|_, step| (step == "give back a#80").then(lost));
    let (done, again) = run(&steps, &ledger, &steps.broken_sns(), &[alerting(&[80])]).await;
    assert_eq!(done, ["claim a#80", "publish", "give back a#80"]);
    assert_eq!(again, ["m0"]);
}

#[tokio::test]
async fn alerts_from_the_sweep_are_published_once_and_counted_without_a_request() {
    let steps = Steps::default();
    let swept = json!({"alerts": [alert(50), alert(80)]}).to_string();
    let cloudwatch = mock!(Client::put_metric_data)
        .match_requests(|input| {
            let expected = [50, 80].map(|each| format!("BudgetAlerts{{Scope=costCenter#support,Threshold={each}}} 1"));
            let now = |datum: &aws_sdk_cloudwatch::types::MetricDatum| datum.timestamp().unwrap().secs() == NOW;
            values(input).is_empty() && others(input) == BTreeSet::from(expected) && input.metric_data().iter().all(now)
        })
        .then_output(|| PutMetricDataOutput::builder().build());
    let (ledger, sns) = (steps.ledger(|_, _| None), steps.sns());
    let answer = emitter_with(&cloudwatch, &[&ledger], &[&sns]).emit(batch(&[swept.clone(), swept]), now()).await;
    assert_eq!(answer, BatchAnswer::default());
    assert_eq!(steps.taken(), ["claim a#50", "publish", "mark a#50", "claim a#80", "publish", "mark a#80"]);
    assert_eq!(cloudwatch.num_calls(), 1);
}

#[tokio::test]
async fn alerts_from_the_sweep_that_cannot_be_published_come_again() {
    let steps = Steps::default();
    let (ledger, sns) = (steps.ledger(|_, _| None), steps.broken_sns());
    let (done, again) = run(&steps, &ledger, &sns, &[json!({"alerts": [alert(80)]}).to_string()]).await;
    assert_eq!(done, ["claim a#80", "publish", "give back a#80"]);
    assert_eq!(again, ["m0"]);
}
