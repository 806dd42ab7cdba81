//! The clock of the simulator. It can start at any time, and a client can move it.

use std::{
    sync::Mutex,
    time::{Duration, Instant, SystemTime},
};

use aws_smithy_types::date_time::{DateTime, Format};

use crate::lock::lock;

/// A clock that runs at the speed of the machine's clock.
pub struct Clock {
    /// The simulated time that was set last, and the real instant at which it was set.
    set: Mutex<(SystemTime, Instant)>,
}

impl Clock {
    /// A clock that starts at `now`.
    pub fn new(now: SystemTime) -> Self {
        Self { set: Mutex::new((now, Instant::now())) }
    }

    /// The time at which models end and prompt caches expire.
    pub fn now(&self) -> SystemTime {
        let (then, at) = *lock(&self.set);
        then + at.elapsed()
    }

    /// Sets the clock, which continues from `now`.
    pub fn set(&self, now: SystemTime) {
        *lock(&self.set) = (now, Instant::now());
    }

    /// The simulated time as text, such as `2026-11-26T12:00:00Z`.
    pub fn text(&self) -> String {
        let seconds = self.now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let whole = DateTime::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        whole.fmt(Format::DateTime).unwrap_or_default()
    }
}

/// Parses a time such as `2027-01-08T00:00:00Z`.
pub fn time(text: &str) -> Option<SystemTime> {
    DateTime::from_str(text, Format::DateTime).ok()?.try_into().ok()
}
