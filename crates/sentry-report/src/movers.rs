//! The groups whose spend changed most.

use std::collections::BTreeMap;

use chrono::{Datelike, NaiveDate};
use sentry_domain::{Usd, UsdDifference};
use sentry_history::Day;
use serde::Serialize;

use crate::grouping::decoded;
use crate::input::sum;
use crate::month::Month;
use crate::signed::{Picodollars, difference, signed};

/// The most groups that are named in each direction.
const MOST: usize = 5;

/// The spend of a group, and its spend on the same days of the month before.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Mover {
    /// The value of the group.
    pub group: String,
    /// The spend of the full days of the month.
    pub now: Usd,
    /// The spend of the same days of the month before.
    pub before: Usd,
    /// The change: `now` minus `before`.
    pub change: UsdDifference,
    #[serde(skip)]
    pub(crate) picodollars: Picodollars,
}

/// The groups whose spend changed most, largest change first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase", tag = "is")]
pub enum Movers {
    /// The month has no full day yet.
    NoFullDay,
    /// The history has no day of the month before.
    NothingBefore,
    /// The changes from the first day up to a day.
    Known {
        /// The last day of the month that is compared.
        through: NaiveDate,
        /// Groups that spend more.
        up: Vec<Mover>,
        /// Groups that spend less.
        down: Vec<Mover>,
    },
}

/// The full days of a month, and the same days of the month before. First and last days are included.
#[derive(Clone, Copy)]
pub struct Spans {
    now: (NaiveDate, NaiveDate),
    before: (NaiveDate, NaiveDate),
}

impl Spans {
    /// The spans of `month` on the day `today`, which is not over. `None` if the month has no full day. If the month
    /// before is shorter, or this one is over, the month before is compared whole.
    pub fn of(month: Month, today: NaiveDate) -> Option<Self> {
        let through = month.last().min(today.pred_opt()?);
        let before = month.before();
        let same = before.first().with_day(through.day()).filter(|_| through < month.last());
        let now = (month.first(), through);
        (month.first() <= through).then(|| Self { now, before: (before.first(), same.unwrap_or(before.last())) })
    }

    fn now(self, days: &[Day]) -> Usd {
        sum(days, self.now.0, self.now.1).spent().usd
    }

    /// The spend in the month before.
    pub fn before(self, days: &[Day]) -> Usd {
        sum(days, self.before.0, self.before.1).spent().usd
    }
}

impl Movers {
    /// The changes of `groups` in `month`, compared with the month before. Only days that were over on `today` count.
    #[must_use]
    pub fn of(groups: &BTreeMap<String, &[Day]>, month: Month, today: NaiveDate) -> Self {
        let Some(spans) = Spans::of(month, today) else { return Self::NoFullDay };
        if !groups.values().any(|days| days.iter().any(|day| month.before().has(day.day))) {
            return Self::NothingBefore;
        }
        let movers = groups.iter().map(|(group, days)| {
            let (now, before) = (spans.now(days), spans.before(days));
            let picodollars = signed(now) - signed(before);
            Mover { group: decoded(group), now, before, change: difference(picodollars), picodollars }
        });
        let (mut up, mut down): (Vec<Mover>, Vec<Mover>) =
            movers.filter(|mover| mover.picodollars != 0).partition(|mover| mover.picodollars > 0);
        for direction in [&mut up, &mut down] {
            direction.sort_by_key(|mover| std::cmp::Reverse(mover.picodollars.unsigned_abs()));
            direction.truncate(MOST);
        }
        Self::Known { through: spans.now.1, up, down }
    }
}
