//! Figures of the last seconds. A warm function saves CloudWatch's price and time; it never knows more than CloudWatch did.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use sentry_contract::states::{UsageFigure, UsageQuery};

/// The longest that the contract lets a figure be used again.
const LONGEST: Duration = Duration::from_secs(60);

/// A model, its window's key and its window's start: months of two time zones have one key, and an admin may change a
/// limit's zone.
type Key = (String, String, DateTime<Utc>);

/// The last figure of each model and window.
#[derive(Debug)]
pub struct Cache {
    max_age: Duration,
    figures: Mutex<HashMap<Key, (Instant, UsageFigure)>>,
}

impl Cache {
    /// A cache whose figures are used for `max_age`, at most a minute.
    pub fn new(max_age: Duration) -> Self {
        Self { max_age: max_age.min(LONGEST), figures: Mutex::default() }
    }

    /// The figure that was asked for, if there is one that is young enough at `at`.
    pub fn get(&self, query: &UsageQuery, at: Instant) -> Option<UsageFigure> {
        let figures = self.figures();
        let (taken, figure) = figures.get(&key(query))?;
        (at.saturating_duration_since(*taken) < self.max_age).then(|| figure.clone())
    }

    /// Keeps a figure that was asked for at `at`, and drops those that are too old.
    pub fn put(&self, query: &UsageQuery, figure: UsageFigure, at: Instant) {
        let mut figures = self.figures();
        figures.retain(|_, (taken, _)| at.saturating_duration_since(*taken) < self.max_age);
        if !self.max_age.is_zero() {
            figures.insert(key(query), (at, figure));
        }
    }

    fn figures(&self) -> MutexGuard<'_, HashMap<Key, (Instant, UsageFigure)>> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(query: &UsageQuery) -> Key {
    (query.model_metric.clone(), query.window.key.clone(), query.window.start)
}
