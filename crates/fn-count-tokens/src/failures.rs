//! The models for which Bedrock has failed to count, and for which it is not asked again for some time.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Maximum number of ids that are remembered. The ids come from clients, so the number must be bounded.
const MOST_REMEMBERED: usize = 100;
/// Time for which Bedrock is not asked after it denied access. A corrected policy takes effect soon, and an uncorrected
/// one costs one call per minute.
const DENIED_FOR: Duration = Duration::from_secs(60);

/// The reason why Bedrock does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CountFailure {
    /// Bedrock does not count for the model.
    Unsupported,
    /// The function's role may not count for the model.
    AccessDenied,
}

/// The failures that this process remembers, by model id.
#[derive(Debug, Default)]
pub struct CountFailures(Mutex<HashMap<String, Ends>>);

/// The end of a failure's memory; `None` if it never ends.
type Ends = Option<Instant>;

impl CountFailures {
    /// `true` if Bedrock has failed to count for `model_id` and must not be asked again at `now`.
    pub fn hold(&self, model_id: &str, now: Instant) -> bool {
        self.lock().get(model_id).is_some_and(|ends| in_force(*ends, now))
    }

    /// Remembers a failure that occurred at `now`.
    pub fn remember(&self, model_id: &str, failure: CountFailure, now: Instant) {
        let mut failures = self.lock();
        failures.retain(|_, ends| in_force(*ends, now));
        if failures.len() < MOST_REMEMBERED {
            failures.insert(model_id.to_owned(), (failure == CountFailure::AccessDenied).then(|| now + DENIED_FOR));
        }
    }

    /// Ignores poisoning, because a panic elsewhere leaves the map complete.
    fn lock(&self) -> MutexGuard<'_, HashMap<String, Ends>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn in_force(ends: Ends, now: Instant) -> bool {
    ends.is_none_or(|ends| now < ends)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_are_remembered_than_there_are_models_and_those_that_have_ended_make_room() {
        let (failures, now) = (CountFailures::default(), Instant::now());
        for number in 0..=MOST_REMEMBERED {
            failures.remember(&format!("model-{number}"), CountFailure::AccessDenied, now);
        }
        assert!(failures.hold("model-99", now) && !failures.hold("model-100", now));
        failures.remember("model-100", CountFailure::Unsupported, now + DENIED_FOR);
        assert!(failures.hold("model-100", now + DENIED_FOR * 1_000) && !failures.hold("model-99", now + DENIED_FOR));
    }
}
