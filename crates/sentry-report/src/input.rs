//! The data that a report is made of. The caller of this crate has read them.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, NaiveDate, Utc};
use sentry_domain::{Discount, LimitWindow, Limits, Price};
use sentry_history::{Day, Sums};

use crate::bill::Bill;
use crate::grouping::Grouping;
use crate::month::Month;

/// Kind of the scopes with the tokens that bypassed the sentry: `ungoverned#<model id>`.
pub const UNGOVERNED: &str = "ungoverned";

/// The days of scopes, by the name of the scope.
pub type DaysByScope = BTreeMap<String, Vec<Day>>;

/// Something that was to be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading<T> {
    /// The value, which was read.
    Known(T),
    /// It could not be read, for this reason. A report never shows it as zero.
    Unknown(String),
}

/// A budget and the days in its window.
#[derive(Clone, Debug)]
pub struct BudgetInput {
    /// The scope that the budget belongs to.
    pub scope: String,
    /// The key of the limits item.
    pub item: String,
    /// The window at the moment of the report.
    pub window: LimitWindow,
    /// The limits in this window.
    pub limits: Limits,
    /// `true` if the limit only observes.
    pub only_observes: bool,
    /// The days of the scope from the window's start on.
    pub days: Reading<Vec<Day>>,
}

/// Everything that a report is made of.
#[derive(Clone, Debug)]
pub struct Input {
    /// Name of the stack.
    pub stack: String,
    /// The moment of the report.
    pub now: DateTime<Utc>,
    /// The month of the report.
    pub month: Month,
    /// The kind of the groups.
    pub grouping: Grouping,
    /// The days of every scope in the month and in the month before it.
    pub history: DaysByScope,
    /// Scopes and days whose items cannot be understood.
    pub unreadable: Vec<(String, NaiveDate)>,
    /// Scopes of items that are shared by all values without an item of their own, such as `costCenter#default`. Their
    /// usage is in other scopes too, so they are no groups. Unknown if the limits cannot be read.
    pub shared: BTreeSet<String>,
    /// The budgets at the moment of the report.
    pub budgets: Reading<Vec<BudgetInput>>,
    /// Items of the limits table that deny every request because they are malformed: the key and the reason.
    pub malformed: Vec<(String, String)>,
    /// Prices of the models whose calls bypassed the sentry, by model id.
    pub prices: BTreeMap<String, Price>,
    /// The foundation models of application inference profiles, by the profile's id. The bill names only models.
    pub sources: BTreeMap<String, String>,
    /// The bill. `None` if nobody asked for it.
    pub bill: Option<Reading<Bill>>,
    /// The account's discount. The ledger's dollars are net of it.
    pub discount: Discount,
}

impl Input {
    /// The last day of the month that has begun, and `None` if the month has not begun.
    #[must_use]
    pub fn last_day(&self) -> Option<NaiveDate> {
        let today = self.now.date_naive();
        (self.month.first() <= today).then(|| self.month.last().min(today))
    }

    /// The days of the scope `scope`.
    pub(crate) fn days(&self, scope: &str) -> &[Day] {
        self.history.get(scope).map_or(&[], Vec::as_slice)
    }

    /// The groups: the value of each scope of the grouping, with its days. A scope of which no day can be read is a
    /// group without days.
    pub(crate) fn groups(&self, grouping: &Grouping) -> BTreeMap<String, &[Day]> {
        let scopes = self.history.keys().chain(self.unreadable.iter().map(|(scope, _)| scope));
        let scopes = scopes.filter(|scope| !self.shared.contains(*scope));
        scopes.filter_map(|scope| Some((grouping.value(scope)?.to_owned(), self.days(scope)))).collect()
    }

    /// The number of days in `month` whose item of `scope` cannot be understood.
    pub(crate) fn unreadable_days(&self, scope: &str) -> u64 {
        let of_scope = self.unreadable.iter().filter(|(of, day)| of == scope && self.month.has(*day));
        of_scope.count() as u64
    }
}

/// The sum of the days from `first` to `last`, both included.
pub fn sum<'d>(days: impl IntoIterator<Item = &'d Day>, first: NaiveDate, last: NaiveDate) -> Sums {
    let mut sums = Sums::default();
    for day in days {
        if (first..=last).contains(&day.day) {
            sums += &day.sums;
        }
    }
    sums
}
