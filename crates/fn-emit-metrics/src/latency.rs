//! The durations of requests and their steps, with all values, so that percentiles are exact.

use std::collections::BTreeMap;

use aws_sdk_cloudwatch::types::{MetricDatum, StandardUnit};
use chrono::{DateTime, DurationRound, TimeDelta, Utc};
use sentry_contract::Outcome;
use sentry_contract::states::MetricsRecord;

use crate::metrics::{as_float, dimension, time};

/// Most different values in one datum.
/// Source: API reference of Amazon CloudWatch, `MetricDatum`, member `Values`, read in November 2026.
const MOST_VALUES: usize = 150;

/// The metric of a duration: its name, its dimension if it has one, and the minute.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Series {
    name: &'static str,
    dimension: Option<(&'static str, String)>,
    minute: DateTime<Utc>,
}

impl Series {
    /// The length of the dimension's name and value.
    pub fn bytes(&self) -> usize {
        self.dimension.as_ref().map_or(0, |(name, value)| name.len() + value.len())
    }
}

/// The durations of a request of `at`, in milliseconds. `model_id` is the model as metrics show it.
///
/// `ModelLatency` is only of requests that the model answered. Otherwise quick failures would look like a fast model.
pub fn of(record: &MetricsRecord, model_id: &str, at: DateTime<Utc>) -> Vec<(Series, u64)> {
    let steps = record.times.milliseconds();
    let minute = at.duration_trunc(TimeDelta::minutes(1)).unwrap_or(at);
    let of_step = |step: &str| ("StepLatency", Some(("Step", step.to_owned())));
    let answered = steps.model.filter(|_| record.outcome == Outcome::Succeeded);
    let found = [
        (("DecisionLatency", None), steps.decision),
        (("ModelLatency", Some(("ModelId", model_id.to_owned()))), answered),
        (of_step("validate"), steps.validate),
        (of_step("gather"), steps.gather),
        (of_step("reserve"), steps.reserve),
        (of_step("model"), steps.model),
        (of_step("settle"), steps.settle),
    ];
    let known = found.into_iter().filter_map(|(metric, value)| Some((metric, value?)));
    known.map(|((name, dimension), value)| (Series { name, dimension, minute }, value)).collect()
}

/// The data of all durations of a batch: for each metric and minute the different values, and how often each came.
pub fn data<'a>(samples: impl Iterator<Item = &'a (Series, u64)>) -> Vec<MetricDatum> {
    let mut series: BTreeMap<&Series, BTreeMap<u64, u32>> = BTreeMap::new();
    for (of, value) in samples {
        *series.entry(of).or_default().entry(*value).or_default() += 1;
    }
    let mut data = Vec::new();
    for (of, counts) in series {
        let counts: Vec<_> = counts.into_iter().collect();
        for part in counts.chunks(MOST_VALUES) {
            let dimensions = of.dimension.iter().map(|(name, value)| dimension(name, value));
            let datum = MetricDatum::builder()
                .metric_name(of.name)
                .set_dimensions(Some(dimensions.collect()))
                .timestamp(time(of.minute))
                .unit(StandardUnit::Milliseconds)
                .set_values(Some(part.iter().map(|(value, _)| as_float(*value)).collect()))
                .set_counts(Some(part.iter().map(|(_, count)| f64::from(*count)).collect()));
            data.push(datum.build());
        }
    }
    data
}
