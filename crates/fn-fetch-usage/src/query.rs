//! The metric queries, and the sum of their points.

use std::collections::HashMap;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime;
use aws_sdk_cloudwatch::types::{Dimension, Metric, MetricDataQuery, MetricDataResult, MetricStat, StatusCode};
use chrono::Utc;
use sentry_domain::TokenUsage;
use sentry_lambda::cause;
use thiserror::Error;

/// Namespace of Bedrock's own metrics.
const NAMESPACE: &str = "AWS/Bedrock";
/// Periods that are asked for, in seconds, the longest first: days, hours, and the quarters of an hour that the months
/// of some time zones begin at.
const PERIODS_SECONDS: [i32; 3] = [86_400, 3_600, 900];
/// The shortest period, in seconds, that CloudWatch gives for a start 15 to 63 days ago, as a month's may be.
///
/// Source: Amazon CloudWatch API Reference, GetMetricData.
const SHORTEST_PERIOD_SECONDS: i32 = 300;
/// Most pages that are read. Six metrics over the longest month have fewer than 54,000 points, even at the shortest period,
/// and a page holds up to 100,800: one is the rule, and an answer that goes on after this many is a fault.
///
/// Source: Amazon CloudWatch API Reference, GetMetricData.
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

/// Asks for every metric of `model` and sums it from `start` until `now`.
pub async fn tokens(
    client: &Client,
    model: &str,
    start: chrono::DateTime<Utc>,
    now: chrono::DateTime<Utc>,
) -> Result<TokenUsage, Unusable> {
    let (start, period) = aligned(start.timestamp());
    let queries = METRICS.map(|(id, metric)| query(id, metric, model, period));
    // CloudWatch wants an end after the start, also at the window's first instant.
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
            .map_err(|error| Unusable::Call(cause(&error)))?;
        sums.add(page.metric_data_results());
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            return sums.tokens();
        }
    }
    Err(Unusable::Endless)
}

/// Where to start, in epoch seconds, and the period to ask for: the longest whose multiples `start` is one of, so that
/// no point reaches back over it.
///
/// No time zone of today needs the last resort, an earlier start, which counts more and never less.
fn aligned(start: i64) -> (i64, i32) {
    let past = |period: i32| start.rem_euclid(period.into());
    let period = PERIODS_SECONDS.into_iter().find(|period| past(*period) == 0).unwrap_or(SHORTEST_PERIOD_SECONDS);
    (start.saturating_sub(past(period)), period)
}

fn query(id: &str, metric: &str, model: &str, period: i32) -> MetricDataQuery {
    let dimension = Dimension::builder().name("ModelId").value(model).build();
    let metric = Metric::builder().namespace(NAMESPACE).metric_name(metric).dimensions(dimension).build();
    let stat = MetricStat::builder().metric(metric).period(period).stat("Sum").build();
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

    /// Of the two spellings of a cache metric, the larger counts.
    fn tokens(&self) -> Result<TokenUsage, Unusable> {
        let [input, output, read, read_count, write, write_count] = METRICS.map(|(id, metric)| self.sum(id, metric));
        Ok(TokenUsage {
            input: input?,
            output: output?,
            cache_read: read?.max(read_count?),
            cache_write: write?.max(write_count?),
        })
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use sentry_domain::{Window, WindowKind};

    use super::*;

    #[test]
    fn the_longest_period_that_fits_the_start_is_asked_for() {
        let cases = [
            ("2026-11-01T00:00:00Z", 86_400, "2026-11-01T00:00:00Z"), // a month in UTC
            ("2026-11-30T15:00:00Z", 3_600, "2026-11-30T15:00:00Z"),  // in Asia/Tokyo
            ("2026-10-31T18:30:00Z", 900, "2026-10-31T18:30:00Z"),    // in Asia/Kolkata
            ("2026-10-31T18:15:00Z", 900, "2026-10-31T18:15:00Z"),    // in Asia/Kathmandu
            ("2026-10-31T18:20:00Z", 300, "2026-10-31T18:20:00Z"),
            ("2026-10-31T18:20:59Z", 300, "2026-10-31T18:20:00Z"),
            ("1969-12-31T23:59:59Z", 300, "1969-12-31T23:55:00Z"),
        ];
        for (start, period, from) in cases {
            let second = |text: &str| text.parse::<chrono::DateTime<Utc>>().unwrap().timestamp();
            assert_eq!(aligned(second(start)), (second(from), period), "{start}");
        }
    }

    proptest! {
        #[test]
        fn no_window_is_cut_short_nor_asked_for_in_more_points_than_a_page(
            seconds in 1_767_225_600_i64..2_082_758_400, // 2026 to 2035
            zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
            kind in prop::sample::select(vec![WindowKind::Hour, WindowKind::Day, WindowKind::Week, WindowKind::Month]),
        ) {
            let window = Window::containing(kind, zone, chrono::DateTime::from_timestamp(seconds, 0).unwrap());
            let (start, period) = aligned(window.start().timestamp());
            prop_assert_eq!(start, window.start().timestamp());
            let points = (window.resets_at().timestamp() - start) / i64::from(period) + 1;
            prop_assert!(points * 6 <= 100_800);
        }
    }
}
