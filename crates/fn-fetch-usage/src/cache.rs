//! Figures of the last seconds. A warm function saves CloudWatch's price and time; it never knows more than CloudWatch did.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sentry_contract::states::UsageFigure;

/// The longest that the contract lets a figure be used again.
const LONGEST: Duration = Duration::from_secs(60);

/// The last figure of each model.
#[derive(Debug)]
pub struct Cache {
    max_age: Duration,
    figures: Mutex<HashMap<String, (Instant, UsageFigure)>>,
}

impl Cache {
    /// A cache whose figures are used for `max_age`, at most a minute.
    pub fn new(max_age: Duration) -> Self {
        Self { max_age: max_age.min(LONGEST), figures: Mutex::default() }
    }

    /// The model's figure of `window`, if it is young enough at `now`.
    pub fn get(&self, model: &str, window: &str, now: Instant) -> Option<UsageFigure> {
        let figures = self.figures();
        let (taken, figure) = figures.get(model)?;
        let fresh = now.saturating_duration_since(*taken) < self.max_age && figure.window == window;
        fresh.then(|| figure.clone())
    }

    /// Keeps a figure that was asked for at `now`, and drops those that are too old.
    pub fn put(&self, model: &str, figure: UsageFigure, now: Instant) {
        let mut figures = self.figures();
        figures.retain(|_, (taken, _)| now.saturating_duration_since(*taken) < self.max_age);
        if !self.max_age.is_zero() {
            figures.insert(model.to_owned(), (now, figure));
        }
    }

    fn figures(&self) -> MutexGuard<'_, HashMap<String, (Instant, UsageFigure)>> {
        self.figures.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
