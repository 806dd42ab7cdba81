//! The windows in which usage is counted: calendar minutes, hours, days, ISO weeks and months of a time zone, and all
//! time.

use std::str::FromStr;

use chrono::{DateTime, Datelike, Duration, Offset, SecondsFormat, TimeZone, Utc};
use chrono_tz::Tz;
use thiserror::Error;

/// The name of the window of all time.
const TOTAL: &str = "total";
/// The name of the window of requests in flight.
const IN_FLIGHT: &str = "inFlight";

/// The length of a window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum WindowKind {
    /// From one full minute to the next.
    Minute,
    /// From one full hour to the next.
    Hour,
    /// From midnight to midnight.
    Day,
    /// An ISO week, from Monday.
    Week,
    /// From the first day of a month to its last.
    #[default]
    Month,
    /// All time. This window never resets.
    Total,
}

/// The error for a text that does not name a kind of window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("is no window; known are minute, hour, day, week, month and total")]
pub struct UnknownWindow;

impl FromStr for WindowKind {
    type Err = UnknownWindow;

    fn from_str(text: &str) -> Result<Self, UnknownWindow> {
        match text {
            "minute" => Ok(Self::Minute),
            "hour" => Ok(Self::Hour),
            "day" => Ok(Self::Day),
            "week" => Ok(Self::Week),
            "month" => Ok(Self::Month),
            "total" => Ok(Self::Total),
            _ => Err(UnknownWindow),
        }
    }
}

impl WindowKind {
    /// Longer than any window of this kind, including the time that a change of the clocks adds.
    fn longest(self) -> Duration {
        match self {
            Self::Minute => Duration::minutes(2),
            Self::Hour => Duration::hours(2),
            Self::Day => Duration::hours(50),
            Self::Week => Duration::days(9),
            Self::Month | Self::Total => Duration::days(33),
        }
    }
}

/// One window: the minute, hour, day, week or month that contains an instant, a period, or all time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    name: String,
    key: String,
    start: DateTime<Utc>,
    end: Option<DateTime<Utc>>,
}

impl Window {
    /// The window of `kind` in `zone` that contains `instant`. It begins at its first instant and ends before the first
    /// instant of the next window.
    #[must_use]
    pub fn containing(kind: WindowKind, zone: Tz, instant: DateTime<Utc>) -> Self {
        if kind == WindowKind::Total {
            return Self::named(TOTAL, DateTime::UNIX_EPOCH, None);
        }
        let now = instant.timestamp();
        let here = Identity::of(kind, zone, now);
        let longest = kind.longest().num_seconds();
        let inside = |second: i64| Identity::of(kind, zone, second) == here;
        // `inside` is true at `now` and false at both far ends. The window is the range around `now` in which it is
        // true.
        let first = boundary(now - longest, now, inside);
        let last = -boundary(-(now + longest), -now, |second| inside(-second));
        let at = |second: i64| DateTime::from_timestamp(second, 0).unwrap_or(instant);
        let mut window = Self::named(&here.name, at(first), Some(at(last + 1)));
        match kind {
            WindowKind::Minute => window.key = window.start.format("%Y-%m-%dT%H:%MZ").to_string(),
            WindowKind::Hour => window.key = written(window.start),
            _ => {}
        }
        window
    }

    /// The window from `from` until `until`. Without `until`, it never resets.
    #[must_use]
    pub fn period(from: DateTime<Utc>, until: Option<DateTime<Utc>>) -> Self {
        let end = until.map_or_else(|| "..".to_owned(), written);
        Self::named(&format!("{}/{end}", written(from)), from, until)
    }

    /// The window of requests in flight, which never resets.
    #[must_use]
    pub fn in_flight() -> Self {
        Self::named(IN_FLIGHT, DateTime::UNIX_EPOCH, None)
    }

    fn named(name: &str, start: DateTime<Utc>, end: Option<DateTime<Utc>>) -> Self {
        Self { name: name.to_owned(), key: name.to_owned(), start, end }
    }

    /// The window's name in its time zone: `2026-11-21T13:05`, `2026-11-21T13`, `2026-11-21`, `2026-W47`, `2026-11`,
    /// `total`, the two instants of a period (ISO 8601, `..` for an open end), or `inFlight`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The window's identifier in its scope. This is the name, except for a minute or an hour: their key is their start
    /// in UTC, because an hour repeats when clocks are put back. The key of a minute has no seconds, so it differs from
    /// the key of the hour that begins with it.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The first instant of the window.
    #[must_use]
    pub fn start(&self) -> DateTime<Utc> {
        self.start
    }

    /// The first instant of the next window, when the full budget is available again. `None` if the window never
    /// resets.
    #[must_use]
    pub fn resets_at(&self) -> Option<DateTime<Utc>> {
        self.end
    }
}

fn written(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Properties that all instants of a window share, and that no adjacent instant has.
#[derive(PartialEq, Eq)]
struct Identity {
    name: String,
    /// Offset from UTC in seconds, for minutes and hours only, because two of them can have the same name. A longer
    /// window continues when clocks change.
    offset: Option<i32>,
}

impl Identity {
    fn of(kind: WindowKind, zone: Tz, second: i64) -> Self {
        let utc = DateTime::from_timestamp(second, 0).unwrap_or_default();
        let local = zone.from_utc_datetime(&utc.naive_utc());
        let naive = local.naive_local();
        let name = match kind {
            WindowKind::Minute => naive.format("%Y-%m-%dT%H:%M").to_string(),
            WindowKind::Hour => naive.format("%Y-%m-%dT%H").to_string(),
            WindowKind::Day => naive.format("%Y-%m-%d").to_string(),
            WindowKind::Week => {
                let week = naive.date().iso_week();
                format!("{:04}-W{:02}", week.year(), week.week())
            }
            WindowKind::Month => naive.format("%Y-%m").to_string(),
            WindowKind::Total => TOTAL.to_owned(),
        };
        let offset =
            matches!(kind, WindowKind::Minute | WindowKind::Hour).then(|| local.offset().fix().local_minus_utc());
        Self { name, offset }
    }
}

/// The first second after `outside` from which `holds` is true, up to `inside`. `holds` is true at `inside` and false
/// at `outside`.
fn boundary(outside: i64, inside: i64, holds: impl Fn(i64) -> bool) -> i64 {
    let (mut outside, mut inside) = (outside, inside);
    while inside - outside > 1 {
        let middle = outside + (inside - outside) / 2;
        if holds(middle) {
            inside = middle;
        } else {
            outside = middle;
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn window(kind: WindowKind, zone: Tz, instant: &str) -> (String, String, String) {
        let window = Window::containing(kind, zone, instant.parse().unwrap());
        let text = |instant: DateTime<Utc>| instant.to_rfc3339_opts(SecondsFormat::Secs, true);
        (window.name().to_owned(), text(window.start()), text(window.resets_at().unwrap()))
    }

    fn is(window: &(String, String, String), name: &str, start: &str, end: &str) {
        assert_eq!((window.0.as_str(), window.1.as_str(), window.2.as_str()), (name, start, end));
    }

    #[test]
    fn month_and_year_ends_and_leap_days_belong_to_their_month() {
        let cases = [
            ("2026-11-01T00:00:00Z", "2026-11", "2026-12-01T00:00:00Z"),
            ("2026-11-30T23:59:59.999999999Z", "2026-11", "2026-12-01T00:00:00Z"),
            ("2026-12-31T23:59:59Z", "2026-12", "2027-01-01T00:00:00Z"),
            ("2028-02-29T12:00:00Z", "2028-02", "2028-03-01T00:00:00Z"),
            ("2027-02-28T23:59:59Z", "2027-02", "2027-03-01T00:00:00Z"),
            ("2100-02-28T23:59:59Z", "2100-02", "2100-03-01T00:00:00Z"),
        ];
        for (instant, name, end) in cases {
            is(&window(WindowKind::Month, Tz::UTC, instant), name, &format!("{name}-01T00:00:00Z"), end);
        }
    }

    #[test]
    fn every_kind_has_its_name_and_bounds() {
        let at = "2026-11-21T13:37:11Z";
        let of = |kind| window(kind, Tz::UTC, at);
        is(&of(WindowKind::Minute), "2026-11-21T13:37", "2026-11-21T13:37:00Z", "2026-11-21T13:38:00Z");
        is(&of(WindowKind::Hour), "2026-11-21T13", "2026-11-21T13:00:00Z", "2026-11-21T14:00:00Z");
        is(&of(WindowKind::Day), "2026-11-21", "2026-11-21T00:00:00Z", "2026-11-22T00:00:00Z");
        is(&of(WindowKind::Week), "2026-W47", "2026-11-16T00:00:00Z", "2026-11-23T00:00:00Z");
        is(&of(WindowKind::Month), "2026-11", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z");
    }

    #[test]
    fn an_iso_week_may_belong_to_another_year_than_its_days() {
        is(
            &window(WindowKind::Week, Tz::UTC, "2027-01-02T00:00:00Z"),
            "2026-W53",
            "2026-12-28T00:00:00Z",
            "2027-01-04T00:00:00Z",
        );
    }

    #[test]
    fn a_time_zone_moves_the_bounds() {
        let tokyo = |kind| window(kind, Tz::Asia__Tokyo, "2026-11-30T15:00:00Z");
        is(&tokyo(WindowKind::Month), "2026-12", "2026-11-30T15:00:00Z", "2026-12-31T15:00:00Z");
        is(&tokyo(WindowKind::Day), "2026-12-01", "2026-11-30T15:00:00Z", "2026-12-01T15:00:00Z");
        let kathmandu = window(WindowKind::Hour, Tz::Asia__Kathmandu, "2026-11-21T12:00:00Z");
        is(&kathmandu, "2026-11-21T17", "2026-11-21T11:15:00Z", "2026-11-21T12:15:00Z");
    }

    #[test]
    fn days_have_23_or_25_hours_when_clocks_change() {
        let paris = |instant| window(WindowKind::Day, Tz::Europe__Paris, instant);
        is(&paris("2026-03-29T12:00:00Z"), "2026-03-29", "2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z");
        is(&paris("2026-10-25T12:00:00Z"), "2026-10-25", "2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z");
    }

    #[test]
    fn the_hour_that_comes_twice_is_two_windows() {
        let at = |instant: &str| Window::containing(WindowKind::Hour, Tz::Europe__Paris, instant.parse().unwrap());
        let (first, second) = (at("2026-10-25T00:30:00Z"), at("2026-10-25T01:30:00Z"));
        assert_eq!((first.name(), second.name()), ("2026-10-25T02", "2026-10-25T02"));
        assert_eq!((first.key(), second.key()), ("2026-10-25T00:00:00Z", "2026-10-25T01:00:00Z"));
        assert_eq!(first.resets_at(), Some(second.start()));
    }

    #[test]
    fn windows_of_every_kind_that_begin_together_have_keys_of_their_own() {
        let midnight = "2026-06-01T00:00:00Z".parse::<DateTime<Utc>>().unwrap();
        let kinds = [
            WindowKind::Minute,
            WindowKind::Hour,
            WindowKind::Day,
            WindowKind::Week,
            WindowKind::Month,
            WindowKind::Total,
        ];
        let mut windows: Vec<Window> =
            kinds.into_iter().map(|kind| Window::containing(kind, Tz::UTC, midnight)).collect();
        windows.extend([Window::in_flight(), Window::period(midnight, None)]);
        let keys: std::collections::BTreeSet<&str> = windows.iter().map(Window::key).collect();
        assert_eq!(keys.len(), windows.len(), "{keys:?}");
    }

    #[test]
    fn only_the_six_names_are_windows() {
        assert_eq!("week".parse(), Ok(WindowKind::Week));
        for text in ["", "Month", "fortnight", "year", "inFlight"] {
            assert_eq!(text.parse::<WindowKind>(), Err(UnknownWindow));
        }
    }

    #[test]
    fn a_period_is_named_by_its_ends_and_all_time_never_resets() {
        let at = |text: &str| text.parse::<DateTime<Utc>>().unwrap();
        let (from, until) = (at("2026-11-01T00:00:00Z"), at("2026-12-15T12:00:00Z"));
        let period = Window::period(from, Some(until));
        assert_eq!(
            (period.name(), period.start(), period.resets_at()),
            ("2026-11-01T00:00:00Z/2026-12-15T12:00:00Z", from, Some(until))
        );
        assert_eq!(Window::period(from, None).name(), "2026-11-01T00:00:00Z/..");
        let total = Window::containing(WindowKind::Total, Tz::Europe__Paris, from);
        assert_eq!((total.name(), total.start(), total.resets_at()), ("total", DateTime::UNIX_EPOCH, None));
        assert_ne!(total.key(), Window::in_flight().key());
    }

    proptest! {
        #[test]
        fn every_instant_lies_in_its_window_and_windows_touch(
            seconds in 1_577_836_800_i64..4_102_444_800,
            kind in prop::sample::select(
                vec![WindowKind::Minute, WindowKind::Hour, WindowKind::Day, WindowKind::Week, WindowKind::Month],
            ),
            zone in prop::sample::select(chrono_tz::TZ_VARIANTS.to_vec()),
        ) {
            let instant = DateTime::from_timestamp(seconds, 0).unwrap();
            let window = Window::containing(kind, zone, instant);
            let end = window.resets_at().unwrap();
            prop_assert!(window.start() <= instant && instant < end);
            prop_assert!(end - window.start() < kind.longest());
            let next = Window::containing(kind, zone, end);
            prop_assert_eq!(next.start(), end);
            prop_assert_ne!(next.key(), window.key());
            let same = Window::containing(kind, zone, end - Duration::nanoseconds(1));
            prop_assert_eq!(same, window);
        }
    }
}
