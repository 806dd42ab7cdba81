//! The window that usage is counted in.

use chrono::{DateTime, Datelike, Months, NaiveTime, Utc};

/// A calendar month in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MonthWindow {
    start: DateTime<Utc>,
    end: DateTime<Utc>,
}

impl MonthWindow {
    /// The month that `instant` lies in; a month begins at its first instant and ends before the next one's.
    ///
    /// `None` only beyond the years that `chrono` can represent.
    #[must_use]
    pub fn containing(instant: DateTime<Utc>) -> Option<Self> {
        let first_day = instant.date_naive().with_day(1)?;
        let next_month = first_day.checked_add_months(Months::new(1))?;
        Some(Self {
            start: first_day.and_time(NaiveTime::MIN).and_utc(),
            end: next_month.and_time(NaiveTime::MIN).and_utc(),
        })
    }

    /// The first instant of the month.
    #[must_use]
    pub fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// The first instant of the next month, when the budget is whole again.
    #[must_use]
    pub fn resets_at(&self) -> DateTime<Utc> {
        self.end
    }

    /// The month's name, `2026-11`.
    #[must_use]
    pub fn name(&self) -> String {
        self.start.format("%Y-%m").to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{Duration, TimeZone};
    use proptest::prelude::*;

    fn month_of(instant: &str) -> (String, String, String) {
        let month = MonthWindow::containing(instant.parse().unwrap()).unwrap();
        (month.name(), month.start().to_rfc3339(), month.resets_at().to_rfc3339())
    }

    #[test]
    fn month_and_year_ends_and_leap_days_belong_to_their_month() {
        let cases = [
            ("2026-11-01T00:00:00Z", "2026-11", "2026-12-01T00:00:00+00:00"),
            ("2026-11-30T23:59:59.999999999Z", "2026-11", "2026-12-01T00:00:00+00:00"),
            ("2026-12-31T23:59:59Z", "2026-12", "2027-01-01T00:00:00+00:00"),
            ("2027-01-01T00:00:00Z", "2027-01", "2027-02-01T00:00:00+00:00"),
            ("2028-02-29T12:00:00Z", "2028-02", "2028-03-01T00:00:00+00:00"),
            ("2027-02-28T23:59:59Z", "2027-02", "2027-03-01T00:00:00+00:00"),
            ("2100-02-28T23:59:59Z", "2100-02", "2100-03-01T00:00:00+00:00"),
        ];
        for (instant, name, resets_at) in cases {
            assert_eq!(month_of(instant), (name.into(), format!("{name}-01T00:00:00+00:00"), resets_at.into()));
        }
    }

    #[test]
    fn an_offset_does_not_move_an_instant_to_another_month() {
        assert_eq!(month_of("2026-12-01T00:30:00+01:00").0, "2026-11");
    }

    proptest! {
        #[test]
        fn every_instant_lies_in_its_month_and_months_touch(seconds in -2_000_000_000_i64..32_000_000_000) {
            let instant = Utc.timestamp_opt(seconds, 0).unwrap();
            let month = MonthWindow::containing(instant).unwrap();
            prop_assert!(month.start() <= instant && instant < month.resets_at());
            let days = (month.resets_at() - month.start()).num_days();
            prop_assert!((28..=31).contains(&days));
            let next = MonthWindow::containing(month.resets_at()).unwrap();
            prop_assert_eq!(next.start(), month.resets_at());
            let before = MonthWindow::containing(month.start() - Duration::nanoseconds(1)).unwrap();
            prop_assert_eq!(before.resets_at(), month.start());
        }
    }
}
