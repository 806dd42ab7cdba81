//! The metric queries, and the sum of their points.

use std::collections::HashMap;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode};
use sentry_contract::states::MonthRange;
use sentry_lambda::cause;
use thiserror::Error;

/// Namespace of Bedrock's own metrics.
const NAMESPACE: &str = "AWS/Bedrock";
/// A point a day: at most 31 a metric, and allowed for the whole of a month's retention tiers (a multiple of 300 s).
const PERIOD_SECONDS: i32 = 86_400;
/// Most points of all six metrics in a month are 186; a continuation past this many pages is a fault.
const MOST_PAGES: usize = 10;

/// The metrics, each with the id of its query.
const METRICS: [(&str, &str); 6] = [
    ("input", "InputTokenCount"),
    ("output", "OutputTokenCount"),
    ("cacheRead", "CacheReadInputTokens"),
    ("cacheReadCount", "CacheReadInputTokenCount"),
    ("cacheWrite", "CacheWriteInputTokens"),
    ("cacheWriteCount", "CacheWriteInputTokenCount"),
];

/// Tokens of a month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tokens {
    /// Read, cached or not.
    pub input: u64,
    /// Written.
    pub output: u64,
}

/// Why CloudWatch's answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unusable {
    /// The call failed.
    #[error("the call failed: {0}")]
    Call(String),
    /// A metric's result is not complete.
    #[error("the result of {metric} is {status}, not Complete")]
    Incomplete {
        /// The metric.
        metric: &'static str,
        /// CloudWatch's status.
        status: String,
    },
    /// A metric has no result at all.
    #[error("there is no result for {0}")]
    Missing(&'static str),
    /// A metric's sum is no count of tokens.
    #[error("the sum of {0} is no count of tokens")]
    NoCount(&'static str),
    /// The answer does not end.
    #[error("the answer goes on after {MOST_PAGES} pages")]
    Endless,
}

/// Asks for every metric of `model` and sums it over `range`.
pub async fn month_to_date(client: &Client, model: &str, range: &MonthRange) -> Result<Tokens, Unusable> {
    let queries = METRICS.map(|(id, metric)| query(id, metric, model));
    // CloudWatch wants an end after the start, also at the month's first instant.
    let end = range.end.timestamp().max(range.start.timestamp()).saturating_add(1);
    let mut sums = Sums::default();
    let mut token = None;
    for _ in 0..MOST_PAGES {
        let page = client
            .get_metric_data()
            .set_metric_data_queries(Some(queries.to_vec()))
            .start_time(DateTime::from_secs(range.start.timestamp()))
            .end_time(DateTime::from_secs(end))
            .set_next_token(token)
            .send()
            .await
            .map_err(|error| Unusable::Call(cause(&error)))?;
        sums.add(page.metric_data_results());
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            return sums.tokens();
        }
    }
    Err(Unusable::Endless)
}

fn query(id: &str, metric: &str, model: &str) -> MetricDataQuery {
    let dimension = Dimension::builder().name("ModelId").value(model).build();
    let metric = Metric::builder().namespace(NAMESPACE).metric_name(metric).dimensions(dimension).build();
    let stat = MetricStat::builder().metric(metric).period(PERIOD_SECONDS).stat("Sum").build();
    MetricDataQuery::builder().id(id).metric_stat(stat).return_data(true).build()
}

/// What the pages have said of each query so far.
#[derive(Default)]
struct Sums(HashMap<String, (f64, Option<StatusCode>)>);

impl Sums {
    /// The last page's status of a metric is its final one: pages before it say `PartialData` because more follows.
    #[expect(clippy::float_arithmetic, reason = "CloudWatch sends counts as floats, exact up to 2^53")]
    fn add(&mut self, results: &[MetricDataResult]) {
        for result in results {
            let entry = self.0.entry(result.id().unwrap_or_default().to_owned()).or_default();
            entry.0 += result.values().iter().sum::<f64>();
            entry.1 = result.status_code().cloned();
        }
    }

    fn tokens(&self) -> Result<Tokens, Unusable> {
        let [input, output, read, read_count, write, write_count] = METRICS.map(|(id, metric)| self.sum(id, metric));
        let read = read?.max(read_count?);
        let write = write?.max(write_count?);
        Ok(Tokens { input: input?.saturating_add(read).saturating_add(write), output: output? })
    }

    fn sum(&self, id: &str, metric: &'static str) -> Result<u64, Unusable> {
        match self.0.get(id) {
            Some((sum, Some(StatusCode::Complete))) => count(*sum).ok_or(Unusable::NoCount(metric)),
            Some((_, status)) => {
                let status = status.as_ref().map_or("unknown", StatusCode::as_str).to_owned();
                Err(Unusable::Incomplete { metric, status })
            }
            None => Err(Unusable::Missing(metric)),
        }
    }
}

/// A sum of counts as a count; a fraction is rounded up.
fn count(sum: f64) -> Option<u64> {
    if sum.is_finite() && sum >= 0.0 { format!("{:.0}", sum.ceil()).parse().ok() } else { None }
}
