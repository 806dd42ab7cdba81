#![doc = include_str!("../README.md")]

use chrono::{DateTime, Utc};
use sentry_contract::ErrorCode;
use sentry_contract::states::MonthRange;
use sentry_domain::MonthWindow;
use sentry_lambda::Failure;

/// The month-to-date range at `now`.
///
/// # Errors
/// Only for a clock beyond the years that can be represented.
pub fn month_range(now: DateTime<Utc>) -> Result<MonthRange, Failure> {
    let month = MonthWindow::containing(now).ok_or_else(|| {
        Failure::new(ErrorCode::UsageUnavailable, format!("the clock says {now}, which lies in no month"))
    })?;
    Ok(MonthRange { window: month.name(), start: month.start(), end: now, resets_at: month.resets_at() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_reaches_from_the_first_instant_of_the_month_to_now() {
        let range = month_range("2028-02-29T23:59:59.5Z".parse().unwrap()).unwrap();
        let expected = serde_json::json!({"window": "2028-02", "start": "2028-02-01T00:00:00Z",
            "end": "2028-02-29T23:59:59.500Z", "resetsAt": "2028-03-01T00:00:00Z"});
        assert_eq!(serde_json::to_value(range).unwrap(), expected);
    }
}
