//! The ceiling of the values in dimensions.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::Client as Table;
use aws_sdk_dynamodb::operation::get_item::{GetItemError, GetItemInput, GetItemOutput};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsInput;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_smithy_mocks::MockResponse;

use super::*;

/// The lists of a table by `scope` and `day`.
type Lists = Arc<Mutex<BTreeMap<(String, String), Vec<AttributeValue>>>>;

fn key(key: &HashMap<String, AttributeValue>) -> (String, String) {
    (key["scope"].as_s().unwrap().clone(), key["day"].as_s().unwrap().clone())
}

fn item(list: &[AttributeValue]) -> HashMap<String, AttributeValue> {
    HashMap::from([("values".to_owned(), AttributeValue::L(list.to_vec()))])
}

/// The condition and the update of the lists, on a list in memory. The end-to-end test has the same on a DynamoDB.
fn updated(lists: &Lists, input: &UpdateItemInput) -> MockResponse<UpdateItemOutput, UpdateItemError> {
    let values = input.expression_attribute_values().unwrap();
    let most: usize = values[":most"].as_n().unwrap().parse().unwrap();
    let mut lists = lists.lock().unwrap();
    let known = lists.get(&key(input.key().unwrap())).cloned();
    if known.as_ref().is_some_and(|list| list.len() >= most || list.contains(&values[":value"])) {
        let failed = ConditionalCheckFailedException::builder().set_item(known.map(|list| item(&list))).build();
        return MockResponse::Error(UpdateItemError::ConditionalCheckFailedException(failed));
    }
    let list = lists.entry(key(input.key().unwrap())).or_default();
    list.extend(values[":added"].as_l().unwrap().iter().cloned());
    MockResponse::Output(UpdateItemOutput::builder().set_attributes(Some(item(list))).build())
}

fn rules(lists: &Lists) -> [Rule; 2] {
    let (read, written) = (Arc::clone(lists), Arc::clone(lists));
    let get = mock!(Table::get_item).then_compute_output(move |input: &GetItemInput| {
        let found = read.lock().unwrap().get(&key(input.key().unwrap())).map(|list| item(list));
        GetItemOutput::builder().set_item(found).build()
    });
    let update = mock!(Table::update_item).then_compute_response(move |input| updated(&written, input));
    [get, update]
}

/// A client of a table with these lists.
fn of_lists(lists: &Lists) -> Table {
    let [get, update] = rules(lists);
    mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&get, &update])
}

/// A client of an empty table.
pub fn table() -> Table {
    of_lists(&Lists::default())
}

type Calls = Arc<Mutex<Vec<PutMetricDataInput>>>;

fn keeps(calls: &Calls) -> Rule {
    let calls = Arc::clone(calls);
    mock!(Client::put_metric_data).then_compute_output(move |input| {
        calls.lock().unwrap().push(input.clone());
        PutMetricDataOutput::builder().build()
    })
}

/// The requests of each application in the history.
type Counted = Arc<Mutex<BTreeMap<String, u64>>>;

fn counts(counted: &Counted) -> Rule {
    let counted = Arc::clone(counted);
    mock!(Table::transact_write_items).then_compute_output(move |input: &TransactWriteItemsInput| {
        let mut counted = counted.lock().unwrap();
        for update in input.transact_items().iter().filter_map(|action| action.update()) {
            let scope = update.key()["scope"].as_s().unwrap();
            if let Some(application) = scope.strip_prefix("application#").filter(|rest| !rest.contains('+')) {
                *counted.entry(application.to_owned()).or_default() += 1;
            }
        }
        TransactWriteItemsOutput::builder().build()
    })
}

fn emitter_of_lists(cloudwatch: &Rule, history: &Rule, lists: &Lists, most: usize) -> Emitter {
    let emitter = emitter_of(cloudwatch, &[], history, &[]);
    Emitter { values: MetricValues::new(of_lists(lists), "usage".to_owned(), most), ..emitter }
}

fn of_application(application: &str, month: u32) -> String {
    let tags = json!({"applicationId": application, "costCenter": "support", "timestamp": format!("2026-{month:02}-21T05:00:00Z")});
    record(
        "Succeeded",
        json!({"executionId": format!("run of {application}"), "usage": usage()["usage"], "tags": tags}),
    )
}

/// The five values of each datum of `TotalRequests`, with the number of requests. Each datum is one request.
fn requests(calls: &Calls) -> BTreeMap<Vec<String>, u64> {
    let mut found = BTreeMap::new();
    for call in calls.lock().unwrap().iter() {
        assert!(call.metric_data().len() <= 1_000);
        for datum in call.metric_data().iter().filter(|datum| datum.metric_name() == Some("TotalRequests")) {
            let values = datum.dimensions().iter().map(|dimension| dimension.value().unwrap().to_owned()).collect();
            assert_eq!(datum.value(), Some(1.0));
            *found.entry(values).or_default() += 1;
        }
    }
    found
}

fn applications(calls: &Calls) -> Vec<String> {
    requests(calls).into_keys().map(|five| five[3].clone()).collect()
}

#[tokio::test]
async fn ten_thousand_applications_make_no_more_combinations_than_the_ceiling_and_are_all_counted() {
    let (lists, calls, counted) = (Lists::default(), Calls::default(), Counted::default());
    let (cloudwatch, history) = (keeps(&calls), counts(&counted));
    // Two environments of the function take turns.
    let emitters = [0, 1].map(|_| emitter_of_lists(&cloudwatch, &history, &lists, 200));
    let applications: Vec<String> =
        (0..10_000_u64).map(|n| format!("{:016x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15))).collect();
    for (turn, batch_of) in applications.chunks(100).enumerate() {
        let bodies: Vec<_> = batch_of.iter().map(|application| of_application(application, 11)).collect();
        assert_eq!(emitters[turn % 2].emit(batch(&bodies), now()).await, BatchAnswer::default());
    }
    let requests = requests(&calls);
    let (others, kept): (Vec<_>, Vec<_>) = requests.iter().partition(|(five, _)| five[3] == "other");
    assert_eq!((kept.len(), others.len()), (200, 1));
    assert!(kept.iter().all(|(five, count)| applications[..200].contains(&five[3]) && **count == 1));
    assert_eq!(requests.values().sum::<u64>(), 10_000);
    let counted = counted.lock().unwrap();
    assert_eq!(counted.len(), 10_000);
    assert!(applications.iter().all(|application| counted[application] == 1));
    let lines = crate::audit::tests::LINES.take();
    let of_line = |line: &String| {
        serde_json::from_str::<Value>(line).unwrap()["tags"]["applicationId"].as_str().unwrap().to_owned()
    };
    assert_eq!(lines.iter().map(of_line).collect::<Vec<_>>(), applications);
}

#[tokio::test]
async fn a_month_begins_with_an_empty_list() {
    let (lists, calls) = (Lists::default(), Calls::default());
    let emitter = emitter_of_lists(&keeps(&calls), &counts(&Counted::default()), &lists, 2);
    let of_months = [("a", 11), ("b", 11), ("c", 11), ("c", 12), ("a", 12), ("b", 12)];
    let bodies = of_months.map(|(application, month)| of_application(application, month));
    emitter.emit(batch(&bodies), now()).await;
    // `b` is `other` in December, and `c` in November.
    let requests: BTreeMap<_, _> = requests(&calls).into_iter().map(|(five, count)| (five[3].clone(), count)).collect();
    assert_eq!(
        requests,
        BTreeMap::from([("a", 2), ("b", 1), ("c", 1), ("other", 2)].map(|(name, count)| (name.to_owned(), count)))
    );
    let days: BTreeSet<_> = lists.lock().unwrap().keys().map(|(_, day)| day.clone()).collect();
    assert_eq!(days, BTreeSet::from(["2026-11", "2026-12"].map(str::to_owned)));
}

#[tokio::test]
async fn combinations_have_a_ceiling_too() {
    let (lists, calls) = (Lists::default(), Calls::default());
    let emitter = emitter_of_lists(&keeps(&calls), &counts(&Counted::default()), &lists, 3);
    let names = ["a", "b", "c"];
    let all = names.iter().flat_map(|application| names.map(|center| (application, center)));
    let all = all.flat_map(|(application, center)| names.map(|environment| (application, center, environment)));
    let bodies: Vec<_> = all
        .map(|(application, center, environment)| {
            let tags = json!({"applicationId": application, "costCenter": center, "environment": environment,
                              "timestamp": "2026-11-21T05:00:00Z"});
            record("Succeeded", json!({"executionId": format!("{application}{center}{environment}"), "tags": tags}))
        })
        .collect();
    assert_eq!(bodies.len(), 27);
    emitter.emit(batch(&bodies), now()).await;
    let requests = requests(&calls);
    assert_eq!(requests.len(), 3 * 5 + 1);
    assert_eq!(requests[&vec!["other".to_owned(); 5]], 12);
}

#[tokio::test]
async fn a_value_that_cannot_be_kept_is_other_and_the_metrics_are_stored() {
    let calls = Calls::default();
    let cloudwatch = keeps(&calls);
    let broken = mock!(Table::get_item)
        .then_error(|| GetItemError::generic(ErrorMetadata::builder().code("ResourceNotFoundException").build()));
    let table = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&broken]);
    let emitter = emitter_of(&cloudwatch, &[], &counts(&Counted::default()), &[]);
    let emitter = Emitter { values: MetricValues::new(table, "usage".to_owned(), 200), ..emitter };
    let bodies = ["a", "b"].map(|application| of_application(application, 11));
    assert_eq!(emitter.emit(batch(&bodies), now()).await, BatchAnswer::default());
    assert_eq!((applications(&calls), broken.num_calls()), (vec!["other".to_owned()], 1));
}

#[tokio::test]
async fn scopes_of_budgets_have_a_ceiling_and_the_others_show_their_highest_figure() {
    let (lists, calls) = (Lists::default(), Calls::default());
    let emitter = emitter_of_lists(&keeps(&calls), &counts(&Counted::default()), &lists, 1);
    let bodies = [("jo", 10), ("flo", 70), ("mo", 40)].map(|(user, used)| {
        let units = json!({"limit": 100, "used": used, "reserved": 0, "remaining": 100 - used});
        let entry = json!({"scope": format!("user#{user}"), "window": "total", "source": "user", "output": units});
        record("Succeeded", json!({"executionId": user, "budget": [entry]}))
    });
    emitter.emit(batch(&bodies), now()).await;
    let calls = calls.lock().unwrap();
    let others: BTreeSet<_> = calls.iter().flat_map(others).collect();
    let expected = ["BudgetUsedPercent{Scope=user#jo} 10", "BudgetUsedPercent{Scope=other} 70"];
    assert_eq!(others, BTreeSet::from(expected.map(str::to_owned)));
}

#[tokio::test]
async fn durations_of_a_batch_are_one_datum_for_each_metric_and_minute() {
    let calls = Calls::default();
    let emitter = emitter(&keeps(&calls));
    let of_seconds = |second: u32| {
        let at = |second: u32| format!("2026-11-21T05:00:{second:02}.500Z");
        let times = json!({"started": at(0), "validated": at(0), "gathered": at(1), "decided": at(1), "ended": at(1 + second),
                           "finished": at(2 + second)});
        json!({"executionId": format!("{second}"), "times": times})
    };
    let failed = json!({"executionId": "failed", "code": "ModelThrottled", "times": of_seconds(1)["times"]});
    let bodies = [
        record("Succeeded", of_seconds(7)),
        record("Succeeded", of_seconds(9)),
        record("Succeeded", json!({"executionId": "again", "times": of_seconds(7)["times"]})),
        record("InvocationFailed", failed),
    ];
    emitter.emit(batch(&bodies), now()).await;
    let calls = calls.lock().unwrap();
    let durations = calls[0].metric_data().iter().filter(|datum| !datum.values().is_empty());
    let shown: Vec<_> = durations
        .map(|datum| {
            let dimensions: Vec<_> = datum.dimensions().iter().map(|dimension| dimension.value().unwrap()).collect();
            let unit = datum.unit().unwrap().as_str();
            format!(
                "{} {dimensions:?} {:?} x {:?} {unit}",
                datum.metric_name().unwrap(),
                datum.values(),
                datum.counts()
            )
        })
        .collect();
    insta::assert_json_snapshot!("durations_of_a_batch", shown);
}

#[tokio::test]
async fn a_batch_with_more_data_than_a_call_takes_is_several_calls() {
    let (lists, calls) = (Lists::default(), Calls::default());
    let scopes: Vec<String> = (0..1_200).map(|user| format!("user#{user}")).collect();
    let known = scopes.iter().map(|scope| AttributeValue::S(scope.clone())).collect();
    lists.lock().unwrap().insert(("metric-values#Scope".to_owned(), "2026-11".to_owned()), known);
    let emitter = emitter_of_lists(&keeps(&calls), &counts(&Counted::default()), &lists, 2_000);
    let units = json!({"limit": 100, "used": 10, "reserved": 0, "remaining": 90});
    let of_scopes = |scopes: &[String]| {
        let entry = |scope| json!({"scope": scope, "window": "total", "source": "user", "output": units});
        let budget: Vec<_> = scopes.iter().map(entry).collect();
        record("Succeeded", json!({"executionId": scopes[0], "budget": budget}))
    };
    let bodies: Vec<_> = scopes.chunks(20).map(of_scopes).collect();
    assert_eq!(emitter.emit(batch(&bodies), now()).await, BatchAnswer::default());
    // `requests` checks the size of each call.
    assert_eq!(requests(&calls).into_values().sum::<u64>(), 60);
    let calls = calls.lock().unwrap();
    let found: BTreeSet<_> = calls.iter().flat_map(others).collect();
    assert_eq!(found.len(), 1_200);
    assert!(calls.len() > 1);
}
