//! The six metrics of a request.

use aws_sdk_cloudwatch::primitives::DateTime as SdkDateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use chrono::{DateTime, Utc};
use sentry_contract::Outcome;
use sentry_contract::request::Tags;
use sentry_contract::states::MetricsRecord;

/// The dimension value of a tag that a request does not have.
const UNSPECIFIED: &str = "unspecified";

/// The metrics of `record`, all six also where they are 0.
///
/// # Errors
/// When the record's timestamp is none.
pub fn of(record: &MetricsRecord) -> Result<Vec<MetricDatum>, String> {
    let timestamp = record.tags.get(Tags::TIMESTAMP).unwrap_or_default();
    let at: DateTime<Utc> = timestamp.parse().map_err(|_| "the tag timestamp is no instant".to_owned())?;
    let dimensions = dimensions(record);
    let tokens = record.usage.map(|usage| usage.tokens).unwrap_or_default();
    let is = |yes: bool| u64::from(yes);
    let values = [
        ("TotalRequests", 1),
        ("RateLimitApproved", is(record.outcome != Outcome::Denied)),
        ("RateLimitDenied", is(record.outcome == Outcome::Denied)),
        ("InvocationFailed", is(record.outcome == Outcome::InvocationFailed)),
        ("InputTokens", tokens.read()),
        ("OutputTokens", tokens.output),
    ];
    let datum = |(name, value): (&str, u64)| {
        MetricDatum::builder()
            .metric_name(name)
            .set_dimensions(Some(dimensions.clone()))
            .timestamp(SdkDateTime::from_millis(at.timestamp_millis()))
            .unit(StandardUnit::Count)
            .value(as_float(value))
            .build()
    };
    Ok(values.into_iter().map(datum).collect())
}

fn dimensions(record: &MetricsRecord) -> Vec<Dimension> {
    let tag = |name| record.tags.get(name).unwrap_or(UNSPECIFIED);
    [
        ("Model", record.model.requested.as_str()),
        ("ModelId", &record.model.model_id),
        ("CostCenter", tag(Tags::COST_CENTER)),
        ("Application", tag(Tags::APPLICATION_ID)),
        ("Environment", tag(Tags::ENVIRONMENT)),
    ]
    .map(|(name, value)| Dimension::builder().name(name).value(value).build())
    .to_vec()
}

/// CloudWatch's values are floats; token counts are far below 2^53, where they are exact.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
fn as_float(count: u64) -> f64 {
    count as f64
}
