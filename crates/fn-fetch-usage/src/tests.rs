//! The results of `Fetch Usage` for answers of CloudWatch.

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::error::ErrorMetadata;
use aws_sdk_cloudwatch::operation::get_metric_data::{GetMetricDataError, GetMetricDataInput, GetMetricDataOutput};
use aws_sdk_cloudwatch::primitives::DateTime as SdkDateTime;
use aws_sdk_cloudwatch::types::{MetricDataResult, StatusCode};
use aws_smithy_mocks::{Rule, RuleMode, mock};
use chrono::{DateTime, TimeDelta, Utc};
use proptest::prelude::*;
use sentry_contract::usage::{FetchUsageInput, UsageSeries};
use sentry_domain::{TokenUsage, UsageGrid, Window, WindowKind};
use sentry_lambda::Failure;
use test_support::{at, mock_client};

use crate::{SharedFigures, UsageSource, query};

const IDS: [&str; 6] = ["input", "output", "cacheRead", "cacheReadCount", "cacheWrite", "cacheWriteCount"];
const MODEL: &str = "amazon.nova-lite-v1:0";
const FALLBACK: &str = "amazon.nova-micro-v1:0";

pub fn now() -> DateTime<Utc> {
    at("2026-11-18T05:41:13.123Z")
}

/// A point: its instant and its value.
type Point<'p> = (&'p str, f64);

fn result(id: &str, points: &[Point<'_>], status: StatusCode) -> MetricDataResult {
    let timestamps = points.iter().map(|(instant, _)| SdkDateTime::from_secs(at(instant).timestamp())).collect();
    let values = points.iter().map(|(_, value)| *value).collect();
    MetricDataResult::builder()
        .id(id)
        .set_timestamps(Some(timestamps))
        .set_values(Some(values))
        .status_code(status)
        .build()
}

/// One page with the given points of each metric, in the order of `IDS`.
pub fn page(points: [&[Point<'_>]; 6]) -> GetMetricDataOutput {
    let results = IDS.iter().zip(points).map(|(id, points)| result(id, points, StatusCode::Complete)).collect();
    GetMetricDataOutput::builder().set_metric_data_results(Some(results)).build()
}

pub fn throttled() -> GetMetricDataError {
    GetMetricDataError::generic(ErrorMetadata::builder().code("Throttling").build())
}

pub fn cloudwatch(rules: &[&Rule]) -> Client {
    // The first rule that matches answers, in any order of the queries.
    mock_client!(aws_sdk_cloudwatch, RuleMode::MatchAny, rules)
}

/// A source that shares nothing, so its table is never read.
fn source(rules: &[&Rule]) -> UsageSource {
    let table = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[]);
    UsageSource::new(cloudwatch(rules), SharedFigures::new(table, "ledger".into()), 0)
}

pub fn input(fallback: bool) -> FetchUsageInput {
    let fallback_metric = fallback.then(|| FALLBACK.to_owned());
    FetchUsageInput { model_metric: MODEL.into(), fallback_metric, grid: UsageGrid::at(now()) }
}

async fn fetch(rules: &[&Rule]) -> Result<UsageSeries, Failure> {
    source(rules).fetch(&input(false), now()).await.map(|found| found.model)
}

fn month(series: &UsageSeries) -> TokenUsage {
    series.since(at("2026-11-01T00:00:00Z"))
}

/// `true` if every query asks for the fallback model.
fn for_fallback(request: &GetMetricDataInput) -> bool {
    request
        .metric_data_queries()
        .iter()
        .all(|query| query.metric_stat().unwrap().metric().unwrap().dimensions()[0].value() == Some(FALLBACK))
}

#[tokio::test]
async fn every_metric_is_asked_for_once_in_quarters_of_an_hour_over_the_whole_span() {
    let rule = mock!(Client::get_metric_data)
        .match_requests(|request| {
            request.start_time().unwrap().secs() == at("2026-10-31T09:00:00Z").timestamp()
                && request.end_time().unwrap().secs() == now().timestamp() + 1
                && request.metric_data_queries().len() == 6
                && request.metric_data_queries().iter().all(|query| {
                    let stat = query.metric_stat().unwrap();
                    let metric = stat.metric().unwrap();
                    let dimension = &metric.dimensions()[0];
                    query.expression().is_none()
                        && (stat.period(), stat.stat()) == (Some(900), Some("Sum"))
                        && metric.namespace() == Some("AWS/Bedrock")
                        && metric.dimensions().len() == 1
                        && (dimension.name(), dimension.value()) == (Some("ModelId"), Some(MODEL))
                })
        })
        .then_output(|| {
            page([&[("2026-11-02T00:15:00Z", 1.0), ("2026-11-18T05:30:00Z", 2.0)], &[], &[], &[], &[], &[]])
        });
    let series = fetch(&[&rule]).await.unwrap();
    assert_eq!(series.as_of, now());
    assert_eq!(month(&series), TokenUsage { input: 3, ..TokenUsage::default() });
    assert_eq!(series.since(at("2026-11-18T00:00:00Z")).input, 2);
}

#[tokio::test]
async fn no_data_is_zero_and_cached_tokens_count_once_whatever_their_spelling() {
    let nothing = mock!(Client::get_metric_data).then_output(|| page([&[], &[], &[], &[], &[], &[]]));
    assert_eq!(month(&fetch(&[&nothing]).await.unwrap()), TokenUsage::default());
    let when = "2026-11-18T05:00:00Z";
    let cached = mock!(Client::get_metric_data)
        .then_output(move || page([&[(when, 1.0)], &[], &[(when, 10.0)], &[(when, 12.0)], &[(when, 200.0)], &[]]));
    let expected = TokenUsage { input: 1, output: 0, cache_read: 12, cache_write: 200, ..TokenUsage::default() };
    assert_eq!(month(&fetch(&[&cached]).await.unwrap()), expected);
}

#[tokio::test]
async fn every_page_counts_and_only_the_last_ones_status() {
    let when = "2026-11-18T05:00:00Z";
    let first = mock!(Client::get_metric_data).match_requests(|request| request.next_token().is_none()).then_output(
        move || {
            let results = vec![result("input", &[(when, 1.0)], StatusCode::PartialData)];
            GetMetricDataOutput::builder().set_metric_data_results(Some(results)).next_token("more").build()
        },
    );
    let second = mock!(Client::get_metric_data)
        .match_requests(|request| request.next_token() == Some("more"))
        .then_output(move || page([&[(when, 2.0)], &[], &[], &[], &[], &[]]));
    assert_eq!(month(&fetch(&[&first, &second]).await.unwrap()).input, 3);
}

#[tokio::test]
async fn an_incomplete_answer_is_never_zero() {
    let status = |status: StatusCode| {
        mock!(Client::get_metric_data).then_output(move || {
            let mut output = page([&[], &[], &[], &[], &[], &[]]);
            output.metric_data_results.as_mut().unwrap()[3] = result("cacheReadCount", &[], status.clone());
            output
        })
    };
    let missing = mock!(Client::get_metric_data).then_output(|| GetMetricDataOutput::builder().build());
    let negative = mock!(Client::get_metric_data)
        .then_output(|| page([&[("2026-11-18T05:00:00Z", -1.0)], &[], &[], &[], &[], &[]]));
    let uneven = mock!(Client::get_metric_data).then_output(|| {
        let mut output = page([&[], &[], &[], &[], &[], &[]]);
        output.metric_data_results.as_mut().unwrap()[0].values = Some(vec![1.0]);
        output
    });
    let failed = mock!(Client::get_metric_data).then_error(throttled);
    let incomplete = [StatusCode::PartialData, StatusCode::InternalError, StatusCode::Forbidden].map(status);
    for rule in incomplete.iter().chain([&missing, &negative, &uneven, &failed]) {
        assert_eq!(fetch(&[rule]).await.unwrap_err().name(), "UsageUnavailable");
    }
}

#[tokio::test]
async fn the_end_is_after_the_start_whatever_the_clock_says() {
    let rule = mock!(Client::get_metric_data)
        .match_requests(|request| request.end_time().unwrap().secs() == request.start_time().unwrap().secs() + 1)
        .then_output(|| page([&[], &[], &[], &[], &[], &[]]));
    source(&[&rule]).fetch(&input(false), at("2026-10-01T00:00:00Z")).await.unwrap();
    assert_eq!(rule.num_calls(), 1);
}

#[tokio::test]
async fn the_fallback_is_asked_for_beside_the_model_and_only_the_model_is_indispensable() {
    let failing = |fallback: bool| {
        let bad = mock!(Client::get_metric_data)
            .match_requests(move |request| for_fallback(request) == fallback)
            .then_error(throttled);
        let good = mock!(Client::get_metric_data)
            .match_requests(move |request| for_fallback(request) != fallback)
            .then_output(|| page([&[("2026-11-18T05:00:00Z", 1.0)], &[], &[], &[], &[], &[]]));
        [bad, good]
    };
    let fetch = async |[bad, good]: [Rule; 2]| source(&[&bad, &good]).fetch(&input(true), now()).await;
    assert_eq!(fetch(failing(true)).await.unwrap().fallback, None);
    assert_eq!(fetch(failing(false)).await.unwrap_err().name(), "UsageUnavailable");
    let both = mock!(Client::get_metric_data)
        .then_output(|| page([&[("2026-11-18T05:00:00Z", 1.0)], &[], &[], &[], &[], &[]]));
    let found = source(&[&both]).fetch(&input(true), now()).await.unwrap();
    assert_eq!(found.fallback.map(|series| month(&series).input), Some(1));
}

#[tokio::test]
async fn the_figures_of_both_models_are_told_by_the_instants_of_the_grid() {
    let model = mock!(Client::get_metric_data).match_requests(|request| !for_fallback(request)).then_output(|| {
        let first = "2026-11-02T00:15:00Z";
        let last = "2026-11-18T05:30:00Z";
        page([&[(first, 21.0), (last, 1.5)], &[(last, 143.0)], &[(last, 10.0)], &[(last, 12.0)], &[(last, 200.0)], &[]])
    });
    let fallback = mock!(Client::get_metric_data)
        .match_requests(for_fallback)
        .then_output(|| page([&[("2026-11-18T04:00:00Z", 7.0)], &[("2026-11-18T04:00:00Z", 8.0)], &[], &[], &[], &[]]));
    insta::assert_json_snapshot!(source(&[&model, &fallback]).fetch(&input(true), now()).await.unwrap());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]
    /// The sum that decides is the sum of the raw points of the window, for every window of every zone.
    #[test]
    fn the_usage_of_a_window_is_the_sum_of_its_points(
        seconds in 1_767_225_600_i64..2_082_758_400, // 2026 to 2035
        zones in prop::collection::vec(prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()), 12),
        points in prop::collection::vec((0_i64..32 * 96, 1_u32..1_000), 1..60),
        later in 0_i64..300,
    ) {
        let now = DateTime::from_timestamp(seconds, 0).unwrap();
        let last = seconds - seconds.rem_euclid(900);
        let points: Vec<(i64, u32)> = points.into_iter().map(|(quarters, tokens)| (last - quarters * 900, tokens)).collect();
        let raw = points.clone();
        let rule = mock!(Client::get_metric_data).then_output(move || {
            let texts: Vec<_> = raw.iter().map(|(second, tokens)| (DateTime::from_timestamp(*second, 0).unwrap().to_rfc3339(), f64::from(*tokens))).collect();
            let points: Vec<Point<'_>> = texts.iter().map(|(text, value)| (text.as_str(), *value)).collect();
            page([&points, &[], &[], &[], &[], &[]])
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let series = runtime.block_on(query::series(&cloudwatch(&[&rule]), MODEL, &UsageGrid::at(now), now)).unwrap();
        // A request up to five minutes later uses the same figure.
        let decided = now + TimeDelta::seconds(later);
        for zone in zones {
            for kind in [WindowKind::Hour, WindowKind::Day, WindowKind::Week, WindowKind::Month] {
                let window = Window::containing(kind, zone, decided);
                let expected: u64 = points.iter().filter(|(second, _)| *second >= window.start().timestamp()).map(|(_, tokens)| u64::from(*tokens)).sum();
                prop_assert_eq!(series.since(window.start()).input, expected, "{} {:?} at {}", zone, kind, decided);
            }
        }
    }
}
