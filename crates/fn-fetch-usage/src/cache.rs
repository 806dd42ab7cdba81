//! Recent figures in memory. They save a warm function the read of the shared figure. They are never newer than
//! CloudWatch's figures.

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
    /// A cache that uses each figure until it is `max_age_seconds` old.
    pub fn new(max_age_seconds: u64) -> Self {
        Self { max_age_seconds, figures: Mutex::default() }
    }

    /// The figure of `metric`, if there is one that is fresh at `now`.
    pub fn get(&self, metric: &str, now: DateTime<Utc>) -> Option<UsageSeries> {
        self.figures().get(metric).filter(|series| self.is_fresh(series, now)).cloned()
    }

    /// Stores a figure, and removes figures that are too old at `now`.
    pub fn put(&self, metric: &str, series: UsageSeries, now: DateTime<Utc>) {
        let mut figures = self.figures();
        figures.retain(|_, series| self.is_fresh(series, now));
        figures.insert(metric.to_owned(), series);
    }

    /// `true` if the figure is younger than `max_age_seconds` at `now`.
    pub fn is_fresh(&self, series: &UsageSeries, now: DateTime<Utc>) -> bool {
        series.age_seconds(now) < self.max_age_seconds
    }

    fn figures(&self) -> MutexGuard<'_, HashMap<String, UsageSeries>> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
