//! Settings from environment variables.

use std::str::FromStr;

use thiserror::Error;
use tracing::level_filters::LevelFilter;

/// A setting that is missing or cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidSetting {
    /// The variable is not set, or is empty.
    #[error("the environment variable {0} is not set; the template sets it for every function that needs it")]
    Missing(&'static str),
    /// The variable is set to a value of another form.
    #[error("the environment variable {name} is {value:?}, which is not {expected}")]
    Malformed {
        /// Name of the environment variable.
        name: &'static str,
        /// Value of the environment variable.
        value: String,
        /// Description of the values that are accepted.
        expected: &'static str,
    },
}

/// The value of the variable `name`.
///
/// # Errors
/// If the variable is not set, or is empty.
pub fn required(name: &'static str) -> Result<String, InvalidSetting> {
    optional(name).ok_or(InvalidSetting::Missing(name))
}

/// The value of the variable `name`. `None` if it is not set, or is empty.
#[must_use]
pub fn optional(name: &'static str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// The value of the variable `name` as a `T`. `expected` describes a valid value, for the error.
///
/// # Errors
/// If the variable is not set, is empty, or is not a `T`.
pub fn parsed<T: FromStr>(name: &'static str, expected: &'static str) -> Result<T, InvalidSetting> {
    let value = required(name)?;
    value.parse().map_err(|_| InvalidSetting::Malformed { name, value, expected })
}

/// The log level from `SENTRY_LOG_LEVEL` (`error`, `warn` or `info`). The most detailed level, and the default, is
/// `info`.
///
/// At more detailed levels, the Lambda runtime and the SDK log whole events and requests, including prompts.
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
