//! The report of a month.

use std::collections::BTreeMap;

use chrono::{DateTime, NaiveDate, Utc};
use sentry_domain::{TokenUsage, Usd};
use sentry_history::{Day, Sums, attribute};
use serde::Serialize;

use crate::budget::Budget;
use crate::compare::Comparison;
use crate::figures::Figures;
use crate::forecast::Forecast;
use crate::grouping::{Grouping, decoded};
use crate::input::{Input, Reading, UNGOVERNED, sum};
use crate::month::Month;
use crate::movers::{Movers, Spans};
use crate::text::Spend;

/// The version of the report's JSON. It changes if a field is removed or gets another meaning.
const VERSION: u32 = 1;

/// A value of the grouping.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Group {
    /// The value, in lower case, as the client wrote it.
    pub name: String,
    /// The scope of the usage history.
    pub scope: String,
    /// The foundation model, if the group is an application inference profile and its model is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// The figures of the month.
    pub figures: Figures,
    /// The spend of the same full days of the month before. Absent if the history does not have that month.
    pub before: Option<Usd>,
    /// The spend of each day of the month that has begun, in order.
    pub daily: Vec<Usd>,
    /// The number of days of `daily` that are over.
    #[serde(skip)]
    pub(crate) full: usize,
}

impl Group {
    /// The spend of each day that is over.
    #[must_use]
    pub(crate) fn full_days(&self) -> &[Usd] {
        self.daily.get(..self.full).unwrap_or_default()
    }
}

/// A day of all groups.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DayTotal {
    /// The UTC day of these sums.
    pub day: NaiveDate,
    /// The spend of all groups on this day.
    pub spend: Spend,
    /// Requests that the budget approved or denied.
    pub requests: u64,
    /// Requests that the budget denied.
    pub denied: u64,
}

/// Tokens of a model in calls that bypassed the sentry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct UngovernedModel {
    /// The id of the model.
    pub model: String,
    /// Input tokens of these calls.
    pub input_tokens: u64,
    /// Output tokens of these calls.
    pub output_tokens: u64,
    /// Their cost at the catalogue's price. Absent if it has no price.
    pub usd: Option<Usd>,
}

/// The report of a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of this format.
    pub version: u32,
    /// Name of the stack.
    pub stack: String,
    /// The moment of the report.
    pub generated: DateTime<Utc>,
    /// The month of the report.
    pub month: Month,
    /// The kind of the groups.
    pub grouping: Grouping,
    /// The last UTC day in the report. Absent if the month has not begun.
    pub through: Option<NaiveDate>,
    /// `true` if the month is over.
    pub is_over: bool,
    /// The account's discount in percent, which every dollar of the sentry is net of. `0` if there is none.
    pub discount_percent: String,
    /// The figures of all requests.
    pub total: Figures,
    /// The groups, largest spend first.
    pub groups: Vec<Group>,
    /// Requests that belong to no group, because the history does not have the grouping for them. Absent if there are
    /// none.
    pub outside: Option<Figures>,
    /// The days of the month that have begun.
    pub days: Vec<DayTotal>,
    /// The spend at the end of the month.
    pub forecast: Forecast,
    /// The groups whose spend changed most.
    pub movers: Movers,
    /// The budgets, those in trouble first. Absent if the limits cannot be read; see `unknown`.
    pub budgets: Option<Vec<Budget>>,
    /// The calls that bypassed the sentry, by model, most tokens first.
    pub ungoverned: Vec<UngovernedModel>,
    /// The ledger beside the bill. Absent if nobody asked for it, or if it cannot be read; see `unknown`.
    pub comparison: Option<Comparison>,
    /// The data that could not be read, one sentence for each.
    pub unknown: Vec<String>,
}

impl Report {
    /// The report of `input`.
    #[must_use]
    pub fn of(input: &Input) -> Self {
        let all_grouping = Grouping::of_all();
        let everything = input.groups(&all_grouping);
        let all: Vec<Day> = everything.values().flat_map(|days| days.iter().cloned()).collect();
        let groups = input.groups(&input.grouping);
        let unreadable = everything.keys().map(|value| input.unreadable_days(&all_grouping.scope(value))).sum();
        let through = input.last_day();
        let total = Figures::of_days(&all, input.month.first(), input.month.last(), unreadable);
        let today = input.now.date_naive();
        let movers = Movers::of(&groups, input.month, today);
        let listed = listed(input, &groups, through);
        Self {
            version: VERSION,
            stack: input.stack.clone(),
            generated: input.now,
            month: input.month,
            grouping: input.grouping.clone(),
            through,
            is_over: input.month.end() <= input.now,
            discount_percent: input.discount.to_string(),
            outside: outside(input, &all, &groups),
            days: through.map(|last| day_totals(input, &all, last)).unwrap_or_default(),
            forecast: Forecast::of(&all, input.month, today, total.spend.is_floor),
            budgets: budgets(input),
            ungoverned: ungoverned(input),
            comparison: comparison(input, through, &groups, &all),
            unknown: unknown(input),
            total,
            groups: listed,
            movers,
        }
    }

    /// The tokens that bypassed the sentry.
    #[must_use]
    pub fn ungoverned_tokens(&self) -> u64 {
        let tokens = self.ungoverned.iter().map(|model| model.input_tokens.saturating_add(model.output_tokens));
        tokens.fold(0, u64::saturating_add)
    }
}

fn in_month(input: &Input, days: &[Day]) -> Sums {
    sum(days, input.month.first(), input.month.last())
}

fn listed(input: &Input, groups: &BTreeMap<String, &[Day]>, through: Option<NaiveDate>) -> Vec<Group> {
    let mut listed: Vec<Group> = groups.iter().filter_map(|(value, days)| group(input, value, days, through)).collect();
    listed.sort_by(|one, other| {
        let key = |group: &Group| std::cmp::Reverse((group.figures.spend.usd, group.figures.requests));
        key(one).cmp(&key(other)).then_with(|| one.name.cmp(&other.name))
    });
    listed
}

/// The group of `value`. `None` if the month has nothing of it.
fn group(input: &Input, value: &str, days: &[Day], through: Option<NaiveDate>) -> Option<Group> {
    let scope = input.grouping.scope(value);
    let unreadable = input.unreadable_days(&scope);
    let figures = Figures::of_days(days, input.month.first(), input.month.last(), unreadable);
    let begun = input.month.days().take_while(|day| through.is_some_and(|through| *day <= through));
    let daily: Vec<Usd> = begun.map(|day| sum(days, day, day).spent().usd).collect();
    let today = input.now.date_naive();
    let spans = Spans::of(input.month, input.now.date_naive()).filter(|_| has_before(input));
    let group = Group {
        name: decoded(value),
        source: input.sources.get(value).filter(|_| input.grouping.is_of_models()).cloned(),
        full: input.month.days().take_while(|day| *day < today).count().min(daily.len()),
        daily,
        before: spans.map(|spans| spans.before(days)),
        scope,
        figures,
    };
    (group.figures.requests > 0 || unreadable > 0).then_some(group)
}

/// `true` if the history has a day of the month before.
fn has_before(input: &Input) -> bool {
    input.history.values().flatten().any(|day| input.month.before().has(day.day))
}

/// The requests that are in no group.
fn outside(input: &Input, all: &[Day], groups: &BTreeMap<String, &[Day]>) -> Option<Figures> {
    let everything = in_month(input, all);
    let grouped = groups.values().fold(Sums::default(), |mut sums, days| {
        sums += &in_month(input, days);
        sums
    });
    let mut rest = Sums::default();
    for (name, number) in everything.iter() {
        rest.add(name, number.saturating_sub(grouped.get(name)));
    }
    (rest.get(attribute::REQUESTS) > 0).then(|| Figures::of(&rest, 0))
}

fn day_totals(input: &Input, all: &[Day], last: NaiveDate) -> Vec<DayTotal> {
    let days = input.month.days().take_while(|day| *day <= last).map(|day| {
        let figures = Figures::of(&sum(all, day, day), 0);
        DayTotal { day, spend: figures.spend, requests: figures.requests, denied: figures.denied }
    });
    days.collect()
}

fn budgets(input: &Input) -> Option<Vec<Budget>> {
    let Reading::Known(budgets) = &input.budgets else { return None };
    let mut budgets: Vec<Budget> = budgets.iter().filter_map(|budget| Budget::of(budget, input.now)).collect();
    budgets.sort_by_cached_key(|budget| {
        let used = budget.tightest().and_then(|unit| unit.used_percent);
        (budget.status(), std::cmp::Reverse(used), budget.scope.clone(), budget.window.clone())
    });
    Some(budgets)
}

fn ungoverned(input: &Input) -> Vec<UngovernedModel> {
    let models = input.history.iter().filter_map(|(scope, days)| {
        let model = scope.strip_prefix(UNGOVERNED)?.strip_prefix('#')?;
        let sums = in_month(input, days);
        let count = |name: &str| u64::try_from(sums.get(name)).unwrap_or(u64::MAX);
        let (read, written) = (count(attribute::INPUT), count(attribute::OUTPUT));
        let tokens = TokenUsage { input: read, output: written, ..TokenUsage::default() };
        let usd = input.prices.get(model).map(|price| price.cost_of_many(&tokens));
        (read > 0 || written > 0).then(|| UngovernedModel {
            model: model.to_owned(),
            input_tokens: read,
            output_tokens: written,
            usd,
        })
    });
    let mut models: Vec<UngovernedModel> = models.collect();
    models.sort_by_key(|model| std::cmp::Reverse(model.input_tokens.saturating_add(model.output_tokens)));
    models
}

fn comparison(
    input: &Input,
    through: Option<NaiveDate>,
    groups: &BTreeMap<String, &[Day]>,
    all: &[Day],
) -> Option<Comparison> {
    match (&input.bill, through) {
        (Some(Reading::Known(bill)), Some(last)) => Some(Comparison::of(input, bill, last, groups, all)),
        _ => None,
    }
}

/// A sentence for everything that could not be read.
fn unknown(input: &Input) -> Vec<String> {
    let mut sentences: Vec<String> = Vec::new();
    let unreadable = input.unreadable.iter().filter(|(_, day)| input.month.has(*day));
    sentences.extend(unreadable.map(|(scope, day)| {
        format!("The usage of {scope} on {day} cannot be understood and is in no figure, so figures of it are floors.")
    }));
    if let Reading::Unknown(reason) = &input.budgets {
        sentences.push(format!("The budgets are unknown: {reason}"));
    }
    let malformed = input.malformed.iter();
    sentences
        .extend(malformed.map(|(key, reason)| format!("The budget of the limits item {key} is unknown. {reason}")));
    if let Some(Reading::Unknown(reason)) = &input.bill {
        sentences.push(format!("The bill is unknown: {reason}"));
    }
    sentences
}
