//! The models that are not asked about, because Bedrock has refused to count for them.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Clients choose the ids: no more of them are remembered than there are models.
const MOST_REMEMBERED: usize = 100;
/// How long a denied model is not asked about: a policy that is corrected counts soon, and one that is not costs a call a minute.
const DENIED_FOR: Duration = Duration::from_secs(60);

/// Why Bedrock has refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It does not count for the model.
    Unsupported,
    /// The role may not ask.
    Denied,
}

/// The refusals of this process, by model id.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<HashMap<String, Ends>>);

/// When a refusal ends; `None` for never.
type Ends = Option<Instant>;

impl Refusals {
    /// Whether Bedrock has refused `model_id` and must not be asked again at `now`.
    pub fn hold(&self, model_id: &str, now: Instant) -> bool {
        self.lock().get(model_id).is_some_and(|ends| in_force(*ends, now))
    }

    /// Remembers a refusal that came at `now`.
    pub fn remember(&self, model_id: &str, refusal: Refusal, now: Instant) {
        let mut refusals = self.lock();
        refusals.retain(|_, ends| in_force(*ends, now));
        if refusals.len() < MOST_REMEMBERED {
            refusals.insert(model_id.to_owned(), (refusal == Refusal::Denied).then(|| now + DENIED_FOR));
        }
    }

    /// A panic elsewhere leaves the map whole.
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
        let (refusals, now) = (Refusals::default(), Instant::now());
        for number in 0..=MOST_REMEMBERED {
            refusals.remember(&format!("model-{number}"), Refusal::Denied, now);
        }
        assert!(refusals.hold("model-99", now) && !refusals.hold("model-100", now));
        refusals.remember("model-100", Refusal::Unsupported, now + DENIED_FOR);
        assert!(refusals.hold("model-100", now + DENIED_FOR * 1_000) && !refusals.hold("model-99", now + DENIED_FOR));
    }
}
