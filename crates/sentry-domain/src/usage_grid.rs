//! The instants at which an hour, a day, a week or a month that is in force can begin, in any time zone.
//!
//! With these instants, one query to CloudWatch serves every limit of a model. Usage is counted between each instant
//! and the next. The usage of a window is the sum from its start.

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, Utc};
use serde::{Deserialize, Serialize};

/// Distance between two instants of the grid, in seconds. All offsets from UTC in the time zone database are multiples
/// of a quarter of an hour today, so windows begin at such multiples.
pub const STEP_SECONDS: i64 = 900;
/// Longest day, in seconds: 25 hours when clocks are put back, and one hour of margin. It is longer than any shorter
/// window.
const LONGEST_DAY: i64 = 26 * 3_600;
/// Longest time by which a date begins somewhere before it begins in UTC, in seconds: 14 hours (Pacific/Kiritimati),
/// and one hour of margin.
const EARLIEST: i64 = 15 * 3_600;
/// Longest time by which a date begins somewhere after it begins in UTC, in seconds: 12 hours (Etc/GMT+12), and one
/// hour of margin.
const LATEST: i64 = 13 * 3_600;

/// The instants of the grid, in seconds since 1970, stored as runs of quarter hours.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UsageGrid {
    /// Separate and ascending; at least one.
    runs: Vec<Run>,
}

/// All quarter hours from the first value to the second, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Run(i64, i64);

impl UsageGrid {
    /// The instants up to `now` at which the hour, day, ISO week or month that contains `now` can begin.
    #[must_use]
    pub fn at(now: DateTime<Utc>) -> Self {
        let (now, date) = (now.timestamp(), now.date_naive());
        let mut runs = vec![Run(floor(now - LONGEST_DAY), floor(now))];
        runs.extend(begun(&weeks_around(date), now));
        runs.extend(begun(&months_around(date), now));
        Self { runs: merged(runs) }
    }

    /// The first instant, in seconds since 1970.
    #[must_use]
    pub fn start(&self) -> i64 {
        self.runs.first().map_or(0, |run| run.0)
    }

    /// The last instant of the grid that is not after `second`. If all are after it, the first instant.
    #[must_use]
    pub fn boundary_of(&self, second: i64) -> i64 {
        let run = self.runs.iter().rev().find(|run| run.0 <= second);
        run.map_or(self.start(), |run| floor(second).min(run.1))
    }
}

/// The runs of periods that have begun somewhere at `now` and have not ended everywhere. Each period begins on one of
/// `dates` and ends on the next.
fn begun(dates: &[NaiveDate], now: i64) -> Vec<Run> {
    let starts: Vec<i64> =
        dates.iter().map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp()).collect();
    let periods = starts.windows(2).filter_map(|period| match period {
        [start, next] if start - EARLIEST <= now && now < next + LATEST => {
            Some(Run(start - EARLIEST, (start + LATEST).min(floor(now))))
        }
        _ => None,
    });
    periods.collect()
}

/// The Mondays of the week of `date`, of the week before, and of the two weeks after.
fn weeks_around(date: NaiveDate) -> Vec<NaiveDate> {
    let monday = date - Days::new(u64::from(date.weekday().num_days_from_monday()));
    vec![monday - Days::new(7), monday, monday + Days::new(7), monday + Days::new(14)]
}

/// The first days of the month of `date`, of the month before, and of the two months after.
fn months_around(date: NaiveDate) -> Vec<NaiveDate> {
    let first = date - Days::new(u64::from(date.day0()));
    vec![first - Months::new(1), first, first + Months::new(1), first + Months::new(2)]
}

/// The runs in ascending order, without overlaps.
fn merged(mut runs: Vec<Run>) -> Vec<Run> {
    runs.sort_by_key(|run| run.0);
    let mut merged: Vec<Run> = Vec::new();
    for run in runs {
        match merged.last_mut() {
            Some(last) if run.0 <= last.1 + STEP_SECONDS => last.1 = last.1.max(run.1),
            _ => merged.push(run),
        }
    }
    merged
}

fn floor(second: i64) -> i64 {
    second - second.rem_euclid(STEP_SECONDS)
}

#[cfg(test)]
mod tests {
    use chrono_tz::{TZ_VARIANTS, Tz};
    use proptest::prelude::*;

    use super::*;
    use crate::{Window, WindowKind};

    const KINDS: [WindowKind; 4] = [WindowKind::Hour, WindowKind::Day, WindowKind::Week, WindowKind::Month];

    /// Every instant of `grid`, in ascending order.
    fn instants(grid: &UsageGrid) -> impl Iterator<Item = i64> {
        let of_run = |run: &Run| (run.0..=run.1).step_by(usize::try_from(STEP_SECONDS).unwrap());
        grid.runs.iter().flat_map(of_run)
    }

    fn has_start(zone: Tz, kind: WindowKind, now: DateTime<Utc>) -> bool {
        let start = Window::containing(kind, zone, now).start().timestamp();
        let grid = UsageGrid::at(now);
        start >= grid.start() && grid.boundary_of(start) == start && instants(&grid).any(|instant| instant == start)
    }

    #[test]
    fn the_edges_of_months_weeks_and_changes_of_the_clocks_are_covered_in_every_kind_of_zone() {
        let zones = [
            Tz::UTC,
            Tz::Asia__Kathmandu,
            Tz::Asia__Kolkata,
            Tz::Pacific__Chatham,
            Tz::Australia__Lord_Howe,
            Tz::Pacific__Kiritimati,
            Tz::Pacific__Pago_Pago,
            Tz::Etc__GMTPlus12,
            Tz::America__St_Johns,
            Tz::America__New_York,
            Tz::Europe__London,
            Tz::Europe__Berlin,
            Tz::Australia__Sydney,
            Tz::Asia__Tehran,
            Tz::Pacific__Apia,
            Tz::Antarctica__Troll,
            Tz::Asia__Beirut,
            Tz::Africa__Casablanca,
        ];
        let days = [
            "2026-11-01",
            "2026-10-31",
            "2026-11-30",
            "2026-12-01",
            "2027-01-01",
            "2027-01-03",
            "2027-01-04",
            "2028-02-29",
            "2026-03-08",
            "2026-03-29",
            "2026-10-25",
            "2026-10-04",
            "2026-04-05",
            "2027-02-01",
        ];
        for day in days {
            let midnight: DateTime<Utc> = format!("{day}T00:00:00Z").parse().unwrap();
            // From one day before to one day after, at and around every quarter of an hour.
            for quarter in -96..=96 {
                for second in [-1, 0, 1] {
                    let now = midnight + chrono::Duration::seconds(quarter * STEP_SECONDS + second);
                    for (zone, kind) in zones.iter().flat_map(|zone| KINDS.map(|kind| (*zone, kind))) {
                        assert!(has_start(zone, kind, now), "{zone} {kind:?} at {now}");
                    }
                }
            }
        }
    }

    #[test]
    fn an_instant_belongs_to_the_last_one_of_the_grid_before_it() {
        let now: DateTime<Utc> = "2026-11-18T12:20:00Z".parse().unwrap();
        let grid = UsageGrid::at(now);
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap().timestamp();
        // Somewhere the month began between October 31, 09:00 and November 1, 13:00, and the week between November 15,
        // 09:00 and November 16, 13:00.
        assert_eq!(grid.start(), at("2026-10-31T09:00:00Z"));
        for (second, boundary) in [
            ("2026-11-01T00:07:00Z", "2026-11-01T00:00:00Z"),
            ("2026-11-10T00:00:00Z", "2026-11-01T13:00:00Z"),
            ("2026-11-16T18:00:00Z", "2026-11-16T13:00:00Z"),
            ("2026-11-18T12:19:59Z", "2026-11-18T12:15:00Z"),
            ("2026-11-18T13:00:00Z", "2026-11-18T12:15:00Z"),
            ("2026-10-01T00:00:00Z", "2026-10-31T09:00:00Z"),
        ] {
            assert_eq!(grid.boundary_of(at(second)), at(boundary), "{second}");
        }
        assert_eq!(serde_json::from_str::<UsageGrid>(&serde_json::to_string(&grid).unwrap()).unwrap(), grid);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2_000))]
        #[test]
        fn every_window_in_force_begins_on_the_grid_and_the_span_fits_one_page(
            seconds in 1_767_225_600_i64..2_082_758_400, // 2026 to 2035
            zone in prop::sample::select(TZ_VARIANTS.to_vec()),
        ) {
            let now = DateTime::from_timestamp(seconds, 0).unwrap();
            for kind in KINDS {
                prop_assert!(has_start(zone, kind, now), "{} {:?} at {}", zone, kind, now);
            }
            let grid = UsageGrid::at(now);
            prop_assert!(instants(&grid).count() < 600);
            // Six metrics; a page of GetMetricData has 100,800 points.
            prop_assert!(((seconds - grid.start()) / STEP_SECONDS + 1) * 6 <= 100_800);
        }
    }
}
