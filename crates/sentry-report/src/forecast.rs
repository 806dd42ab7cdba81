//! The spend at the end of the month.

use chrono::{Days, NaiveDate};
use sentry_domain::Usd;
use sentry_history::Day;
use serde::Serialize;

use crate::input::sum;
use crate::month::Month;
use crate::signed::root;

/// The number of full days whose mean and spread are carried forward.
pub const MEAN_OF_DAYS: u32 = 7;

/// The spend that is expected for the whole month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Forecast {
    /// The month is over, so its spend is known.
    Over,
    /// The usage history has too few full days.
    NotEnoughDays {
        /// The full days that it has.
        days: u32,
        /// The full days that a forecast needs.
        needed: u32,
    },
    /// The spend so far, plus the mean of the last full days for each day that is left.
    Expected {
        /// The expected spend of the whole month.
        usd: Usd,
        /// The lower end of the range, at least what is spent.
        low: Usd,
        /// The upper end of the range.
        high: Usd,
        /// The mean spend of the last full days.
        mean: Usd,
        /// The days for which the mean is carried forward, today among them.
        days_left: u32,
        /// `true` if a part of the spend is not known, so that each figure is a floor.
        is_floor: bool,
    },
}

impl Forecast {
    /// The forecast for `month` on the day `today`, from the days of all scopes.
    ///
    /// A day that is not over does not count towards the mean. The range is the standard deviation of the daily spend,
    /// multiplied by the square root of the days that are left. If days are independent of each other, about two of
    /// three months end in the range.
    #[must_use]
    pub fn of<'d>(
        days: impl IntoIterator<Item = &'d Day> + Clone,
        month: Month,
        today: NaiveDate,
        is_floor: bool,
    ) -> Self {
        if month.last() < today {
            return Self::Over;
        }
        let begun = days.clone().into_iter().map(|day| day.day).min();
        let full = begun.map_or(0, |begun| (today - begun).num_days().max(0));
        let full = u32::try_from(full).unwrap_or(u32::MAX);
        if full < MEAN_OF_DAYS || !month.has(today) {
            return Self::NotEnoughDays { days: full.min(MEAN_OF_DAYS), needed: MEAN_OF_DAYS };
        }
        let spent = |first, last| sum(days.clone(), first, last).spent().usd.picodollars();
        let last_days = (1..=u64::from(MEAN_OF_DAYS)).filter_map(|back| today.checked_sub_days(Days::new(back)));
        let daily: Vec<u128> = last_days.map(|day| spent(day, day)).collect();
        let (mean, spread) = mean_and_spread(&daily);
        let days_left = u32::try_from((month.last() - today).num_days() + 1).unwrap_or_default();
        let before_today = today.pred_opt().filter(|day| *day >= month.first());
        let before_today = before_today.map_or(0, |yesterday| spent(month.first(), yesterday));
        let so_far = spent(month.first(), today);
        let expected = (before_today + mean * u128::from(days_left)).max(so_far);
        // In thousandths, because the square root of the days is no whole number.
        let range = spread * root(u128::from(days_left) * 1_000_000) / 1_000;
        Self::Expected {
            usd: Usd::from_picodollars(expected),
            low: Usd::from_picodollars(expected.saturating_sub(range).max(so_far)),
            high: Usd::from_picodollars(expected + range),
            mean: Usd::from_picodollars(mean),
            days_left,
            is_floor,
        }
    }
}

/// The mean and the standard deviation of a sample, rounded down to whole picodollars and microdollars.
fn mean_and_spread(daily: &[u128]) -> (u128, u128) {
    let count = daily.len() as u128;
    let Some(mean) = daily.iter().sum::<u128>().checked_div(count) else { return (0, 0) };
    // Squares of microdollars fit into 128 bits also for a million dollars a day.
    let microdollars = |number: u128| number / 1_000_000;
    let squares: u128 = daily.iter().map(|day| microdollars(day.abs_diff(mean)).saturating_pow(2)).sum();
    let variance = squares.checked_div(count.saturating_sub(1)).unwrap_or_default();
    (mean, root(variance) * 1_000_000)
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentry_history::{Sums, attribute};

    fn day(text: &str, dollars: u128) -> Day {
        let mut sums = Sums::default();
        sums.add(attribute::PICODOLLARS, dollars * 1_000_000_000_000);
        Day { day: text.parse().unwrap(), sums }
    }

    fn date(text: &str) -> NaiveDate {
        text.parse().unwrap()
    }

    #[test]
    fn the_mean_of_seven_days_is_carried_to_the_end_of_the_month() {
        let month: Month = "2026-11".parse().unwrap();
        // Seven full days of 10, 10, 10, 10, 10, 10 and 17 dollars: mean 11, variance (6 × 1 + 36) / 6 = 7.
        let mut days: Vec<Day> = (1..=6).map(|number| day(&format!("2026-11-0{number}"), 10)).collect();
        days.extend([day("2026-11-07", 17), day("2026-11-08", 3)]);
        let forecast = Forecast::of(&days, month, date("2026-11-08"), false);
        let Forecast::Expected { usd, low, high, mean, days_left, .. } = forecast else { panic!("{forecast:?}") };
        assert_eq!((mean.to_string(), days_left), ("11.000000000".to_owned(), 23));
        // 77 dollars until the 7th, and 23 days of 11 dollars.
        assert_eq!(usd.to_string(), "330.000000000");
        // √7 × √23 = √161 = 12.688577…; the root of 23 is cut off at thousandths.
        let range = usd.saturating_sub(low).picodollars();
        assert_eq!(range / 10_000_000_000, 1268);
        assert_eq!(high.saturating_sub(usd).picodollars(), range);
    }

    #[test]
    fn a_day_without_requests_is_a_day_of_zero_but_days_before_the_first_are_none() {
        let month: Month = "2026-11".parse().unwrap();
        let quiet = [day("2026-11-01", 70)];
        let forecast = Forecast::of(&quiet, month, date("2026-11-08"), true);
        let Forecast::Expected { mean, is_floor, .. } = forecast else { panic!("{forecast:?}") };
        assert_eq!((mean.to_string(), is_floor), ("10.000000000".to_owned(), true));
        let young = [day("2026-11-04", 70)];
        let expected = Forecast::NotEnoughDays { days: 4, needed: 7 };
        assert_eq!(Forecast::of(&young, month, date("2026-11-08"), false), expected);
        assert_eq!(Forecast::of(&[], month, date("2026-11-08"), false), Forecast::NotEnoughDays { days: 0, needed: 7 });
    }

    #[test]
    fn a_forecast_is_never_below_what_is_spent() {
        let month: Month = "2026-11".parse().unwrap();
        let spree = [day("2026-11-01", 1), day("2026-11-30", 500)];
        let forecast = Forecast::of(&spree, month, date("2026-11-30"), false);
        let Forecast::Expected { usd, low, .. } = forecast else { panic!("{forecast:?}") };
        assert_eq!((usd, low), (Usd::from_picodollars(501_000_000_000_000), usd));
        assert_eq!(Forecast::of(&spree, month, date("2026-12-01"), false), Forecast::Over);
    }

    #[test]
    fn the_last_days_of_the_month_before_count_towards_the_mean() {
        let month: Month = "2026-11".parse().unwrap();
        let days: Vec<Day> = (20..=31).map(|number| day(&format!("2026-10-{number}"), 2)).collect();
        let forecast = Forecast::of(&days, month, date("2026-11-01"), false);
        let Forecast::Expected { usd, days_left, .. } = forecast else { panic!("{forecast:?}") };
        assert_eq!((usd.to_string(), days_left), ("60.000000000".to_owned(), 30));
    }
}
