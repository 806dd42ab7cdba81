//! The counts of a request: six for every request, its cost, and others for some requests.

use std::borrow::Cow;

use aws_sdk_cloudwatch::primitives::DateTime as SdkDateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use chrono::{DateTime, Utc};
use sentry_contract::Outcome;
use sentry_contract::answer::Cost;
use sentry_contract::request::Tags;
use sentry_contract::states::MetricsRecord;
use sentry_domain::Alert;
use thiserror::Error as ThisError;

/// The dimensions of the metrics of a request.
pub const FIVE: [&str; 5] = ["Model", "ModelId", "CostCenter", "Application", "Environment"];

/// The dimension value of a tag that a request does not have.
const UNSPECIFIED: &str = "unspecified";

/// Longest value of a dimension, in characters.
/// Source: API reference of Amazon CloudWatch, `Dimension`, read in November 2026.
const DIMENSION_CHARS: usize = 1024;

/// The tag `timestamp` of a record is absent, or no instant.
#[derive(Debug, ThisError)]
#[error("the tag timestamp is no instant")]
pub struct NoTimestamp;

/// The time at which the request of `record` was validated.
///
/// # Errors
/// Returns an error if the record's timestamp is not an instant.
pub fn instant(record: &MetricsRecord) -> Result<DateTime<Utc>, NoTimestamp> {
    let timestamp = record.tags.get(Tags::TIMESTAMP).unwrap_or_default();
    timestamp.parse().map_err(|_| NoTimestamp)
}

/// The metrics of `record`, which is of `at` and read at `now`: the six that every request has, also if they are 0, and
/// the others if there is something to count. `five` are the values of its five dimensions. A late settlement that is
/// made after its hold has expired counts as `UnsettledRequests`.
pub fn of(record: &MetricsRecord, five: &[String; 5], at: DateTime<Utc>, now: DateTime<Utc>) -> Vec<MetricDatum> {
    let at = time(at);
    let dimensions: Vec<_> = FIVE.into_iter().zip(five).map(|(name, value)| dimension(name, value)).collect();
    let of_request = |(name, value)| count(name, value, dimensions.clone(), at);
    let mut metrics: Vec<_> = six(record).into_iter().map(of_request).collect();
    metrics.extend(cost(record).map(|usd| datum("CostUsd", usd, StandardUnit::None, dimensions.clone(), at)));
    metrics.extend(others(record, now, at));
    metrics
}

/// `BudgetAlerts`: one alert that was published. `scope` is its scope as metrics show it.
pub fn published(alert: &Alert, scope: &str, at: SdkDateTime) -> MetricDatum {
    let dimensions = vec![dimension("Scope", scope), dimension("Threshold", &alert.threshold.to_string())];
    count("BudgetAlerts", 1, dimensions, at)
}

/// The exact cost in dollars as the nearest float. `None` if the usage or a price that it needs is unknown.
fn cost(record: &MetricsRecord) -> Option<f64> {
    let cost = Cost::of(&record.usage?.tokens, record.model.price.as_ref());
    cost.usd?.to_string().parse().ok()
}

/// An instant in CloudWatch's type.
pub fn time(at: DateTime<Utc>) -> SdkDateTime {
    SdkDateTime::from_millis(at.timestamp_millis())
}

fn six(record: &MetricsRecord) -> [(&'static str, u64); 6] {
    let tokens = record.usage.map(|usage| usage.tokens).unwrap_or_default();
    let is = |yes: bool| u64::from(yes);
    [
        ("TotalRequests", 1),
        ("RateLimitApproved", is(record.outcome != Outcome::Denied)),
        ("RateLimitDenied", is(record.outcome == Outcome::Denied)),
        ("InvocationFailed", is(record.outcome == Outcome::InvocationFailed)),
        ("InputTokens", tokens.read()),
        ("OutputTokens", tokens.output),
    ]
}

/// These metrics have no dimension of the request, so each is one metric for the whole stack. The audit line has the
/// request.
fn others(record: &MetricsRecord, now: DateTime<Utc>, at: SdkDateTime) -> Vec<MetricDatum> {
    let mut others = Vec::new();
    if let (Outcome::Denied, Some(code)) = (record.outcome, record.code) {
        others.push(count("Denials", 1, vec![dimension("Code", code.name())], at));
    }
    if let Some(degraded) = &record.degraded {
        others.push(count("Degradations", 1, vec![dimension("Action", degraded.action())], at));
    }
    if let Some(late) = &record.settlement {
        let expired = now > late.reservation.expires_at;
        others.push(count(if expired { "UnsettledRequests" } else { "LateSettlements" }, 1, Vec::new(), at));
    }
    if let (Some(hold), Some(usage)) = (record.hold, record.usage) {
        others.push(count("HeldTokens", hold.input.saturating_add(hold.output), Vec::new(), at));
        others.push(count("UsedTokens", usage.tokens.total(), Vec::new(), at));
        if usage.tokens.read() > hold.input || usage.tokens.output > hold.output {
            others.push(count("ExceededHolds", 1, Vec::new(), at));
        }
    }
    others
}

fn count(name: &str, value: u64, dimensions: Vec<Dimension>, at: SdkDateTime) -> MetricDatum {
    datum(name, as_float(value), StandardUnit::Count, dimensions, at)
}

/// One value of a metric.
pub fn datum(name: &str, value: f64, unit: StandardUnit, dimensions: Vec<Dimension>, at: SdkDateTime) -> MetricDatum {
    MetricDatum::builder()
        .metric_name(name)
        .set_dimensions(Some(dimensions))
        .timestamp(at)
        .unit(unit)
        .value(value)
        .build()
}

/// The values of the dimensions in [`FIVE`], as CloudWatch accepts them.
pub fn five(record: &MetricsRecord) -> [String; 5] {
    let tag = |name| record.tags.get(name).unwrap_or(UNSPECIFIED);
    [
        record.model.requested.as_str(),
        &record.model.model_id,
        tag(Tags::COST_CENTER),
        tag(Tags::APPLICATION_ID),
        tag(Tags::ENVIRONMENT),
    ]
    .map(accepted)
}

/// `value` in the form that CloudWatch accepts in a dimension: ASCII, and cut if it is too long.
pub fn accepted(value: &str) -> String {
    ascii(value).chars().take(DIMENSION_CHARS).collect()
}

/// A dimension of a metric. Its value is [`accepted`].
pub fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(accepted(value)).build()
}

/// `value` with all characters that are not ASCII percent-encoded, because CloudWatch accepts only ASCII.
fn ascii(value: &str) -> Cow<'_, str> {
    if value.is_ascii() {
        return value.into();
    }
    let encode = |char: char| match char {
        char if char.is_ascii() => char.to_string(),
        other => {
            other.encode_utf8(&mut [0; 4]).bytes().fold(String::new(), |text, byte| text + &format!("%{byte:02X}"))
        }
    };
    value.chars().map(encode).collect::<String>().into()
}

/// CloudWatch's values are floats. Token counts are far below 2^53, up to which floats are exact.
#[expect(clippy::cast_precision_loss, reason = "exact below 2^53")]
pub fn as_float(count: u64) -> f64 {
    count as f64
}
