//! The division of a batch into calls to CloudWatch.

use std::collections::HashSet;

use aws_sdk_cloudwatch::types::MetricDatum;
use sentry_contract::states::MetricsRecord;

use crate::latency::Series;
use crate::{budget, latency};

/// Most data in a call.
/// Source: API reference of Amazon CloudWatch, `PutMetricData`, read in November 2026.
const MOST_DATA: usize = 1_000;
/// Most bytes of a call, as estimated here. CloudWatch accepts 1 MB.
/// Source: API reference of Amazon CloudWatch, `PutMetricData`, read in November 2026.
const MOST_BYTES: usize = 800_000;
/// Bytes of a datum without its dimensions, and of a value: generous for the encoding that the SDK uses.
const DATUM_BYTES: usize = 200;
/// Bytes of a dimension without its name and its value.
const DIMENSION_BYTES: usize = 20;

/// A message whose metrics and audit line remain to be written.
#[derive(Debug, Default)]
pub struct Ready {
    /// The request. Messages of the sweep have none, and no audit line.
    pub record: Option<MetricsRecord>,
    /// The metrics of this message alone.
    pub metrics: Vec<MetricDatum>,
    /// The scopes' usage after the request. One call has one figure for each scope.
    pub used: Vec<budget::ScopeUsage>,
    /// The durations of the request. One call has one datum for each metric and minute.
    pub durations: Vec<(Series, u64)>,
}

/// The data of one call for `messages`.
pub fn data<'a>(messages: impl Iterator<Item = &'a Ready> + Clone) -> Vec<MetricDatum> {
    let mut data: Vec<_> = messages.clone().flat_map(|ready| ready.metrics.iter().cloned()).collect();
    data.extend(budget::data(messages.clone().flat_map(|ready| &ready.used)));
    data.extend(latency::data(messages.flat_map(|ready| &ready.durations)));
    data
}

/// Divides `messages` into groups whose data fit into one call each. A message that does not fit into any call is alone.
pub fn groups(messages: Vec<(String, Ready)>) -> Vec<Vec<(String, Ready)>> {
    let mut groups = Vec::new();
    let (mut group, mut size) = (Vec::new(), Size::default());
    for (id, ready) in messages {
        if !size.add(&ready) {
            groups.push(std::mem::take(&mut group));
            size = Size::default();
            size.add(&ready);
        }
        group.push((id, ready));
    }
    groups.push(group);
    groups.retain(|group| !group.is_empty());
    groups
}

/// The size of a call so far.
#[derive(Debug, Default)]
struct Size {
    data: usize,
    bytes: usize,
    scopes: HashSet<String>,
    series: HashSet<Series>,
}

impl Size {
    /// Adds the data of a message. Returns `false` if the call is then too large.
    fn add(&mut self, ready: &Ready) -> bool {
        for datum in &ready.metrics {
            let dimensions = datum.dimensions().iter().map(|dimension| {
                let texts = [dimension.name(), dimension.value()].into_iter().flatten();
                DIMENSION_BYTES + texts.map(str::len).sum::<usize>()
            });
            self.put(1, dimensions.sum());
        }
        for used in &ready.used {
            if self.scopes.insert(used.scope.clone()) {
                self.put(2, used.scope.len() + DIMENSION_BYTES);
            }
        }
        for (series, _) in &ready.durations {
            let bytes = series.bytes() + DIMENSION_BYTES;
            let is_new = self.series.insert(series.clone());
            self.put(usize::from(is_new), bytes);
        }
        self.data <= MOST_DATA && self.bytes <= MOST_BYTES
    }

    fn put(&mut self, data: usize, bytes: usize) {
        self.data += data;
        self.bytes += data.max(1) * (DATUM_BYTES + bytes);
    }
}
