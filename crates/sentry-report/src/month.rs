//! Calendar months of UTC days.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, Months, NaiveDate, NaiveTime, Utc};
use serde::{Serialize, Serializer};
use thiserror::Error;

/// A calendar month, such as `2026-11`. Its days are UTC days, as those of the usage history.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Month {
    first: NaiveDate,
}

/// The error for a text that does not name a month.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0:?} is no month: year and month, such as 2026-11")]
pub struct InvalidMonth(String);

impl Month {
    /// The month that contains `day`.
    #[must_use]
    pub fn of(day: NaiveDate) -> Self {
        Self { first: day.with_day(1).unwrap_or(day) }
    }

    /// The first day of the month.
    #[must_use]
    pub const fn first(self) -> NaiveDate {
        self.first
    }

    /// The last day of the month.
    #[must_use]
    pub fn last(self) -> NaiveDate {
        self.next().first.pred_opt().unwrap_or(self.first)
    }

    /// The month after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self { first: self.first.checked_add_months(Months::new(1)).unwrap_or(NaiveDate::MAX) }
    }

    /// The month before this one.
    #[must_use]
    pub fn before(self) -> Self {
        Self { first: self.first.checked_sub_months(Months::new(1)).unwrap_or(NaiveDate::MIN) }
    }

    /// The number of days.
    #[must_use]
    pub fn length(self) -> u32 {
        self.last().day()
    }

    /// Every day, in order.
    pub fn days(self) -> impl Iterator<Item = NaiveDate> {
        let last = self.last();
        self.first.iter_days().take_while(move |day| *day <= last)
    }

    /// The first instant of the month after this one.
    #[must_use]
    pub fn end(self) -> DateTime<Utc> {
        self.next().first.and_time(NaiveTime::MIN).and_utc()
    }

    /// `true` if `day` is in the month.
    #[must_use]
    pub fn has(self, day: NaiveDate) -> bool {
        Self::of(day) == self
    }

    /// The name for a heading, such as `November 2026`.
    #[must_use]
    pub fn title(self) -> String {
        self.first.format("%B %Y").to_string()
    }
}

impl fmt::Display for Month {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.first.format("%Y-%m").fmt(f)
    }
}

impl FromStr for Month {
    type Err = InvalidMonth;

    fn from_str(text: &str) -> Result<Self, InvalidMonth> {
        let day = format!("{text}-01").parse::<NaiveDate>().ok();
        day.filter(|_| text.len() == 7).map(Self::of).ok_or_else(|| InvalidMonth(text.to_owned()))
    }
}

impl Serialize for Month {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_knows_its_days_and_its_neighbors() {
        let month = |text: &str| text.parse::<Month>().unwrap();
        assert_eq!(month("2028-02").length(), 29);
        assert_eq!(month("2026-12").next().to_string(), "2027-01");
        assert_eq!(month("2026-01").before().to_string(), "2025-12");
        assert_eq!(month("2026-11").days().count(), 30);
        assert_eq!(month("2026-11").end().to_rfc3339(), "2026-12-01T00:00:00+00:00");
        assert!(month("2026-11").has("2026-11-30".parse().unwrap()));
        for text in ["", "2026", "2026-13", "2026-1", "26-11", "2026-11-01", "november"] {
            assert_eq!(text.parse::<Month>(), Err(InvalidMonth(text.to_owned())), "{text}");
        }
    }
}
