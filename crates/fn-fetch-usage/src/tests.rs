//! What CloudWatch answers, and what follows from it.

use std::time::{Duration, Instant};

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::ErrorMetadata;
use aws_sdk_cloudwatch::operation::get_metric_data::{GetMetricDataError, GetMetricDataInput, GetMetricDataOutput};
use aws_sdk_cloudwatch::types::{MetricDataQuery, MetricDataResult, StatusCode};
use aws_smithy_mocks::{MockResponseInterceptor, Rule, RuleMode, create_mock_http_client, mock};
use chrono::{DateTime, Utc};
use sentry_contract::states::{FetchUsageInput, UsageFigure, UsageQuery};
use sentry_domain::TokenUsage;
use sentry_lambda::{Failure, offline_config};

use crate::UsageSource;

const IDS: [&str; 6] = ["input", "output", "cacheRead", "cacheReadCount", "cacheWrite", "cacheWriteCount"];

fn input(window: &str, start: &str) -> FetchUsageInput {
    serde_json::from_value(serde_json::json!({
        "modelMetric": "amazon.nova-lite-v1:0",
        "window": {"name": window, "key": window, "start": start, "resetsAt": "2026-12-01T00:00:00Z"}
    }))
    .unwrap()
}

fn november() -> FetchUsageInput {
    input("2026-11", "2026-11-01T00:00:00Z")
}

fn now() -> DateTime<Utc> {
    "2026-11-21T05:41:13.123Z".parse().unwrap()
}

fn result(id: &str, values: &[f64], status: StatusCode) -> MetricDataResult {
    MetricDataResult::builder().id(id).set_values(Some(values.to_vec())).status_code(status).build()
}

/// One page with the given values of each metric, in the order of `IDS`.
fn page(values: [&[f64]; 6]) -> GetMetricDataOutput {
    let results = IDS.iter().zip(values).map(|(id, values)| result(id, values, StatusCode::Complete)).collect();
    GetMetricDataOutput::builder().set_metric_data_results(Some(results)).build()
}

fn source(rules: &[&Rule], max_age: u64) -> UsageSource {
    let config = aws_sdk_cloudwatch::config::Builder::from(&offline_config(create_mock_http_client()));
    // The first rule that matches answers, in whatever order the queries come.
    let answers = MockResponseInterceptor::new().rule_mode(RuleMode::MatchAny);
    let answers = rules.iter().fold(answers, |answers, rule| answers.with_rule(rule));
    UsageSource::new(Client::from_conf(config.interceptor(answers).build()), Duration::from_secs(max_age))
}

async fn fetch(rules: &[&Rule]) -> Result<UsageFigure, Failure> {
    source(rules, 0).fetch(&november(), now(), Instant::now()).await.map(|found| found.model)
}

#[tokio::test]
async fn every_metric_is_asked_for_exactly_and_from_the_windows_start() {
    let rule = mock!(Client::get_metric_data)
        .match_requests(|request| {
            request.start_time().unwrap().secs() == 1_793_491_200
                && request.end_time().unwrap().secs() == 1_795_239_674
                && request.metric_data_queries().len() == 6
                && request.metric_data_queries().iter().all(|query| {
                    let stat = query.metric_stat().unwrap();
                    let metric = stat.metric().unwrap();
                    let dimension = &metric.dimensions()[0];
                    query.expression().is_none()
                        && (stat.period(), stat.stat()) == (Some(86_400), Some("Sum"))
                        && metric.namespace() == Some("AWS/Bedrock")
                        && metric.dimensions().len() == 1
                        && (dimension.name(), dimension.value()) == (Some("ModelId"), Some("amazon.nova-lite-v1:0"))
                })
        })
        .then_output(|| page([&[1.0, 2.0], &[40.0], &[], &[], &[], &[]]));
    let figure = fetch(&[&rule]).await.unwrap();
    assert_eq!(figure.tokens, TokenUsage { input: 3, output: 40, ..TokenUsage::default() });
    assert_eq!(figure.window, "2026-11");
}

#[tokio::test]
async fn no_data_is_zero_and_cached_tokens_count_once_whatever_their_spelling() {
    let nothing = mock!(Client::get_metric_data).then_output(|| page([&[], &[], &[], &[], &[], &[]]));
    let figure = fetch(&[&nothing]).await.unwrap();
    assert_eq!(figure.tokens, TokenUsage::default());
    let cached = mock!(Client::get_metric_data).then_output(|| page([&[1.0], &[], &[10.0], &[12.0], &[200.0], &[]]));
    let figure = fetch(&[&cached]).await.unwrap();
    assert_eq!(figure.tokens, TokenUsage { input: 1, output: 0, cache_read: 12, cache_write: 200 });
}

#[tokio::test]
async fn every_page_counts_and_only_the_last_ones_status() {
    let first =
        mock!(Client::get_metric_data).match_requests(|request| request.next_token().is_none()).then_output(|| {
            let results = vec![result("input", &[1.0], StatusCode::PartialData)];
            GetMetricDataOutput::builder().set_metric_data_results(Some(results)).next_token("more").build()
        });
    let second = mock!(Client::get_metric_data)
        .match_requests(|request| request.next_token() == Some("more"))
        .then_output(|| page([&[2.0], &[], &[], &[], &[], &[]]));
    assert_eq!(fetch(&[&first, &second]).await.unwrap().tokens.input, 3);
}

#[tokio::test]
async fn what_is_not_complete_is_never_zero() {
    let status = |status: StatusCode| {
        mock!(Client::get_metric_data).then_output(move || {
            let mut output = page([&[], &[], &[], &[], &[], &[]]);
            output.metric_data_results.as_mut().unwrap()[3] = result("cacheReadCount", &[], status.clone());
            output
        })
    };
    let missing = mock!(Client::get_metric_data).then_output(|| GetMetricDataOutput::builder().build());
    let negative = mock!(Client::get_metric_data).then_output(|| page([&[-1.0], &[], &[], &[], &[], &[]]));
    let failed = mock!(Client::get_metric_data)
        .then_error(|| GetMetricDataError::generic(ErrorMetadata::builder().code("Throttling").build()));
    let rules = [
        status(StatusCode::PartialData),
        status(StatusCode::InternalError),
        status(StatusCode::Forbidden),
        missing,
        negative,
        failed,
    ];
    for rule in rules {
        assert_eq!(fetch(&[&rule]).await.unwrap_err().name(), "UsageUnavailable");
    }
}

#[tokio::test]
async fn a_window_that_begins_on_a_quarter_of_an_hour_is_asked_for_in_quarters() {
    let rule = mock!(Client::get_metric_data)
        .match_requests(|request| {
            request.start_time().unwrap().secs() == 1_793_470_500
                && request.metric_data_queries().iter().all(|query| query.metric_stat().unwrap().period() == Some(900))
        })
        .then_output(|| page([&[1.0], &[], &[], &[], &[], &[]]));
    let kathmandu = input("2026-11", "2026-10-31T18:15:00Z");
    source(&[&rule], 0).fetch(&kathmandu, now(), Instant::now()).await.unwrap();
    assert_eq!(rule.num_calls(), 1);
}

#[tokio::test]
async fn the_end_is_after_the_start_whatever_the_clock_says() {
    let rule = mock!(Client::get_metric_data)
        .match_requests(|request| request.end_time().unwrap().secs() == request.start_time().unwrap().secs() + 1)
        .then_output(|| page([&[], &[], &[], &[], &[], &[]]));
    let window = november();
    for behind in [0, 5] {
        let now = window.model.window.start - chrono::Duration::seconds(behind);
        source(&[&rule], 0).fetch(&window, now, Instant::now()).await.unwrap();
    }
    assert_eq!(rule.num_calls(), 2);
}

#[tokio::test]
async fn a_figure_is_used_again_for_its_time_and_its_window_only() {
    let answer = |tokens: f64| move || page([&[tokens], &[], &[], &[], &[], &[]]);
    let rule = mock!(Client::get_metric_data)
        .sequence()
        .output(answer(1.0))
        .output(answer(2.0))
        .output(answer(3.0))
        .output(answer(4.0))
        .build();
    let source = source(&[&rule], 60);
    let (start, utc) = (Instant::now(), november());
    let (tokyo, december) = (input("2026-11", "2026-10-31T15:00:00Z"), input("2026-12", "2026-12-01T00:00:00Z"));
    let cases = [(&utc, 0, 1), (&utc, 59, 1), (&utc, 60, 2), (&december, 61, 3), (&tokyo, 62, 4), (&utc, 63, 2)];
    for (window, seconds, expected) in cases {
        let figure = source.fetch(window, now(), start + Duration::from_secs(seconds)).await.unwrap();
        assert_eq!(figure.model.tokens.input, expected, "at {seconds} s");
    }
}

/// The queries for nova-micro, the fallback.
fn for_micro(request: &GetMetricDataInput) -> bool {
    let value = |query: &MetricDataQuery| {
        query.metric_stat().unwrap().metric().unwrap().dimensions()[0].value().unwrap().to_owned()
    };
    request.metric_data_queries().iter().all(|query| value(query) == "amazon.nova-micro-v1:0")
}

fn with_fallback(start: &str) -> FetchUsageInput {
    let fallback = UsageQuery { model_metric: "amazon.nova-micro-v1:0".into(), ..input("2026-11-21", start).model };
    FetchUsageInput { fallback: Some(fallback), ..november() }
}

#[tokio::test]
async fn the_fallbacks_figure_is_of_its_own_window_and_kept_apart() {
    let own = mock!(Client::get_metric_data)
        .match_requests(|request| !for_micro(request) && request.start_time().unwrap().secs() == 1_793_491_200)
        .then_output(|| page([&[1.0], &[], &[], &[], &[], &[]]));
    let other = mock!(Client::get_metric_data)
        .match_requests(|request| for_micro(request) && request.start_time().unwrap().secs() == 1_795_219_200)
        .then_output(|| page([&[], &[7.0], &[], &[], &[], &[]]));
    let (source, at) = (source(&[&own, &other], 60), Instant::now());
    for _ in 0..2 {
        let found = source.fetch(&with_fallback("2026-11-21T00:00:00Z"), now(), at).await.unwrap();
        assert_eq!((found.model.tokens.input, found.fallback.as_ref().unwrap().tokens.output), (1, 7));
        assert_eq!(found.fallback.unwrap().window, "2026-11-21");
    }
    assert_eq!((own.num_calls(), other.num_calls()), (1, 1));
    assert_eq!(source.fetch(&november(), now(), at).await.unwrap().fallback, None);
}

#[tokio::test]
async fn only_the_models_own_figure_is_indispensable() {
    let failing = |micro: bool| {
        let refused = || GetMetricDataError::generic(ErrorMetadata::builder().code("Throttling").build());
        let bad = mock!(Client::get_metric_data)
            .match_requests(move |request| for_micro(request) == micro)
            .then_error(refused);
        let good = mock!(Client::get_metric_data)
            .match_requests(move |request| for_micro(request) != micro)
            .then_output(|| page([&[1.0], &[], &[], &[], &[], &[]]));
        [bad, good]
    };
    let fetch = async |[bad, good]: [Rule; 2]| {
        source(&[&bad, &good], 0).fetch(&with_fallback("2026-11-21T00:00:00Z"), now(), Instant::now()).await
    };
    assert_eq!(fetch(failing(true)).await.unwrap().fallback, None);
    assert_eq!(fetch(failing(false)).await.unwrap_err().name(), "UsageUnavailable");
}
