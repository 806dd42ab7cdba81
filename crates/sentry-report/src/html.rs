//! The report as a page that needs nothing else: no network, no script, no font.

mod budgets;
mod compared;
mod groups;

use askama::Template;
use chrono::{DateTime, NaiveDate, Utc};

use self::budgets::Card;
use self::compared::Beside;
use self::groups::{Code, Row};
use crate::chart::DayChart;
use crate::figures::{Figures, Saved};
use crate::forecast::Forecast;
use crate::movers::{Mover, Movers};
use crate::report::Report;
use crate::text;

/// The most characters of a name in the page. The full name is shown when the pointer is on it.
const MOST_NAME: usize = 48;

/// The page of `report`.
///
/// # Errors
/// If the template cannot be written, which happens only if memory is short.
pub fn html(report: &Report) -> Result<String, askama::Error> {
    Page::of(report).render()
}

/// A figure at the top of the page.
struct Tile {
    label: &'static str,
    value: String,
    hint: String,
}

/// A line of the movers: name, change, and both amounts.
struct MoverRow {
    name: Name,
    change: String,
    amounts: String,
}

/// A model that was called without the sentry.
struct Around {
    model: Name,
    input: String,
    output: String,
    cost: String,
}

/// A name, cut if it is long.
struct Name {
    short: String,
    full: String,
}

impl Name {
    fn of(full: &str) -> Self {
        Self { short: text::cut(full, MOST_NAME), full: full.to_owned() }
    }
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    title: String,
    noun: String,
    stack: String,
    generated: String,
    generated_machine: String,
    span: String,
    unknown: Vec<String>,
    floor: Option<String>,
    tiles: Vec<Tile>,
    chart: Option<DayChart>,
    forecast: String,
    rows: Vec<Row>,
    more: Option<String>,
    outside: Option<Row>,
    total: Row,
    before: String,
    movers_note: String,
    up: Vec<MoverRow>,
    down: Vec<MoverRow>,
    budgets: Option<Vec<Card>>,
    more_budgets: Option<String>,
    denied: Vec<Code>,
    failed: Vec<Code>,
    denied_total: String,
    failed_total: String,
    saved: String,
    around: Vec<Around>,
    around_total: String,
    beside: Option<Beside>,
    discount: Option<String>,
}

impl Page {
    fn of(report: &Report) -> Self {
        let total = &report.total;
        let (movers_note, up, down) = movers(report);
        let (rows, more) = groups::rows(report);
        let (budgets, more_budgets) = budgets::cards(report);
        Self {
            title: report.month.title(),
            noun: report.grouping.noun(),
            stack: report.stack.clone(),
            generated: instant(report.generated),
            generated_machine: report.generated.to_rfc3339(),
            span: span(report),
            unknown: report.unknown.clone(),
            floor: floor(total),
            tiles: tiles(report),
            chart: DayChart::of(report),
            forecast: forecast(report),
            rows,
            more,
            outside: report.outside.as_ref().map(|figures| Row::of("in no group", figures, None, total)),
            total: Row::of("Total", total, None, total),
            before: report.month.before().first().format("%b").to_string(),
            movers_note,
            up,
            down,
            budgets,
            more_budgets,
            denied: groups::codes(&total.denied_by_code, total.denied),
            failed: groups::codes(&total.failed_by_code, total.failed),
            denied_total: text::some(total.denied, "request", "requests"),
            failed_total: text::some(total.failed, "request", "requests"),
            saved: saved(total),
            around: around(report),
            around_total: text::count(report.ungoverned_tokens()),
            beside: report.comparison.as_ref().map(|comparison| Beside::of(comparison, report)),
            discount: (report.discount_percent != "0").then(|| report.discount_percent.clone()),
        }
    }
}

fn instant(at: DateTime<Utc>) -> String {
    at.format("%-d %B %Y, %H:%M UTC").to_string()
}

fn day(day: NaiveDate) -> String {
    day.format("%-d %B").to_string()
}

fn span(report: &Report) -> String {
    match report.through {
        None => "The month has not begun.".to_owned(),
        Some(_) if report.is_over => "The whole month, in UTC days.".to_owned(),
        Some(last) => format!("1 to {}, in UTC days. {} is not over yet.", day(last), day(last)),
    }
}

/// Why the total is a floor.
fn floor(total: &Figures) -> Option<String> {
    let mut reasons = Vec::new();
    if total.unpriced > 0 {
        let requests = text::some(total.unpriced, "request has a price that is", "requests have a price that is");
        reasons.push(format!("{requests} not known exactly"));
    }
    if total.unreadable_days > 0 {
        reasons
            .push(format!("{} cannot be read", text::some(total.unreadable_days, "day of a group", "days of groups")));
    }
    (!reasons.is_empty()).then(|| {
        format!("An amount with + is a floor: the true amount is at least this, and {}.", reasons.join(", and "))
    })
}

fn tiles(report: &Report) -> Vec<Tile> {
    let total = &report.total;
    let share = |part: u64| text::percent(part.into(), total.requests.into());
    let (expected, range) = expected(report);
    let read = total.input_tokens.saturating_add(total.cache_read_tokens).saturating_add(total.cache_write_tokens);
    vec![
        Tile { label: "Spend", value: text::spend(&total.spend), hint: unknown_spend(total) },
        Tile { label: "Expected for the month", value: expected, hint: range },
        Tile {
            label: "Requests",
            value: text::count(total.requests),
            hint: format!("{} approved", text::count(total.approved)),
        },
        Tile {
            label: "Denied",
            value: text::count(total.denied),
            hint: format!("{} of the requests", share(total.denied)),
        },
        Tile {
            label: "Failed",
            value: text::count(total.failed),
            hint: format!("{} of the requests", share(total.failed)),
        },
        Tile {
            label: "Tokens",
            value: text::short(total.tokens()),
            hint: format!("{} read, {} written", text::short(read), text::short(total.output_tokens)),
        },
    ]
}

fn unknown_spend(total: &Figures) -> String {
    if total.unknown == 0 {
        return "of calls through the sentry".to_owned();
    }
    let requests = text::some(total.unknown, "request", "requests");
    format!("{} of it held by {requests} of unknown usage", text::dollars(total.unknown_usd))
}

fn expected(report: &Report) -> (String, String) {
    match &report.forecast {
        Forecast::Over => ("\u{2013}".to_owned(), "the month is over".to_owned()),
        Forecast::NotEnoughDays { days, needed } => {
            ("\u{2013}".to_owned(), format!("not enough days: {days} of {needed}"))
        }
        Forecast::Expected { usd, low, high, is_floor, .. } => {
            let floor = if *is_floor { "+" } else { "" };
            (format!("{}{floor}", text::dollars(*usd)), format!("{} to {}", text::dollars(*low), text::dollars(*high)))
        }
    }
}

fn forecast(report: &Report) -> String {
    match &report.forecast {
        Forecast::Over => "The month is over, so there is no forecast.".to_owned(),
        Forecast::NotEnoughDays { days, needed } => {
            format!("No forecast: it needs {needed} full days, and the history has {days}.")
        }
        Forecast::Expected { mean, days_left, .. } => format!(
            "Forecast: the spend so far, and {} for each of the {}, which is the mean of the last seven full days. The range is the \
             standard deviation of these days, times the square root of the days left. About two of three months end in it if days \
             are independent of each other.",
            text::dollars(*mean),
            text::some(*days_left, "day left", "days left"),
        ),
    }
}

fn movers(report: &Report) -> (String, Vec<MoverRow>, Vec<MoverRow>) {
    let before = report.month.before().title();
    match &report.movers {
        Movers::NoFullDay => ("The month has no full day yet, so nothing can be compared.".to_owned(), vec![], vec![]),
        Movers::NothingBefore => (format!("The history has nothing of {before} to compare with."), vec![], vec![]),
        Movers::Known { through, up, down } => {
            let note = format!("1 to {}, against the same days of {before}.", day(*through));
            (note, up.iter().map(mover).collect(), down.iter().map(mover).collect())
        }
    }
}

fn mover(mover: &Mover) -> MoverRow {
    MoverRow {
        name: Name::of(&mover.group),
        change: text::change(mover.picodollars),
        amounts: format!("{} \u{2192} {}", text::dollars(mover.before), text::dollars(mover.now)),
    }
}

fn saved(total: &Figures) -> String {
    let tokens = format!(
        "{} tokens were read from a prompt cache, and {} were written to one.",
        text::count(total.cache_read_tokens),
        text::count(total.cache_write_tokens)
    );
    match total.saved {
        Saved::Nothing => "No prompt cache was used.".to_owned(),
        Saved::Known { usd, is_floor } => {
            format!("{tokens} Saved, net of what the writes cost more: {}.", text::difference(usd, is_floor))
        }
        Saved::Unknown => format!("{tokens} The history does not know what that saved."),
    }
}

fn around(report: &Report) -> Vec<Around> {
    let rows = report.ungoverned.iter().map(|model| Around {
        model: Name::of(&model.model),
        input: text::count(model.input_tokens),
        output: text::count(model.output_tokens),
        cost: model.usd.map_or_else(|| "not known".to_owned(), text::dollars),
    });
    rows.collect()
}
