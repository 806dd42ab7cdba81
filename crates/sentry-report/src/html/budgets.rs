//! The cards of the budgets.

use chrono::{DateTime, NaiveTime, Utc};
use sentry_domain::{Unit, Usd};

use super::{Name, instant};
use crate::budget::{Budget, BudgetUnit, Lasts, Status};
use crate::chart::place;
use crate::report::Report;
use crate::text;
use crate::text::Spend;

/// The most budgets in the page.
const MOST_CARDS: usize = 24;
/// Width and height of the picture of a pace.
const WIDTH: u128 = 1_000;
const HEIGHT: u128 = 200;

/// A budget, as the page shows it.
pub struct Card {
    pub scope: Name,
    pub window: String,
    /// The class of its state.
    pub class: &'static str,
    pub state: &'static str,
    pub meters: Vec<Meter>,
    pub resets: String,
    pub item: Option<Name>,
    pub note: Option<String>,
    pub pace: Option<Picture>,
}

/// One limited unit of a budget.
pub struct Meter {
    pub class: &'static str,
    pub noun: &'static str,
    pub used: String,
    pub limit: String,
    pub percent: String,
    /// The used part and the elapsed part of the window, in percent, at most 100.
    pub width: String,
    pub elapsed: Option<String>,
    pub lasts: String,
}

/// The usage since the window's start, and the line of an even pace to the limit.
pub struct Picture {
    pub width: u128,
    pub height: u128,
    pub used: String,
    pub area: String,
    /// Height of the limit from the top.
    pub limit: u128,
    pub noun: &'static str,
}

/// The cards, and a sentence about those that are left out.
pub fn cards(report: &Report) -> (Option<Vec<Card>>, Option<String>) {
    let Some(budgets) = &report.budgets else { return (None, None) };
    let shown = budgets.iter().filter(|budget| is_of_interest(budget)).take(MOST_CARDS);
    let cards: Vec<Card> = shown.map(|budget| Card::of(budget, report.generated)).collect();
    let left = budgets.len() - cards.len();
    let sentence = || {
        let budgets = text::some(left as u64, "budget is", "budgets are");
        format!("{budgets} not shown, most of them hardly used. The JSON of this report has all.")
    };
    (Some(cards), (left > 0).then(sentence))
}

/// `false` for a budget of which less than a hundredth is used, which is not unknown, and which lasts.
fn is_of_interest(budget: &Budget) -> bool {
    let is_calm = matches!(budget.status(), Status::OnPace | Status::NoPace);
    !is_calm || budget.tightest().and_then(|unit| unit.used_percent).is_some_and(|used| used.0 >= 10)
}

impl Card {
    fn of(budget: &Budget, now: DateTime<Utc>) -> Self {
        let (class, state) = words(budget.status());
        Self {
            scope: Name::of(&budget.scope),
            window: budget.window.clone(),
            class,
            state,
            meters: budget.units.iter().map(Meter::of).collect(),
            resets: budget.resets_at.map_or_else(|| "never resets".to_owned(), |at| format!("resets {}", instant(at))),
            item: (budget.item != budget.scope).then(|| Name::of(&budget.item)),
            note: note(budget),
            pace: Picture::of(budget, now),
        }
    }
}

fn note(budget: &Budget) -> Option<String> {
    let observes = budget.only_observes.then(|| "This limit only observes. It denies nothing.".to_owned());
    let unknown = budget.unknown.as_ref().map(|reason| format!("Its usage is unknown: {reason}"));
    let denied = budget.denied.filter(|denied| *denied > 0).map(|denied| {
        format!(
            "{} of this scope in the window, by this limit or another one.",
            text::some(denied, "denied request", "denied requests")
        )
    });
    let notes: Vec<String> = observes.into_iter().chain(denied).chain(unknown).collect();
    (!notes.is_empty()).then(|| notes.join(" "))
}

const fn words(status: Status) -> (&'static str, &'static str) {
    match status {
        Status::UsedUp => ("spent", "used up"),
        Status::NearlyUsedUp => ("near", "nearly used up"),
        Status::AheadOfPace => ("near", "ahead of pace"),
        Status::Unknown => ("unknown", "unknown"),
        Status::NoPace => ("nopace", "no pace"),
        Status::OnPace => ("fine", "on pace"),
    }
}

impl Meter {
    fn of(unit: &BudgetUnit) -> Self {
        let floor = if unit.is_floor { "+" } else { "" };
        let used = unit.used.as_ref().map(|_| written(unit.unit, unit.used_plain, unit.is_floor));
        let percent = unit.used_percent.map(|percent| format!("{}.{} %{floor}", percent.0 / 10, percent.0 % 10));
        Self {
            class: words(unit.status).0,
            noun: unit.unit.noun(),
            used: used.unwrap_or_else(|| "unknown".to_owned()),
            limit: written(unit.unit, unit.limit_plain, false),
            percent: percent
                .unwrap_or_else(|| if unit.used.is_none() { "unknown".to_owned() } else { "\u{2013}".to_owned() }),
            width: place(unit.used_plain.min(unit.limit_plain), unit.limit_plain),
            elapsed: unit.elapsed_percent.map(|elapsed| place(elapsed.0.into(), 1_000)),
            lasts: lasts(unit),
        }
    }
}

/// An amount of `unit`, a plain number, as a person reads it. A floor ends with `+`.
fn written(unit: Unit, plain: u128, is_floor: bool) -> String {
    match unit {
        Unit::Usd => text::spend(&Spend { usd: Usd::from_picodollars(plain), is_floor }),
        _ if is_floor => format!("{}+", text::count(plain)),
        _ => text::count(plain),
    }
}

fn lasts(unit: &BudgetUnit) -> String {
    let is_over = unit.elapsed_percent.is_some_and(|elapsed| elapsed.0 >= 1_000);
    match &unit.lasts {
        Lasts::No => "used up".to_owned(),
        Lasts::Until { at } => format!("lasts until {} at this pace", instant(*at)),
        Lasts::Window if is_over => "lasted until the window ended".to_owned(),
        Lasts::Window => "lasts until the window ends at this pace".to_owned(),
        Lasts::NoPace => "no pace to go by".to_owned(),
        Lasts::Unknown => "nobody knows how long it lasts".to_owned(),
    }
}

impl Picture {
    /// The picture of the tightest unit. `None` if its usage is unknown, if nothing is used, or if the window never ends.
    fn of(budget: &Budget, now: DateTime<Utc>) -> Option<Self> {
        let unit = budget.tightest().filter(|unit| unit.used.is_some() && unit.used_plain > 0)?;
        let top = unit.limit_plain.max(unit.used_plain);
        let end = budget.resets_at?;
        let length = u128::try_from((end - budget.start).num_seconds()).ok().filter(|length| *length > 0)?;
        // A window of a day or less has no line between days of the history.
        if length <= 2 * 86_400 {
            return None;
        }
        let across = |at: DateTime<Utc>| {
            u128::try_from((at - budget.start).num_seconds()).unwrap_or_default().min(length) * WIDTH / length
        };
        let mut sum = 0_u128;
        let mut points = vec![format!("0,{HEIGHT}")];
        let mut last = 0;
        for (day, amount) in &budget.daily {
            let begin = across(day.and_time(NaiveTime::MIN).and_utc());
            points.push(format!("{begin},{}", HEIGHT - sum * HEIGHT / top));
            sum += amount.get(unit.unit);
            last = across((day.and_time(NaiveTime::MIN).and_utc() + chrono::Days::new(1)).min(now));
            points.push(format!("{last},{}", HEIGHT - sum.min(top) * HEIGHT / top));
        }
        let today = across(now.min(end)).max(last);
        points.push(format!("{today},{}", HEIGHT - sum.min(top) * HEIGHT / top));
        let used = points.join(" ");
        Some(Self {
            width: WIDTH,
            height: HEIGHT,
            area: format!("{used} {today},{HEIGHT}"),
            used,
            limit: HEIGHT - unit.limit_plain * HEIGHT / top,
            noun: unit.unit.noun(),
        })
    }
}
