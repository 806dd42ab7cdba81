//! Budgets: how much of each is used, at what pace, and until when it lasts.

use chrono::{DateTime, Days, NaiveDate, NaiveTime, TimeDelta, Utc};
use sentry_domain::{Amount, LimitWindow, Unit};
use sentry_history::{Day, attribute};
use serde::{Serialize, Serializer};

use crate::input::{BudgetInput, Reading};
use crate::text;

/// The time for which a window must have run before its pace says anything.
const LEAST_ELAPSED: TimeDelta = TimeDelta::hours(1);

/// The part of a limit from which on it is nearly used up, in tenths of a percent.
const NEARLY: u32 = 950;

/// The state of a unit of a budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Nothing of the limit is left.
    UsedUp,
    /// At least 95 % is used. A request that needs more than the rest is denied, so such a budget may never be used up.
    NearlyUsedUp,
    /// At the pace so far, it is used up before the window ends.
    AheadOfPace,
    /// The usage cannot be read. Nothing is known, neither good nor bad.
    Unknown,
    /// The window has no pace yet, or none at all because it never ends.
    NoPace,
    /// At the pace so far, it lasts until the window ends.
    OnPace,
}

/// A part of a window in tenths of a percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Pace(pub u32);

impl Serialize for Pace {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}.{}", self.0 / 10, self.0 % 10))
    }
}

/// The time until which a budget lasts at the pace so far.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Lasts {
    /// It is used up.
    No,
    /// It is used up at about this time.
    Until {
        /// The moment at which it is used up.
        at: DateTime<Utc>,
    },
    /// It lasts until the window ends, or nothing of it is used.
    Window,
    /// The window began less than an hour ago, or covers all time. It has no pace.
    NoPace,
    /// The usage is not known.
    Unknown,
}

/// One unit of a budget. Amounts are plain numbers: counts, or picodollars.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetUnit {
    /// The unit that is limited.
    pub unit: Unit,
    /// The limit, as budgets write it.
    pub limit: String,
    /// The used amount, as budgets write it. Absent if it is not known.
    pub used: Option<String>,
    /// `true` if `used` is a floor.
    pub is_floor: bool,
    /// The used part of the limit. Absent if it is not known, or if the limit is zero.
    pub used_percent: Option<Pace>,
    /// The elapsed part of the window. Absent if the window never ends.
    pub elapsed_percent: Option<Pace>,
    /// The state of this unit.
    pub status: Status,
    /// The time until which it lasts.
    pub lasts: Lasts,
    #[serde(skip)]
    pub(crate) limit_plain: u128,
    #[serde(skip)]
    pub(crate) used_plain: u128,
}

impl BudgetUnit {
    /// The unit `unit` of a budget of which `used` is used at `now`. `limit` and `used` are plain numbers: counts, or
    /// picodollars.
    #[must_use]
    pub fn of(unit: Unit, window: &LimitWindow, limit: u128, used: u128, now: DateTime<Utc>) -> Self {
        Time { start: window.start, end: window.resets_at, now }.unit(unit, limit, Some(used), false)
    }
}

/// A budget in its window at the moment of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// The scope that it belongs to.
    pub scope: String,
    /// The key of the limits item.
    pub item: String,
    /// Name of the window, in the window's time zone.
    pub window: String,
    /// The first instant of the window.
    pub start: DateTime<Utc>,
    /// The first instant of the next window. Absent if it never resets.
    pub resets_at: Option<DateTime<Utc>>,
    /// `true` if the limit does not deny.
    pub only_observes: bool,
    /// The reason why the usage is not known. Absent if it is known.
    pub unknown: Option<String>,
    /// Requests of the scope that were denied on the days of the window, by this budget or another one. Absent if it is
    /// not known.
    pub denied: Option<u64>,
    /// The limited units, without requests in flight, of which a report says nothing.
    pub units: Vec<BudgetUnit>,
    /// The usage of each UTC day of the window so far, for the pace line.
    #[serde(skip)]
    pub(crate) daily: Vec<(NaiveDate, Amount)>,
}

impl Budget {
    /// The budget `input` at the moment `now`. `None` if it limits nothing but requests in flight.
    #[must_use]
    pub fn of(input: &BudgetInput, now: DateTime<Utc>) -> Option<Self> {
        let (start, end) = (input.window.start, input.window.resets_at);
        let (days, unknown) = match &input.days {
            Reading::Known(days) => (days.as_slice(), None),
            Reading::Unknown(reason) => (&[][..], Some(reason.clone())),
        };
        let counted: Vec<(NaiveDate, Amount)> =
            days.iter().filter(|day| begins_in(day.day, start, end)).map(|day| (day.day, day.sums.spent())).collect();
        let used: Amount = counted.iter().map(|(_, amount)| *amount).sum();
        // A UTC day that the window cuts belongs partly to it. The history cannot tell which part.
        let is_cut = days.iter().any(|day| is_cut(day.day, start, end) && day.sums.spent() != Amount::ZERO);
        let unpriced = days.iter().any(|day| day.sums.get(attribute::UNPRICED) > 0);
        let limited = input.limits.iter().filter(|(unit, _)| *unit != Unit::InFlight);
        let time = Time { start, end, now };
        let units: Vec<BudgetUnit> = limited
            .map(|(unit, limit)| {
                let known = unknown.is_none().then(|| used.get(unit));
                time.unit(unit, limit, known, is_cut || unit == Unit::Usd && unpriced)
            })
            .collect();
        (!units.is_empty()).then(|| Self {
            scope: input.scope.clone(),
            item: input.item.clone(),
            window: input.window.name.clone(),
            start,
            resets_at: end,
            only_observes: input.only_observes,
            denied: unknown.is_none().then(|| denied(days, start, end)),
            unknown,
            units,
            daily: counted,
        })
    }

    /// The worst state of its units.
    #[must_use]
    pub fn status(&self) -> Status {
        self.units.iter().map(|unit| unit.status).min().unwrap_or(Status::Unknown)
    }

    /// The unit of which the largest part is used.
    #[must_use]
    pub fn tightest(&self) -> Option<&BudgetUnit> {
        self.units.iter().max_by_key(|unit| (unit.status == Status::UsedUp, unit.used_percent))
    }
}

fn denied(days: &[Day], start: DateTime<Utc>, end: Option<DateTime<Utc>>) -> u64 {
    let counted = days.iter().filter(|day| begins_in(day.day, start, end));
    let denied: u128 = counted.map(|day| day.sums.get(attribute::DENIED)).sum();
    u64::try_from(denied).unwrap_or(u64::MAX)
}

/// `true` if the UTC day begins in the window.
fn begins_in(day: NaiveDate, start: DateTime<Utc>, end: Option<DateTime<Utc>>) -> bool {
    let midnight = day.and_time(NaiveTime::MIN).and_utc();
    start <= midnight && end.is_none_or(|end| midnight < end)
}

/// `true` if the window begins or ends within the UTC day.
fn is_cut(day: NaiveDate, start: DateTime<Utc>, end: Option<DateTime<Utc>>) -> bool {
    let midnight = day.and_time(NaiveTime::MIN).and_utc();
    let next = midnight + Days::new(1);
    let within = |instant: DateTime<Utc>| midnight < instant && instant < next;
    within(start) || end.is_some_and(within)
}

/// A window and the moment at which it is looked at.
#[derive(Clone, Copy)]
struct Time {
    start: DateTime<Utc>,
    end: Option<DateTime<Utc>>,
    now: DateTime<Utc>,
}

impl Time {
    /// Seconds since the window began, at least 0 and at most its length.
    fn elapsed(self) -> u128 {
        let until = self.end.map_or(self.now, |end| end.min(self.now));
        u128::try_from((until - self.start).num_seconds()).unwrap_or_default()
    }

    fn length(self) -> Option<u128> {
        u128::try_from((self.end? - self.start).num_seconds()).ok()
    }

    fn unit(self, unit: Unit, limit: u128, used: Option<u128>, is_floor: bool) -> BudgetUnit {
        let lasts = used.map_or(Lasts::Unknown, |used| self.lasts(limit, used));
        let used_percent = used.and_then(|used| text::per_mille(used, limit)).map(pace);
        let is_near = used_percent.is_some_and(|used| used.0 >= NEARLY);
        let elapsed_percent = self.length().and_then(|length| text::per_mille(self.elapsed(), length));
        BudgetUnit {
            unit,
            limit: unit.written(limit),
            used: used.map(|used| unit.written(used)),
            is_floor: is_floor && used.is_some(),
            used_percent,
            elapsed_percent: elapsed_percent.map(pace),
            status: match lasts {
                Lasts::Unknown => Status::Unknown,
                Lasts::No => Status::UsedUp,
                _ if is_near => Status::NearlyUsedUp,
                Lasts::Until { .. } if self.end.is_some() => Status::AheadOfPace,
                Lasts::Until { .. } | Lasts::NoPace => Status::NoPace,
                Lasts::Window => Status::OnPace,
            },
            lasts,
            limit_plain: limit,
            used_plain: used.unwrap_or_default(),
        }
    }

    /// The moment at which `limit` is reached if usage goes on as from the window's start until now.
    fn lasts(self, limit: u128, used: u128) -> Lasts {
        if used >= limit {
            return Lasts::No;
        }
        if used == 0 {
            return Lasts::Window;
        }
        if self.now - self.start < LEAST_ELAPSED || self.start == DateTime::UNIX_EPOCH {
            return Lasts::NoPace;
        }
        let seconds = self.elapsed().checked_mul(limit).map(|product| product / used);
        let seconds = seconds.and_then(|seconds| i64::try_from(seconds).ok()).and_then(TimeDelta::try_seconds);
        match seconds.and_then(|seconds| self.start.checked_add_signed(seconds)) {
            Some(at) if self.end.is_none_or(|end| at < end) => Lasts::Until { at },
            _ => Lasts::Window,
        }
    }
}

fn pace(per_mille: u128) -> Pace {
    Pace(u32::try_from(per_mille).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use sentry_domain::{Limits, Window, WindowKind};
    use sentry_history::Sums;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn day(text: &str, output: u64) -> Day {
        let mut sums = Sums::default();
        sums.add(attribute::OUTPUT, output);
        Day { day: text.parse().unwrap(), sums }
    }

    fn budget(window: &Window, limit: u64, days: Reading<Vec<Day>>, now: &str) -> Budget {
        let input = BudgetInput {
            scope: "costCenter#support".to_owned(),
            item: "costCenter#support".to_owned(),
            window: LimitWindow::from(window),
            limits: Limits { output: Some(limit), ..Limits::default() },
            only_observes: false,
            days,
        };
        Budget::of(&input, at(now)).unwrap()
    }

    fn november() -> Window {
        Window::containing(WindowKind::Month, "UTC".parse().unwrap(), at("2026-11-21T00:00:00Z"))
    }

    #[test]
    fn a_budget_lasts_until_its_pace_reaches_the_limit() {
        // 600 tokens in ten days are 60 a day. 1,000 tokens last 16 days and 16 hours.
        let days = || Reading::Known(vec![day("2026-11-02", 100), day("2026-11-10", 500)]);
        let unit = |limit| budget(&november(), limit, days(), "2026-11-11T00:00:00Z").units.remove(0);
        let thousand = unit(1_000);
        assert_eq!(thousand.lasts, Lasts::Until { at: at("2026-11-17T16:00:00Z") });
        assert_eq!(
            (thousand.status, thousand.used_percent, thousand.elapsed_percent),
            (Status::AheadOfPace, Some(Pace(600)), Some(Pace(333)))
        );
        // 60 tokens a day for 30 days are 1,800.
        assert_eq!((unit(1_800).lasts, unit(1_800).status), (Lasts::Window, Status::OnPace));
        assert_eq!((unit(631).status, unit(632).status), (Status::NearlyUsedUp, Status::AheadOfPace));
        assert_eq!((unit(600).lasts, unit(600).status), (Lasts::No, Status::UsedUp));
        assert_eq!((unit(0).lasts, unit(0).used_percent), (Lasts::No, None));
    }

    #[test]
    fn a_figure_that_cannot_be_read_is_unknown_and_not_zero() {
        let budget = budget(&november(), 1_000, Reading::Unknown("why".to_owned()), "2026-11-11T00:00:00Z");
        assert_eq!((budget.status(), budget.unknown.as_deref()), (Status::Unknown, Some("why")));
        let unit = &budget.units[0];
        assert_eq!((&unit.used, unit.used_percent, &unit.lasts), (&None, None, &Lasts::Unknown));
    }

    #[test]
    fn a_day_that_a_window_of_another_time_zone_cuts_makes_its_figure_a_floor() {
        let tokyo = Window::containing(WindowKind::Month, "Asia/Tokyo".parse().unwrap(), at("2026-11-21T00:00:00Z"));
        // The window begins on 31 October at 15:00 UTC and ends on 30 November at 15:00 UTC.
        let with = |days: Vec<Day>| budget(&tokyo, 1_000, Reading::Known(days), "2026-11-11T00:00:00Z").units.remove(0);
        let whole = with(vec![day("2026-10-30", 7), day("2026-11-01", 10), day("2026-12-01", 7)]);
        assert_eq!((whole.used.as_deref(), whole.is_floor), (Some("10"), false));
        let cut = with(vec![day("2026-10-31", 7), day("2026-11-01", 10)]);
        assert_eq!((cut.used.as_deref(), cut.is_floor), (Some("10"), true));
    }

    #[test]
    fn a_window_that_has_just_begun_or_never_ends_has_no_date() {
        let early = budget(&november(), 10, Reading::Known(vec![day("2026-11-01", 9)]), "2026-11-01T00:59:59Z");
        assert_eq!(early.units[0].lasts, Lasts::NoPace);
        let total = Window::containing(WindowKind::Total, "UTC".parse().unwrap(), at("2026-11-21T00:00:00Z"));
        let total = budget(&total, 10, Reading::Known(vec![day("2026-11-01", 9)]), "2026-11-11T00:00:00Z");
        assert_eq!((&total.units[0].lasts, total.units[0].elapsed_percent), (&Lasts::NoPace, None));
    }

    #[test]
    fn requests_in_flight_are_no_budget_of_a_report() {
        let limits = Limits { in_flight: Some(3), ..Limits::default() };
        let input = BudgetInput {
            scope: String::new(),
            item: String::new(),
            window: LimitWindow::from(&Window::in_flight()),
            limits,
            only_observes: false,
            days: Reading::Known(Vec::new()),
        };
        assert_eq!(Budget::of(&input, at("2026-11-11T00:00:00Z")), None);
    }
}
