//! `Month Range` and `Fetch Usage`: CloudWatch's figures of a model, for every window that can be in force.

use chrono::{DateTime, Utc};
use sentry_domain::{TokenUsage, UsageGrid};
use serde::{Deserialize, Serialize};

use crate::request::{Fallback, Model};

/// Input of `Month Range`: the tagged request, of which only this is read.
#[derive(Clone, Debug, Deserialize)]
pub struct MonthRangeInput {
    /// The model.
    pub model: Model,
    /// The model that may answer in its place.
    #[serde(default)]
    pub fallback: Option<Fallback>,
}

/// Output of `Month Range`, and input of `Fetch Usage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchUsageInput {
    /// `ModelId` dimension in `AWS/Bedrock` of the model.
    pub model_metric: String,
    /// The same of the fallback model, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback_metric: Option<String>,
    /// The instants between which usage is counted.
    pub grid: UsageGrid,
}

/// Output of `Fetch Usage`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageFound {
    /// The model's.
    pub model: UsageSeries,
    /// The fallback model's; absent where there is none, or where its usage cannot be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<UsageSeries>,
}

/// A model's tokens as CloudWatch knew them at one moment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageSeries {
    /// The moment.
    pub as_of: DateTime<Utc>,
    /// The tokens from an instant of the grid until the next, ascending; where there are none, there is no bucket.
    pub buckets: Vec<Bucket>,
}

/// Seconds since 1970, and the tokens since then: input, output, read from a cache, written to a cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Bucket(pub i64, pub u64, pub u64, pub u64, pub u64);

impl Bucket {
    /// `tokens` from `start` on.
    #[must_use]
    pub const fn new(start: i64, tokens: TokenUsage) -> Self {
        Self(start, tokens.input, tokens.output, tokens.cache_read, tokens.cache_write)
    }
}

impl UsageSeries {
    /// The tokens from `start` on, the start of a window in force.
    ///
    /// A series that is a few minutes old serves as well: a window in force now that began before `as_of` was in force then, so its
    /// start is on the grid of then; of one that began later, CloudWatch knew nothing.
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

    /// The age of the figures at `now`, in whole seconds; 0 where `now` is before them.
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
