//! The calls that a run makes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_sdk_cloudwatch::operation::get_metric_data::{GetMetricDataInput, GetMetricDataOutput};
use aws_sdk_cloudwatch::operation::list_metrics::ListMetricsOutput;
use aws_sdk_cloudwatch::operation::put_metric_data::PutMetricDataOutput;
use aws_sdk_cloudwatch::types::{Metric, MetricDataResult, RecentlyActive, StatusCode};
use aws_sdk_dynamodb::operation::query::QueryOutput;
use aws_sdk_dynamodb::operation::update_item::UpdateItemOutput;
use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
use aws_smithy_mocks::{Rule, RuleMode, mock};
use test_support::{at, mock_client};

use super::*;

const MODEL: &str = "us.amazon.nova-lite-v1:0";

fn now() -> DateTime<Utc> {
    at("2026-11-21T12:00:00Z")
}

fn metric(namespace: &str, dimensions: &[(&str, &str)], name: &str) -> Metric {
    let dimensions = dimensions.iter().map(|(name, value)| Dimension::builder().name(*name).value(*value).build());
    Metric::builder().namespace(namespace).metric_name(name).set_dimensions(Some(dimensions.collect())).build()
}

/// Two pages of the runtime's metrics, and one page of the other endpoint's.
fn lists() -> Vec<Rule> {
    let of =
        |namespace: &'static str, token: Option<&'static str>, next: Option<&'static str>, metrics: Vec<Metric>| {
            mock!(Client::list_metrics)
                .match_requests(move |list| {
                    list.namespace() == Some(namespace)
                        && list.next_token() == token
                        && list.recently_active().map(RecentlyActive::as_str) == Some("PT3H")
                })
                .then_output(move || {
                    ListMetricsOutput::builder()
                        .set_metrics(Some(metrics.clone()))
                        .set_next_token(next.map(str::to_owned))
                        .build()
                })
        };
    let runtime = |name| metric("AWS/Bedrock", &[("ModelId", MODEL)], name);
    let other = [("ContextWindow", "x"), ("ModelId", MODEL)];
    vec![
        of(
            "AWS/Bedrock",
            None,
            Some("more"),
            vec![
                runtime("Invocations"),
                runtime("InputTokenCount"),
                runtime("CacheReadInputTokens"),
                metric("AWS/Bedrock", &other, "InputTokenCount"),
            ],
        ),
        of("AWS/Bedrock", Some("more"), None, vec![runtime("OutputTokenCount"), runtime("CacheReadInputTokenCount")]),
        of(
            "AWS/BedrockMantle",
            None,
            None,
            vec![
                metric("AWS/BedrockMantle", &[("Model", MODEL)], "TotalOutputTokens"),
                metric("AWS/BedrockMantle", &[("Model", MODEL), ("Project", "p")], "OutputTokens"),
            ],
        ),
    ]
}

/// Answers a query by the name of its metric: a point in each of these minutes.
fn data(points: &'static [(&'static str, i64, f64)], status: StatusCode) -> Rule {
    mock!(Client::get_metric_data).then_compute_output(move |asked: &GetMetricDataInput| {
        let results = asked.metric_data_queries().iter().map(|query| {
            let stat = query.metric_stat().unwrap();
            assert_eq!(stat.period(), Some(60));
            let name = stat.metric().unwrap().metric_name().unwrap();
            let of_metric = || points.iter().filter(|(metric, _, _)| *metric == name);
            let second = |minute: i64| SdkDateTime::from_secs(at("2026-11-21T00:00:00Z").timestamp() + 60 * minute);
            MetricDataResult::builder()
                .id(query.id().unwrap())
                .set_timestamps(Some(of_metric().map(|(_, minute, _)| second(*minute)).collect()))
                .set_values(Some(of_metric().map(|(_, _, value)| *value).collect()))
                .status_code(status.clone())
                .build()
        });
        GetMetricDataOutput::builder().set_metric_data_results(Some(results.collect())).build()
    })
}

const POINTS: &[(&str, i64, f64)] = &[
    ("InputTokenCount", 10, 100.0),
    ("InputTokenCount", 700, 200.0),
    ("OutputTokenCount", 700, 50.0),
    // The same tokens under both names, and tokens under one of them.
    ("CacheReadInputTokens", 700, 7.0),
    ("CacheReadInputTokenCount", 700, 7.0),
    ("CacheReadInputTokenCount", 701, 3.0),
    ("TotalOutputTokens", 702, 1_000.0),
];

fn day(scope: &str, numbers: &[(&str, u64)]) -> HashMap<String, AttributeValue> {
    let keys = [("scope", S(scope.to_owned())), ("day", S("2026-11-21".to_owned()))];
    let numbers = numbers.iter().map(|(name, number)| (*name, N(number.to_string())));
    keys.into_iter().chain(numbers).map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The items of a scope.
fn items(scope: &'static str, numbers: &'static [(&'static str, u64)]) -> Rule {
    mock!(aws_sdk_dynamodb::Client::query)
        .match_requests(move |query| query.expression_attribute_values().unwrap()[":scope"] == S(scope.to_owned()))
        .then_output(move || {
            let items = if numbers.is_empty() { vec![] } else { vec![day(scope, numbers)] };
            QueryOutput::builder().set_items(Some(items)).build()
        })
}

type Written = Arc<Mutex<Vec<(String, HashMap<String, AttributeValue>)>>>;

/// Keeps each update: its condition and its values.
fn writes(written: &Written) -> Rule {
    let written = Arc::clone(written);
    mock!(aws_sdk_dynamodb::Client::update_item).then_compute_output(move |update| {
        let condition = update.condition_expression().unwrap().to_owned();
        written.lock().unwrap().push((condition, update.expression_attribute_values().unwrap().clone()));
        UpdateItemOutput::builder().build()
    })
}

/// Keeps the published values.
fn publishes(published: &Arc<Mutex<Vec<f64>>>) -> Rule {
    let published = Arc::clone(published);
    mock!(Client::put_metric_data)
        .match_requests(|put| put.namespace() == Some("GenAIRateLimiting"))
        .then_compute_output(move |put| {
            for datum in put.metric_data() {
                assert_eq!(datum.metric_name(), Some("UngovernedTokens"));
                assert_eq!(datum.dimensions()[0].value(), Some(MODEL));
                published.lock().unwrap().push(datum.value().unwrap());
            }
            PutMetricDataOutput::builder().build()
        })
}

/// A run with these answers: CloudWatch's points, the model's history, and its last figures.
async fn run(
    data: Rule,
    history: &'static [(&'static str, u64)],
    figures: &'static [(&'static str, u64)],
) -> (Result<Report, Failure>, Vec<f64>, Vec<(String, HashMap<String, AttributeValue>)>) {
    let (published, written) = (Arc::default(), Written::default());
    let mut rules = lists();
    rules.extend([data, publishes(&published)]);
    let rules: Vec<&Rule> = rules.iter().collect();
    let client = mock_client!(aws_sdk_cloudwatch, RuleMode::MatchAny, &rules);
    let tables = [
        items("model#us.amazon.nova-lite-v1:0", history),
        items("ungoverned#us.amazon.nova-lite-v1:0", figures),
        writes(&written),
    ];
    let tables = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&tables[0], &tables[1], &tables[2]]);
    let queues = Queues { messages: "metrics".to_owned(), dead_letters: "dead".to_owned() };
    let watch = Watch::new(client, History::new(tables, "usage".to_owned()), queues, TimeDelta::seconds(30));
    let report = watch.run(now()).await;
    let (published, written) = (published.lock().unwrap().clone(), written.lock().unwrap().clone());
    (report, published, written)
}

fn numbers(values: &HashMap<String, AttributeValue>, names: &[&str]) -> Vec<String> {
    names.iter().map(|name| values[*name].as_n().unwrap().clone()).collect()
}

#[tokio::test]
async fn a_first_look_remembers_what_cloudwatch_has_counted_and_publishes_nothing() {
    let (report, published, written) = run(data(POINTS, StatusCode::Complete), &[], &[]).await;
    assert_eq!(report.unwrap(), Report { looked_at: 1, published: 0, in_doubt: false });
    assert_eq!((published.len(), written.len()), (0, 1));
    let (condition, values) = &written[0];
    assert_eq!(condition, "attribute_not_exists(#at)");
    assert_eq!(numbers(values, &[":input", ":output", ":seenInput", ":seenOutput"]), ["0", "0", "310", "1050"]);
    // 401 days after 2026-11-21.
    assert_eq!(numbers(values, &[":expires"]), ["1829865600"]);
}

#[tokio::test]
async fn the_rest_of_an_earlier_look_is_published_once() {
    // The history has 290 input and 40 output tokens, 20 of them in holds of calls whose usage is unknown.
    let history = &[("input", 260), ("cacheRead", 10), ("output", 40), ("unknown", 1), ("unknownInput", 20)];
    let figures = &[("seenInput", 310), ("seenOutput", 1_050), ("seenAt", 1_795_262_340), ("published", 0)];
    let (report, published, written) = run(data(POINTS, StatusCode::Complete), history, figures).await;
    assert_eq!(report.unwrap().published, 20 + 1_010);
    assert_eq!(published, [1_030.0]);
    assert_eq!(written.len(), 2);
    assert_eq!(written[0].0, "#at = :before");
    assert_eq!(numbers(&written[0].1, &[":input", ":output", ":before"]), ["20", "1010", "1795262340"]);
    assert_eq!(written[1].0, "attribute_not_exists(#published) OR #published = :before");
    assert_eq!(numbers(&written[1].1, &[":before", ":total"]), ["0", "1030"]);
}

#[tokio::test]
async fn an_increase_that_an_earlier_run_did_not_publish_is_published() {
    let figures = &[
        ("input", 310),
        ("output", 1_050),
        ("seenInput", 310),
        ("seenOutput", 1_050),
        ("seenAt", 1_795_262_000),
        ("published", 60),
    ];
    let (report, published, written) = run(data(POINTS, StatusCode::Complete), &[], figures).await;
    assert_eq!((report.unwrap().published, published), (1_300, vec![1_300.0]));
    assert_eq!(written.len(), 1);
    assert_eq!(written[0].0, "#published = :before");
    assert_eq!(numbers(&written[0].1, &[":before", ":total"]), ["60", "1360"]);
}

#[tokio::test]
async fn an_incomplete_answer_changes_nothing() {
    for status in [StatusCode::PartialData, StatusCode::InternalError, StatusCode::Forbidden] {
        let figures = &[("seenInput", 310), ("seenAt", 1_795_262_000)];
        let (report, published, written) = run(data(POINTS, status), &[], figures).await;
        assert_eq!(report.unwrap_err().name(), "UsageUnavailable");
        assert_eq!((published.len(), written.len()), (0, 0));
    }
}

#[tokio::test]
async fn nothing_is_decided_while_messages_for_the_history_are_late_or_lost() {
    const LATE: &[(&str, i64, f64)] = &[("OutputTokenCount", 700, 5.0), ("ApproximateAgeOfOldestMessage", 715, 46.0)];
    const LOST: &[(&str, i64, f64)] =
        &[("OutputTokenCount", 700, 5.0), ("ApproximateNumberOfMessagesVisible", 715, 1.0)];
    const USUAL: &[(&str, i64, f64)] = &[
        ("OutputTokenCount", 700, 5.0),
        // This was an hour ago.
        ("ApproximateAgeOfOldestMessage", 660, 900.0),
        ("ApproximateAgeOfOldestMessage", 715, 45.0),
        // The dead letters are processed since.
        ("ApproximateNumberOfMessagesVisible", 714, 3.0),
        ("ApproximateNumberOfMessagesVisible", 715, 0.0),
    ];
    let figures = &[("seenOutput", 5), ("seenAt", 1_795_262_000)];
    for points in [LATE, LOST] {
        let (report, published, written) = run(data(points, StatusCode::Complete), &[], figures).await;
        assert!(report.unwrap().in_doubt);
        assert_eq!((published.len(), written.len()), (0, 0));
    }
    let (report, published, _) = run(data(USUAL, StatusCode::Complete), &[], figures).await;
    assert_eq!((report.unwrap().in_doubt, published), (false, vec![5.0]));
}
