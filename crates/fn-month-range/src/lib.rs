#![doc = include_str!("../README.md")]

use chrono::{DateTime, Utc};
use sentry_contract::usage::{FetchUsageInput, MonthRangeInput};
use sentry_domain::UsageGrid;

/// The query to CloudWatch at `now`, for the model of a request and for its fallback.
#[must_use]
pub fn month_range(input: MonthRangeInput, now: DateTime<Utc>) -> FetchUsageInput {
    FetchUsageInput {
        model_metric: input.model.model_metric,
        fallback_metric: input.fallback.map(|fallback| fallback.model.model_metric),
        grid: UsageGrid::at(now),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn both_models_are_asked_for_over_every_window_in_force() {
        let model = |id: &str| json!({"requested": "x", "modelId": id, "modelMetric": id, "family": "nova"});
        let request: Value = json!({"tags": {"applicationId": "helper"}, "requestKey": "r1", "model": model("pro"),
            "fallback": {"model": model("lite"), "inputTokens": 1, "maxTokens": 1}});
        let now = "2026-11-18T12:20:00Z".parse().unwrap();
        let found = month_range(serde_json::from_value(request).unwrap(), now);
        let second = |text: &str| text.parse::<DateTime<Utc>>().unwrap().timestamp();
        let runs = json!([
            [second("2026-10-31T09:00:00Z"), second("2026-11-01T13:00:00Z")],
            [second("2026-11-15T09:00:00Z"), second("2026-11-16T13:00:00Z")],
            [second("2026-11-17T10:15:00Z"), second("2026-11-18T12:15:00Z")],
        ]);
        let expected = json!({"modelMetric": "pro", "fallbackMetric": "lite", "grid": runs});
        assert_eq!(serde_json::to_value(found).unwrap(), expected);
    }
}
