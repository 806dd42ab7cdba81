//! A month of a made-up company: four cost centers, three models, budgets in every state, calls that bypass the sentry, and a bill
//! that differs for every reason.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Datelike, NaiveDate, Utc};
use sentry_domain::{LimitWindow, Limits, Price, Usd, Window, WindowKind};
use sentry_history::{Day, Sums, attribute};
use sentry_report::{Bill, Billed, BudgetInput, DaysByScope, Input, Reading};

/// Models, with dollars per million tokens and their names on the bill.
pub const MODELS: [(&str, u128, &str); 3] = [
    ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", 9, "Claude Sonnet 4.5"),
    ("us.amazon.nova-lite-v1:0", 1, "Nova Lite"),
    ("us.meta.llama3-3-70b-instruct-v1:0", 2, "Llama 3.3 70B Instruct"),
];
/// Cost centers, with thousands of tokens of each model on a working day.
pub const CENTERS: [(&str, [u128; 3]); 5] = [
    ("support", [900, 8_000, 0]),
    ("sales", [2_400, 500, 700]),
    ("research & <development>", [3_100, 0, 2_500]),
    ("marketing", [0, 6_000, 90]),
    ("unspecified", [20, 40, 0]),
];
/// The price of the bill for Claude Sonnet 4.5, per million tokens, from this day until the catalogue follows.
const CHANGED: (u32, u32, u128) = (12, 18, 11);
/// The last day of the bill.
const BILLED_UNTIL: u32 = 25;

pub fn now() -> DateTime<Utc> {
    "2026-11-27T10:00:00Z".parse().unwrap()
}

/// The percentage of a working day's usage.
fn activity(day: NaiveDate, center: &str) -> u128 {
    let weekend = day.weekday().number_from_monday() > 5;
    let wave = 80 + u128::from(day.day() * 7 % 41);
    match (weekend, center) {
        // One day on which sales spent far too much.
        _ if center == "sales" && day.day() == 17 && day.month() == 11 => 450,
        (true, _) => wave / 5,
        (false, "marketing") if day.month() == 10 => wave * 2,
        (false, _) => wave,
    }
}

/// The tokens of a cost center and a model on a day, input and output together.
pub fn tokens(day: NaiveDate, center: usize, model: usize) -> u128 {
    let (name, thousands) = CENTERS[center];
    thousands[model] * 1_000 * activity(day, name) / 100
}

/// The sums of a cost center and a model on a day.
fn sums(day: NaiveDate, center: usize, model: usize) -> Sums {
    let mut sums = Sums::default();
    let tokens = tokens(day, center, model);
    if tokens == 0 {
        return sums;
    }
    let requests = tokens / 9_000 + 1;
    let denied = if center == 1 && day.day() > 17 { requests / 6 } else { requests / 90 };
    sums.add(attribute::REQUESTS, requests + denied);
    sums.add(attribute::APPROVED, requests);
    sums.add(attribute::DENIED, denied);
    sums.add("denied#BudgetExceeded", denied - denied / 4);
    sums.add("denied#BudgetReserved", denied / 4);
    sums.add(attribute::SETTLED, requests);
    sums.add(attribute::INPUT, tokens / 10 * 6);
    sums.add(attribute::OUTPUT, tokens / 10 * 3);
    sums.add(attribute::CACHE_READ, tokens - tokens / 10 * 9);
    // A token of a million costs a millionth of the dollars: as many microdollars a token.
    sums.add(attribute::PICODOLLARS, tokens * MODELS[model].1 * 1_000_000);
    if model == 0 {
        sums.add("savedPicodollars", tokens / 10 * 3_000_000);
    }
    if model == 2 && day.day() == 9 {
        sums.add(attribute::UNPRICED, 3_u64);
    }
    if center == 0 && model == 0 && day.day() == 5 {
        sums.add(attribute::REQUESTS, 2_u64);
        sums.add(attribute::APPROVED, 2_u64);
        sums.add(attribute::FAILED, 2_u64);
        sums.add("failed#ModelTimeout", 2_u64);
        sums.add(attribute::UNKNOWN, 2_u64);
        sums.add(attribute::UNKNOWN_PICODOLLARS, 900_000_000_000_u64);
    }
    sums
}

/// The history of October and November until today.
pub fn history() -> DaysByScope {
    let mut history: BTreeMap<(String, NaiveDate), Sums> = BTreeMap::new();
    let first: NaiveDate = "2026-10-01".parse().unwrap();
    for day in first.iter_days().take_while(|day| *day <= now().date_naive()) {
        for (center, (name, _)) in CENTERS.iter().enumerate() {
            for (model, (id, _, _)) in MODELS.iter().enumerate() {
                let sums = sums(day, center, model);
                let center = format!("costCenter#{name}");
                for scope in [format!("model#{id}"), format!("{center}+model#{id}"), center] {
                    *history.entry((scope, day)).or_default() += &sums;
                }
            }
        }
        if day.month() == 11 && day.day() % 6 == 0 {
            let round = history.entry((format!("ungoverned#{}", MODELS[1].0), day)).or_default();
            round.add(attribute::INPUT, 400_000_u64);
            round.add(attribute::OUTPUT, 100_000_u64);
        }
    }
    let mut by_scope = DaysByScope::new();
    for ((scope, day), sums) in history {
        if sums != Sums::default() {
            by_scope.entry(scope).or_default().push(Day { day, sums });
        }
    }
    by_scope
}

pub fn prices() -> BTreeMap<String, Price> {
    let rates = r#"{"input": "1", "output": "1"}"#;
    BTreeMap::from([(MODELS[1].0.to_owned(), serde_json::from_str(rates).unwrap())])
}

/// The bill until two days ago: marketing's Nova Lite has no tag, Claude Sonnet 4.5 costs more for a week, and the
/// calls that bypassed the sentry are on it. Denied and unknown requests are not.
pub fn bill() -> Bill {
    let mut lines = Vec::new();
    let first: NaiveDate = "2026-11-01".parse().unwrap();
    for day in first.iter_days().take_while(|day| day.month() == 11 && day.day() <= BILLED_UNTIL) {
        for (center, (name, _)) in CENTERS.iter().enumerate() {
            for (model, (_, price, billed)) in MODELS.iter().enumerate() {
                let changed = model == 0 && (CHANGED.0..=CHANGED.1).contains(&day.day());
                let price = if changed { CHANGED.2 } else { *price };
                let usd = Usd::from_picodollars(tokens(day, center, model) * price * 1_000_000);
                let untagged = *name == "unspecified" || *name == "marketing" && model == 1;
                let tag = if untagged { String::new() } else { (*name).to_owned() };
                lines.push(Billed { day, tag, model: Some((*billed).to_owned()), usd });
            }
        }
        if day.day() % 6 == 0 {
            let usd = Usd::from_picodollars(500_000 * 1_000_000);
            lines.push(Billed { day, tag: String::new(), model: Some(MODELS[1].2.to_owned()), usd });
        }
    }
    Bill { lines, credits: Usd::ZERO, requests: 1, tag_key: "costCenter".to_owned() }
}

fn budget(scope: &str, kind: WindowKind, limits: Limits, days: Reading<Vec<Day>>) -> BudgetInput {
    let window = Window::containing(kind, "UTC".parse().unwrap(), now());
    BudgetInput {
        scope: scope.to_owned(),
        item: scope.to_owned(),
        window: LimitWindow::from(&window),
        limits,
        only_observes: false,
        days,
    }
}

/// A budget in each state.
pub fn budgets(history: &DaysByScope) -> Vec<BudgetInput> {
    let days = |scope: &str| Reading::Known(history.get(scope).cloned().unwrap_or_default());
    let usd = |dollars: &str| Limits { usd: Some(dollars.parse().unwrap()), ..Limits::default() };
    let output = |tokens| Limits { output: Some(tokens), ..Limits::default() };
    let sonnet = format!("model#{}", MODELS[0].0);
    let both = Limits { requests: Some(40_000), ..usd("1500") };
    vec![
        budget("costCenter#sales", WindowKind::Month, usd("550"), days("costCenter#sales")),
        budget("costCenter#support", WindowKind::Month, usd("380"), days("costCenter#support")),
        budget("costCenter#marketing", WindowKind::Month, both, days("costCenter#marketing")),
        budget(&sonnet, WindowKind::Week, output(20_000_000), days(&sonnet)),
        BudgetInput {
            item: "costCenter#default".to_owned(),
            only_observes: true,
            ..budget("costCenter#unspecified", WindowKind::Day, usd("1"), days("costCenter#unspecified"))
        },
        budget(
            "claude-of-old",
            WindowKind::Month,
            output(1_000),
            Reading::Unknown("the key is the name of no model that the catalogue of this program knows.".to_owned()),
        ),
        budget(
            "costCenter#research & <development>",
            WindowKind::Total,
            usd("9000"),
            days("costCenter#research & <development>"),
        ),
    ]
}

/// The whole input, by cost center.
pub fn input() -> Input {
    let history = history();
    Input {
        stack: "cost-sentry".to_owned(),
        now: now(),
        month: "2026-11".parse().unwrap(),
        grouping: "costCenter".parse().unwrap(),
        budgets: Reading::Known(budgets(&history)),
        history,
        unreadable: Vec::new(),
        shared: BTreeSet::new(),
        malformed: vec![("user#jo".to_owned(), "The limits item user#jo is invalid: limit is missing.".to_owned())],
        prices: prices(),
        sources: BTreeMap::new(),
        bill: Some(Reading::Known(bill())),
        discount: "0".parse().unwrap(),
    }
}
