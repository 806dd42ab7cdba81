//! The metrics of a request: six for every request, and others for some requests.

use std::borrow::Cow;

use aws_sdk_cloudwatch::primitives::DateTime as SdkDateTime;
use aws_sdk_cloudwatch::types::{Dimension, MetricDatum, StandardUnit};
use chrono::{DateTime, Utc};
use sentry_contract::Outcome;
use sentry_contract::request::Tags;
use sentry_contract::states::MetricsRecord;
use sentry_domain::Alert;
use thiserror::Error as ThisError;

/// The dimension value of a tag that a request does not have.
const UNSPECIFIED: &str = "unspecified";

/// Longest value of a dimension, in characters.
/// Source: API reference of Amazon CloudWatch, `Dimension`, read in November 2026.
const DIMENSION_CHARS: usize = 1024;

/// The tag `timestamp` of a record is absent, or no instant.
#[derive(Debug, ThisError)]
#[error("the tag timestamp is no instant")]
pub struct NoTimestamp;

/// The metrics of `record`, which is read at `now`: the six that every request has, also if they are 0, and the others
/// if there is something to count. A late settlement that is made after its hold has expired counts as
/// `UnsettledRequests`.
///
/// # Errors
/// Returns an error if the record's timestamp is not an instant.
pub fn of(record: &MetricsRecord, now: DateTime<Utc>) -> Result<Vec<MetricDatum>, NoTimestamp> {
    let timestamp = record.tags.get(Tags::TIMESTAMP).unwrap_or_default();
    let at: DateTime<Utc> = timestamp.parse().map_err(|_| NoTimestamp)?;
    let at = time(at);
    let dimensions = dimensions(record);
    let of_request = |(name, value)| datum(name, value, dimensions.clone(), at);
    Ok(six(record).into_iter().map(of_request).chain(others(record, now, at)).collect())
}

/// `BudgetAlerts`: one alert that was published.
pub fn published(alert: &Alert, at: SdkDateTime) -> MetricDatum {
    let dimensions = vec![dimension("Scope", &alert.scope), dimension("Threshold", &alert.threshold.to_string())];
    datum("BudgetAlerts", 1, dimensions, at)
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
        others.push(datum("Denials", 1, vec![dimension("Code", code.name())], at));
    }
    if let Some(degraded) = &record.degraded {
        others.push(datum("Degradations", 1, vec![dimension("Action", degraded.action())], at));
    }
    if let Some(late) = &record.settlement {
        let expired = now > late.reservation.expires_at;
        others.push(datum(if expired { "UnsettledRequests" } else { "LateSettlements" }, 1, Vec::new(), at));
    }
    if let (Some(hold), Some(usage)) = (record.hold, record.usage) {
        others.push(datum("HeldTokens", hold.input.saturating_add(hold.output), Vec::new(), at));
        others.push(datum("UsedTokens", usage.tokens.total(), Vec::new(), at));
        if usage.tokens.read() > hold.input || usage.tokens.output > hold.output {
            others.push(datum("ExceededHolds", 1, Vec::new(), at));
        }
    }
    others
}

fn datum(name: &str, value: u64, dimensions: Vec<Dimension>, at: SdkDateTime) -> MetricDatum {
    MetricDatum::builder()
        .metric_name(name)
        .set_dimensions(Some(dimensions))
        .timestamp(at)
        .unit(StandardUnit::Count)
        .value(as_float(value))
        .build()
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
    .map(|(name, value)| dimension(name, value))
    .to_vec()
}

/// A dimension of a metric. Its value is cut to the length that CloudWatch accepts.
fn dimension(name: &str, value: &str) -> Dimension {
    Dimension::builder().name(name).value(ascii(value).chars().take(DIMENSION_CHARS).collect::<String>()).build()
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
fn as_float(count: u64) -> f64 {
    count as f64
}
