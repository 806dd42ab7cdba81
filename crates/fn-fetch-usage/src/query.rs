//! The metric queries, and the sums of their points.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode};
use chrono::Utc;
use sentry_contract::bedrock_metrics::{MODEL_ID, NAMESPACE, TOKENS as METRICS};
use sentry_contract::usage::{Bucket, UsageSeries};
use sentry_domain::{TokenUsage, UsageGrid};
use sentry_lambda::cause;
use thiserror::Error;

/// The step of the grid, see `sentry_domain::usage_grid::STEP_SECONDS`.
const PERIOD_SECONDS: i32 = 900;
/// Maximum number of pages that are read. Six metrics over the longest span have fewer than 19,000 points, and a page
/// holds up to 100,800. One page is therefore normal, and more pages than this maximum are an error.
///
/// Source: Amazon CloudWatch API Reference, `GetMetricData`.
const MOST_PAGES: usize = 10;

/// The reason why CloudWatch's answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum UsageError {
    #[error("the call failed: {0}")]
    Call(String),
    #[error("the result of {metric} is {status}, not Complete")]
    Incomplete { metric: &'static str, status: String },
    #[error("there is no result for {0}")]
    Missing(&'static str),
    #[error("the sum of {0} is no count of tokens")]
    NoCount(&'static str),
    /// The numbers of values and of instants in a result differ.
    #[error("the result of the query {0} has not one value an instant")]
    Uneven(String),
    #[error("the answer goes on after {MOST_PAGES} pages")]
    Endless,
}

/// Queries every metric of `model` over the span of `grid` until `now`, and sums the points between the instants of the
/// grid.
///
/// The period is the step of the grid, so no point spans an instant of the grid. CloudWatch makes a period from points
/// of 5 minutes or more, and keeps these for 63 days, twice as long as the longest span. Source: Amazon CloudWatch API
/// Reference, `GetMetricData`.
pub async fn series(
    client: &Client,
    model: &str,
    grid: &UsageGrid,
    now: chrono::DateTime<Utc>,
) -> Result<UsageSeries, UsageError> {
    let start = grid.start();
    let queries = METRICS.map(|(id, metric)| query(id, metric, model));
    // CloudWatch requires an end after the start.
    let end = now.timestamp().max(start).saturating_add(1);
    let mut sums = Sums::default();
    let mut token = None;
    for _ in 0..MOST_PAGES {
        let page = client
            .get_metric_data()
            .set_metric_data_queries(Some(queries.to_vec()))
            .start_time(DateTime::from_secs(start))
            .end_time(DateTime::from_secs(end))
            .set_next_token(token)
            .send()
            .await
            .map_err(|error| UsageError::Call(cause(&error)))?;
        for result in page.metric_data_results() {
            sums.add(result, grid)?;
        }
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            return Ok(UsageSeries { as_of: now, buckets: sums.buckets()? });
        }
    }
    Err(UsageError::Endless)
}

fn query(id: &str, metric: &str, model: &str) -> MetricDataQuery {
    let dimension = Dimension::builder().name(MODEL_ID).value(model).build();
    let metric = Metric::builder().namespace(NAMESPACE).metric_name(metric).dimensions(dimension).build();
    let stat = MetricStat::builder().metric(metric).period(PERIOD_SECONDS).stat("Sum").build();
    MetricDataQuery::builder().id(id).metric_stat(stat).return_data(true).build()
}

/// The data of each query so far: its sums, by the instant of the grid at which they begin, and its last status.
#[derive(Default)]
struct Sums(HashMap<String, (BTreeMap<i64, f64>, Option<StatusCode>)>);

impl Sums {
    /// Adds one page of a query. The status on the last page is final. Pages before it have `PartialData`, because more
    /// pages follow.
    #[expect(clippy::float_arithmetic, reason = "CloudWatch sends counts as floats, exact up to 2^53")]
    fn add(&mut self, result: &MetricDataResult, grid: &UsageGrid) -> Result<(), UsageError> {
        let (timestamps, values) = (result.timestamps(), result.values());
        let id = result.id().unwrap_or_default();
        if timestamps.len() != values.len() {
            return Err(UsageError::Uneven(id.to_owned()));
        }
        let (sums, status) = self.0.entry(id.to_owned()).or_default();
        for (timestamp, value) in timestamps.iter().zip(values) {
            *sums.entry(grid.boundary_of(timestamp.secs())).or_default() += value;
        }
        *status = result.status_code().cloned();
        Ok(())
    }

    /// The buckets that have tokens. Each cache metric has two names, and the larger value counts in each bucket.
    fn buckets(&self) -> Result<Vec<Bucket>, UsageError> {
        let mut instants = BTreeSet::new();
        for (id, metric) in METRICS {
            instants.extend(self.complete(id, metric)?.keys().copied());
        }
        let mut buckets = Vec::with_capacity(instants.len());
        for instant in instants {
            let [input, output, read, read_count, write, write_count] =
                METRICS.map(|(id, metric)| self.count(id, metric, instant));
            let tokens = TokenUsage {
                input: input?,
                output: output?,
                cache_read: read?.max(read_count?),
                cache_write: write?.max(write_count?),
                ..TokenUsage::default()
            };
            if tokens != TokenUsage::default() {
                buckets.push(Bucket::new(instant, tokens));
            }
        }
        Ok(buckets)
    }

    fn complete(&self, id: &str, metric: &'static str) -> Result<&BTreeMap<i64, f64>, UsageError> {
        match self.0.get(id) {
            Some((sums, Some(StatusCode::Complete))) => Ok(sums),
            Some((_, status)) => {
                let status = status.as_ref().map_or("unknown", StatusCode::as_str).to_owned();
                Err(UsageError::Incomplete { metric, status })
            }
            None => Err(UsageError::Missing(metric)),
        }
    }

    fn count(&self, id: &str, metric: &'static str, instant: i64) -> Result<u64, UsageError> {
        match self.complete(id, metric)?.get(&instant) {
            None => Ok(0),
            Some(sum) => count(*sum).ok_or(UsageError::NoCount(metric)),
        }
    }
}

/// A sum of counts as a whole number. A fraction is rounded up.
fn count(sum: f64) -> Option<u64> {
    if sum.is_finite() && sum >= 0.0 { format!("{:.0}", sum.ceil()).parse().ok() } else { None }
}
