//! Input and output of `Month Range` and `Fetch Usage`: CloudWatch's figures of a model, for every window that can be
//! in force.

use chrono::{DateTime, Utc};
use sentry_domain::{TokenUsage, UsageGrid};
use serde::{Deserialize, Serialize};

use crate::request::{Fallback, Model};

/// Input of `Month Range`. The state passes the tagged request; all other fields are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct MonthRangeInput {
    /// The model that was requested.
    pub model: Model,
    /// The model that may answer instead; absent if there is none.
    #[serde(default)]
    pub fallback: Option<Fallback>,
}

/// Output of `Month Range`, and input of `Fetch Usage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchUsageInput {
    /// `ModelId` dimension of the model in `AWS/Bedrock`.
    pub model_metric: String,
    /// `ModelId` dimension of the fallback model in `AWS/Bedrock`; absent if there is no fallback.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_metric: Option<String>,
    /// The instants between which usage is counted.
    pub grid: UsageGrid,
}

/// Output of `Fetch Usage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageFound {
    /// Usage of the model that was requested.
    pub model: UsageSeries,
    /// Usage of the fallback model; absent if there is no fallback, or if its usage is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<UsageSeries>,
}

/// Tokens of a model, as CloudWatch reported them at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageSeries {
    /// The moment at which CloudWatch reported the figures.
    pub as_of: DateTime<Utc>,
    /// Tokens between each instant of the grid and the next, in ascending order. An interval without tokens has no
    /// bucket.
    pub buckets: Vec<Bucket>,
}

/// Start in seconds since 1970, and the tokens until the next instant of the grid: input, output, cache reads, cache
/// writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket(pub i64, pub u64, pub u64, pub u64, pub u64);

impl Bucket {
    /// The bucket of `tokens` that begins at `start`, in seconds since 1970.
    #[must_use]
    pub const fn new(start: i64, tokens: TokenUsage) -> Self {
        Self(start, tokens.input, tokens.output, tokens.cache_read, tokens.cache_write)
    }
}

impl UsageSeries {
    /// The tokens since `start`, which is the start of a window in force.
    ///
    /// A series that is a few minutes old gives a correct sum for an hour, a day, a week or a month too. If the window
    /// began before `as_of`, it was in force at `as_of`, so its start is on the grid of the series. If it began later,
    /// CloudWatch had no figures for it at `as_of`.
    ///
    /// The start of another window, such as a minute, a period or `total`, need not be on the grid. The sum then has
    /// the buckets that begin at `start` or later, which is a lower bound.
    #[must_use]
    pub fn since(&self, start: DateTime<Utc>) -> TokenUsage {
        let start = start.timestamp();
        let mut sum = TokenUsage::default();
        for Bucket(_, input, output, read, write) in self.buckets.iter().filter(|bucket| bucket.0 >= start) {
            sum.input = sum.input.saturating_add(*input);
            sum.output = sum.output.saturating_add(*output);
            sum.cache_read = sum.cache_read.saturating_add(*read);
            sum.cache_write = sum.cache_write.saturating_add(*write);
        }
        sum
    }

    /// The age of the figures at `now`, in whole seconds; 0 if `now` is before `as_of`.
    #[must_use]
    pub fn age_seconds(&self, now: DateTime<Utc>) -> u64 {
        u64::try_from((now - self.as_of).num_seconds()).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_window_has_the_buckets_from_its_start_on() {
        let series = json!({"asOf": "2026-11-21T12:00:00Z", "buckets": [[1000, 1, 2, 3, 4], [1900, 10, 20, 30, 40]]});
        let series: UsageSeries = serde_json::from_value(series).unwrap();
        let since = |second| series.since(DateTime::from_timestamp(second, 0).unwrap());
        assert_eq!(
            since(1000),
            TokenUsage { input: 11, output: 22, cache_read: 33, cache_write: 44, ..TokenUsage::default() }
        );
        assert_eq!(
            since(1900),
            TokenUsage { input: 10, output: 20, cache_read: 30, cache_write: 40, ..TokenUsage::default() }
        );
        assert_eq!(since(2800), TokenUsage::default());
        let at = |text: &str| series.age_seconds(text.parse().unwrap());
        assert_eq!((at("2026-11-21T12:01:30Z"), at("2026-11-21T11:00:00Z")), (90, 0));
    }
}
