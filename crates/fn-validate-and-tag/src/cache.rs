//! A cache of look-ups, so a warm function does not repeat them. A result that nothing was found is cached too.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Limit of entries. Clients can send any number of unknown names, and these must not fill the memory.
const MOST: usize = 1_000;

/// Answers by key, each used for a limited time.
#[derive(Debug)]
pub struct Cache<V> {
    max_age: Duration,
    answers: Mutex<HashMap<String, (Instant, V)>>,
}

impl<V: Clone> Cache<V> {
    /// A cache that uses each answer for `max_age`.
    pub fn new(max_age: Duration) -> Self {
        Self { max_age, answers: Mutex::default() }
    }

    /// The answer for `key`, if it is younger than `max_age` at `at`.
    pub fn get(&self, key: &str, at: Instant) -> Option<V> {
        let answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        let (taken, answer) = answers.get(key)?;
        (at.saturating_duration_since(*taken) < self.max_age).then(|| answer.clone())
    }

    /// Stores an answer from the time `at`. If the cache is full, it removes expired answers. If that is not enough, it
    /// removes all.
    pub fn put(&self, key: &str, answer: V, at: Instant) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        if answers.len() >= MOST {
            answers.retain(|_, (taken, _)| at.saturating_duration_since(*taken) < self.max_age);
        }
        if answers.len() >= MOST {
            answers.clear();
        }
        answers.insert(key.to_owned(), (at, answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_ages_and_the_number_of_answers_is_bounded() {
        let (cache, start) = (Cache::new(Duration::from_secs(60)), Instant::now());
        cache.put("a", 1, start);
        assert_eq!(cache.get("a", start + Duration::from_secs(59)), Some(1));
        assert_eq!(cache.get("a", start + Duration::from_secs(60)), None);
        for number in 0..3 * MOST {
            cache.put(&number.to_string(), 2, start);
        }
        assert!(cache.answers.lock().unwrap().len() <= MOST);
    }
}
