//! Settings from the environment.

use std::str::FromStr;

use thiserror::Error;
use tracing::level_filters::LevelFilter;

/// A setting that is missing or cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidSetting {
    /// The variable is not set.
    #[error("the environment variable {0} is not set; the template sets it for every function that needs it")]
    Missing(&'static str),
    /// The variable is set to something else than asked for.
    #[error("the environment variable {name} is {value:?}, which is not {expected}")]
    Malformed {
        /// The variable.
        name: &'static str,
        /// What it holds.
        value: String,
        /// What it should hold.
        expected: &'static str,
    },
}

/// The value of the variable `name`.
///
/// # Errors
/// When it is not set, or empty.
pub fn required(name: &'static str) -> Result<String, InvalidSetting> {
    std::env::var(name).ok().filter(|value| !value.is_empty()).ok_or(InvalidSetting::Missing(name))
}

/// The value of the variable `name` as a `T`; `expected` describes one, for the error.
///
/// # Errors
/// When it is not set, or not a `T`.
pub fn parsed<T: FromStr>(name: &'static str, expected: &'static str) -> Result<T, InvalidSetting> {
    let value = required(name)?;
    value.parse().map_err(|_| InvalidSetting::Malformed { name, value, expected })
}

/// What is logged: `SENTRY_LOG_LEVEL` (`error`, `warn` or `info`), at most and by default `info`.
///
/// Below that, the Lambda runtime and the SDK write whole events and requests to the log, prompts included.
pub(crate) fn log_level() -> LevelFilter {
    capped(std::env::var("SENTRY_LOG_LEVEL").ok().as_deref())
}

fn capped(level: Option<&str>) -> LevelFilter {
    let level = level.filter(|level| !level.is_empty());
    level.and_then(|level| level.parse().ok()).unwrap_or(LevelFilter::INFO).min(LevelFilter::INFO)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_setting_makes_dependencies_log_events_and_requests() {
        for level in ["info", "debug", "trace", "lambda_runtime=trace", ""] {
            assert_eq!(capped(Some(level)), LevelFilter::INFO, "{level}");
        }
        assert_eq!((capped(None), capped(Some("error"))), (LevelFilter::INFO, LevelFilter::ERROR));
    }

    #[test]
    fn a_missing_or_malformed_setting_is_named() {
        assert_eq!(required("SENTRY_TEST_UNSET"), Err(InvalidSetting::Missing("SENTRY_TEST_UNSET")));
        let malformed = parsed::<u64>("PATH", "a whole number of seconds").unwrap_err().to_string();
        assert!(malformed.contains("PATH") && malformed.contains("a whole number of seconds"), "{malformed}");
    }
}
