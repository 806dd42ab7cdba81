//! Figures of the last seconds. A warm function saves a read of the shared figure; it never knows more than CloudWatch did.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use sentry_contract::usage::UsageSeries;

/// The last figure of each model.
#[derive(Debug)]
pub struct Cache {
    max_age_seconds: u64,
    figures: Mutex<HashMap<String, UsageSeries>>,
}

impl Cache {
    /// A cache whose figures are used until they are `max_age_seconds` old.
    pub fn new(max_age_seconds: u64) -> Self {
        Self { max_age_seconds, figures: Mutex::default() }
    }

    /// The figure of `metric`, if there is one that is young enough at `now`.
    pub fn get(&self, metric: &str, now: DateTime<Utc>) -> Option<UsageSeries> {
        self.figures().get(metric).filter(|series| self.is_fresh(series, now)).cloned()
    }

    /// Keeps a figure, and drops those that are too old at `now`.
    pub fn put(&self, metric: &str, series: UsageSeries, now: DateTime<Utc>) {
        let mut figures = self.figures();
        figures.retain(|_, series| self.is_fresh(series, now));
        figures.insert(metric.to_owned(), series);
    }

    /// Whether a figure is younger than `max_age_seconds`.
    pub fn is_fresh(&self, series: &UsageSeries, now: DateTime<Utc>) -> bool {
        series.age_seconds(now) < self.max_age_seconds
    }

    fn figures(&self) -> MutexGuard<'_, HashMap<String, UsageSeries>> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
