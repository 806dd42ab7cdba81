//! The report of a made-up month. Every figure is recomputed here from the tokens and prices of the month.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod sample;

use chrono::{Datelike, NaiveDate};
use sentry_domain::Usd;
use sentry_history::{Day, Sums, attribute};
use sentry_report::{Comparison, Forecast, Input, Movers, Reading, ReasonKind, Report, Saved, Status, csv, html};

use crate::sample::{CENTERS, MODELS, tokens};

/// The cost of some cost centers and models on some days of November, in picodollars, without unknown usage.
fn cost(days: std::ops::RangeInclusive<u32>, centers: &[usize], models: &[usize]) -> i128 {
    let mut sum = 0;
    for number in days {
        let day = NaiveDate::from_ymd_opt(2026, 11, number).unwrap();
        for center in centers {
            for model in models {
                sum += i128::try_from(tokens(day, *center, *model) * MODELS[*model].1 * 1_000_000).unwrap();
            }
        }
    }
    sum
}

const ALL_CENTERS: [usize; 5] = [0, 1, 2, 3, 4];
const ALL_MODELS: [usize; 3] = [0, 1, 2];
/// The holds of the two requests whose usage is unknown.
const UNKNOWN: i128 = 900_000_000_000;

fn report() -> Report {
    Report::of(&sample::input())
}

fn by(kind: &str) -> Input {
    Input { grouping: kind.parse().unwrap(), ..sample::input() }
}

fn picodollars(usd: Usd) -> i128 {
    i128::try_from(usd.picodollars()).unwrap()
}

/// The parts of a difference by reason, in picodollars.
fn parts(comparison: &Comparison, group: &str) -> Vec<(ReasonKind, i128)> {
    let rows = comparison.rows.iter().chain([&comparison.total]);
    let row = rows.clone().find(|row| row.group == group).unwrap();
    row.reasons.iter().map(|reason| (reason.reason, signed(&reason.usd.to_string()))).collect()
}

fn signed(text: &str) -> i128 {
    let size: Usd = text.trim_start_matches('-').parse().unwrap();
    if text.starts_with('-') { -picodollars(size) } else { picodollars(size) }
}

#[test]
fn the_spend_is_that_of_the_tokens_and_of_the_holds_of_unknown_usage() {
    let report = report();
    assert_eq!(picodollars(report.total.spend.usd), cost(1..=27, &ALL_CENTERS, &ALL_MODELS) + UNKNOWN);
    assert!(report.total.spend.is_floor, "nine requests have no price");
    for (center, (name, _)) in CENTERS.iter().enumerate() {
        let group = report.groups.iter().find(|group| group.name == *name).unwrap();
        let unknown = if center == 0 { UNKNOWN } else { 0 };
        assert_eq!(picodollars(group.figures.spend.usd), cost(1..=27, &[center], &ALL_MODELS) + unknown, "{name}");
        let days: i128 = group.daily.iter().map(|usd| picodollars(*usd)).sum();
        assert_eq!(days, picodollars(group.figures.spend.usd), "{name}");
        // Llama 3.3 has requests without a price on the 9th.
        assert_eq!(group.figures.spend.is_floor, CENTERS[center].1[2] > 0, "{name}");
    }
    let days: i128 = report.days.iter().map(|day| picodollars(day.spend.usd)).sum();
    assert_eq!((days, report.days.len()), (picodollars(report.total.spend.usd), 27));
}

#[test]
fn every_grouping_has_the_same_total() {
    let of = |kind: &str| Report::of(&by(kind));
    let (centers, models, nothing) = (of("costCenter"), of("model"), of("foundation"));
    assert_eq!(models.total, centers.total);
    let sum: i128 = models.groups.iter().map(|group| picodollars(group.figures.spend.usd)).sum();
    assert_eq!((sum, &models.outside), (picodollars(centers.total.spend.usd), &None));
    assert!(nothing.groups.is_empty());
    assert_eq!(nothing.outside.unwrap().requests, centers.total.requests);
}

#[test]
fn the_forecast_adds_the_mean_of_the_last_full_days() {
    let Forecast::Expected { usd, low, high, mean, days_left, .. } = report().forecast else { panic!("no forecast") };
    let expected_mean = cost(20..=26, &ALL_CENTERS, &ALL_MODELS) / 7;
    assert_eq!((picodollars(mean), days_left), (expected_mean, 4));
    let until_yesterday = cost(1..=26, &ALL_CENTERS, &ALL_MODELS) + UNKNOWN;
    assert_eq!(picodollars(usd), until_yesterday + 4 * expected_mean);
    assert!(low < usd && usd < high);
}

#[test]
fn the_movers_are_those_of_the_same_days() {
    let Movers::Known { through, up, down } = report().movers else { panic!("no movers") };
    assert_eq!(through.to_string(), "2026-11-26");
    assert_eq!(down.iter().map(|mover| mover.group.as_str()).collect::<Vec<_>>(), ["marketing"]);
    let sales = up.iter().find(|mover| mover.group == "sales").unwrap();
    assert_eq!(picodollars(sales.now), cost(1..=26, &[1], &ALL_MODELS));
    let october: u128 = (1..=26)
        .map(|number| NaiveDate::from_ymd_opt(2026, 10, number).unwrap())
        .flat_map(|day| ALL_MODELS.map(|model| tokens(day, 1, model) * MODELS[model].1 * 1_000_000))
        .sum();
    assert_eq!(sales.before.picodollars(), october);
    assert_eq!(signed(&sales.change.to_string()), picodollars(sales.now) - picodollars(sales.before));
}

#[test]
fn each_difference_to_the_bill_has_its_reason() {
    let comparison = report().comparison.unwrap();
    assert_eq!(comparison.billed_until.unwrap().day(), 25);
    // The bill has 11 dollars for a million tokens, and the ledger 9, from the 12th to the 18th.
    let price = |centers: &[usize]| -cost(12..=18, centers, &[0]) * 2 / 9;
    let late = |centers: &[usize]| cost(26..=27, centers, &ALL_MODELS);
    // Half a million tokens at a dollar for a million on four days.
    let round = -2_000_000_000_000;
    assert_eq!(
        parts(&comparison, "").last().copied().map(|(reason, _)| reason),
        Some(ReasonKind::Untagged),
        "the row without the tag"
    );
    let total = &comparison.total;
    let expected = [
        (ReasonKind::NotBilledYet, late(&ALL_CENTERS)),
        (ReasonKind::PriceChanged, price(&ALL_CENTERS)),
        (ReasonKind::Ungoverned, round),
        (ReasonKind::UnknownUsage, UNKNOWN),
    ];
    let found: Vec<(ReasonKind, i128)> =
        total.reasons.iter().map(|reason| (reason.reason, signed(&reason.usd.to_string()))).collect();
    assert_eq!(found, expected);
    let sum: i128 = expected.iter().map(|(_, part)| part).sum();
    assert_eq!(signed(&total.difference.to_string()), sum);
    assert_eq!(
        parts(&comparison, "sales"),
        [(ReasonKind::NotBilledYet, late(&[1])), (ReasonKind::PriceChanged, price(&[1]))]
    );
    // Marketing calls Nova Lite without a profile, so the bill has it without the tag.
    let untagged = cost(1..=25, &[3], &[1]);
    assert_eq!(
        parts(&comparison, "marketing"),
        [(ReasonKind::NotBilledYet, late(&[3])), (ReasonKind::Untagged, untagged)]
    );
    assert_eq!(
        parts(&comparison, ""),
        [
            (ReasonKind::NotBilledYet, late(&[4])),
            (ReasonKind::PriceChanged, price(&[4])),
            (ReasonKind::Ungoverned, round),
            (ReasonKind::Untagged, -untagged),
        ]
    );
}

#[test]
fn the_parts_of_every_difference_add_up_and_no_model_is_unmatched() {
    for kind in ["costCenter", "model", "application"] {
        let comparison = Report::of(&by(kind)).comparison.unwrap();
        assert_eq!(comparison.rows.is_empty(), kind == "application", "the tag is costCenter");
        assert!(comparison.unmatched_models.is_empty());
        for row in comparison.rows.iter().chain([&comparison.total]) {
            let sum: i128 = row.reasons.iter().map(|reason| signed(&reason.usd.to_string())).sum();
            assert_eq!(sum, signed(&row.difference.to_string()), "{kind} {}", row.group);
            assert!(row.reasons.iter().all(|reason| reason.reason != ReasonKind::Unexplained), "{kind} {}", row.group);
        }
    }
}

#[test]
fn an_amount_that_nothing_explains_is_called_unexplained() {
    let mut input = sample::input();
    let Some(Reading::Known(bill)) = &mut input.bill else { panic!("no bill") };
    let extra = Usd::from_picodollars(7_000_000_000_000);
    let line = bill.lines.iter_mut().find(|line| line.tag == "support" && line.day.day() == 20).unwrap();
    line.usd = line.usd + extra;
    line.model = Some("Titan Text".to_owned());
    let comparison = Report::of(&input).comparison.unwrap();
    assert_eq!(comparison.unmatched_models, ["Titan Text"]);
    // The bill has more than the ledger, so nobody can tell what of the holds of unknown usage is too much.
    let unexplained = (ReasonKind::Unexplained, UNKNOWN - 7_000_000_000_000);
    assert_eq!(parts(&comparison, "support").last(), Some(&unexplained));
}

/// The denied requests of a scope in November.
fn denied_in_november(scope: &str) -> u64 {
    let days = &sample::history()[scope];
    let november = days.iter().filter(|day| day.day.month() == 11);
    november.map(|day| u64::try_from(day.sums.get("denied")).unwrap()).sum()
}

#[test]
fn budgets_in_trouble_come_first_and_the_unknown_before_the_healthy() {
    let budgets = report().budgets.unwrap();
    let states: Vec<(&str, Status)> = budgets.iter().map(|budget| (budget.scope.as_str(), budget.status())).collect();
    let expected = [
        ("costCenter#sales", Status::UsedUp),
        ("costCenter#support", Status::AheadOfPace),
        ("claude-of-old", Status::Unknown),
        ("costCenter#research & <development>", Status::NoPace),
        ("model#us.anthropic.claude-sonnet-4-5-20250929-v1:0", Status::OnPace),
        ("costCenter#marketing", Status::OnPace),
        ("costCenter#unspecified", Status::OnPace),
    ];
    assert_eq!(states, expected);
    let denied = denied_in_november("costCenter#sales");
    assert_eq!(budgets[0].denied, Some(denied));
    // Support spends evenly: 380 dollars last as long as the spend so far says.
    let used = cost(1..=27, &[0], &ALL_MODELS) + UNKNOWN;
    let elapsed = i128::from((26 * 24 + 10) * 3_600);
    let seconds = elapsed * 380_000_000_000_000 / used;
    let json = serde_json::to_value(&budgets[1]).unwrap();
    let at: chrono::DateTime<chrono::Utc> = json["units"][0]["lasts"]["at"].as_str().unwrap().parse().unwrap();
    assert_eq!(i128::from((at - budgets[1].start).num_seconds()), seconds);
}

#[test]
fn a_figure_that_cannot_be_read_is_named_and_never_a_zero() {
    let scope = "costCenter#sales".to_owned();
    let day = NaiveDate::from_ymd_opt(2026, 11, 3).unwrap();
    let mut input = sample::input();
    input.unreadable = vec![(scope, day), ("costCenter#hidden".to_owned(), day)];
    input.budgets = Reading::Unknown("the limits table cannot be read.".to_owned());
    input.bill = Some(Reading::Unknown("Cost Explorer answered AccessDeniedException: no.".to_owned()));
    let report = Report::of(&input);
    assert!(report.total.spend.is_floor);
    let floor =
        |name: &str| report.groups.iter().find(|group| group.name == name).map(|group| group.figures.spend.is_floor);
    assert_eq!((floor("sales"), floor("hidden"), floor("support")), (Some(true), Some(true), Some(false)));
    assert_eq!((&report.budgets, &report.comparison, report.unknown.len()), (&None, &None, 5));
    let page = html(&report).unwrap();
    assert!(page.contains("Unknown. The limits could not be read"));
    assert!(page.contains("AccessDeniedException"));
}

#[test]
fn a_saving_that_is_known_in_part_is_a_floor() {
    let report = report();
    let saved = |name: &str| report.groups.iter().find(|group| group.name == name).unwrap().figures.saved;
    assert_eq!(saved("marketing"), Saved::Unknown);
    let Saved::Known { usd, is_floor } = report.total.saved else { panic!("no saving") };
    let expected: u128 = (1..=27)
        .map(|number| NaiveDate::from_ymd_opt(2026, 11, number).unwrap())
        .flat_map(|day| ALL_CENTERS.map(|center| tokens(day, center, 0) / 10 * 3_000_000))
        .sum();
    assert_eq!((signed(&usd.to_string()), is_floor), (i128::try_from(expected).unwrap(), true));
}

#[test]
fn a_name_is_text_and_the_page_needs_nothing_else() {
    let mut input = sample::input();
    let day = Day { day: sample::now().date_naive(), sums: requests(1) };
    let script = "<script>alert('x')</script>\"&".repeat(8);
    input.history.insert(format!("costCenter#{script}"), vec![day]);
    let page = html(&Report::of(&input)).unwrap();
    assert!(!page.contains("<script") && !page.contains("<development>"), "a name became markup");
    assert!(page.contains("development"));
    for outside in ["src=", "@import", "url(", "<link rel=\"stylesheet\"", "https://"] {
        assert!(!page.contains(outside), "{outside}");
    }
}

fn requests(count: u64) -> Sums {
    let mut sums = Sums::default();
    sums.add(attribute::REQUESTS, count);
    sums.add(attribute::DENIED, count);
    sums
}

#[test]
fn an_empty_month_says_so() {
    let mut input = sample::input();
    input.history.clear();
    input.budgets = Reading::Known(Vec::new());
    input.bill = None;
    let report = Report::of(&input);
    assert_eq!((report.total.requests, report.groups.len(), &report.movers), (0, 0, &Movers::NothingBefore));
    assert_eq!(report.forecast, Forecast::NotEnoughDays { days: 0, needed: 7 });
    let page = html(&report).unwrap();
    assert!(page.contains("The history has no request of this month.") && page.contains("Nothing was spent."));
    assert!(!report.total.spend.is_floor);
}

#[test]
fn the_first_day_of_a_month_has_nothing_to_compare() {
    let mut input = sample::input();
    input.now = "2026-11-01T05:00:00Z".parse().unwrap();
    let report = Report::of(&input);
    assert_eq!((report.days.len(), &report.movers), (1, &Movers::NoFullDay));
    assert!(report.groups.iter().all(|group| group.before.is_none() && group.daily.len() == 1));
}

#[test]
fn four_hundred_groups_are_all_in_the_csv_and_the_largest_on_the_page() {
    let mut input = sample::input();
    input.history.clear();
    input.bill = None;
    let day = sample::now().date_naive();
    for number in 0..400_u64 {
        let mut sums = requests(1);
        sums.add(attribute::PICODOLLARS, number * 1_000_000_000_000);
        input.history.insert(format!("costCenter#c{number:03}"), vec![Day { day, sums }]);
    }
    let report = Report::of(&input);
    let page = html(&report).unwrap();
    // 0 + 1 + … + 359 dollars.
    assert!(page.contains("360 groups more with $64,620.00 together"));
    assert!(page.contains("c399") && !page.contains("c100"));
    assert_eq!(csv(&report).lines().count(), 1 + 400 + 1);
}

#[test]
fn a_profile_is_shown_and_billed_as_its_model() {
    let mut input = by("model");
    let (id, source) = ("k3w9q1x0a2b4", MODELS[1].0);
    let days = input.history.remove(&format!("model#{source}")).unwrap();
    input.history.insert(format!("model#{id}"), days);
    input.sources.insert(id.to_owned(), source.to_owned());
    let report = Report::of(&input);
    let group = report.groups.iter().find(|group| group.name == id).unwrap();
    assert_eq!(group.source.as_deref(), Some(source));
    assert!(html(&report).unwrap().contains(source));
    let comparison = report.comparison.unwrap();
    assert!(comparison.unmatched_models.is_empty());
    let kinds: Vec<ReasonKind> = parts(&comparison, "Nova Lite").iter().map(|(kind, _)| *kind).collect();
    assert_eq!(kinds, [ReasonKind::NotBilledYet, ReasonKind::Ungoverned]);
}

#[test]
fn a_shared_budget_is_no_group() {
    let mut input = sample::input();
    let before = Report::of(&input).total;
    let days = input.history["costCenter#sales"].clone();
    input.history.insert("costCenter#default".to_owned(), days);
    input.shared.insert("costCenter#default".to_owned());
    assert_eq!(Report::of(&input).total, before);
}

#[test]
fn the_csv_is_exact() {
    insta::assert_snapshot!("csv", csv(&report()));
}

#[test]
fn the_json_of_one_day_has_every_field() {
    let mut input = sample::input();
    input.now = "2026-11-02T12:00:00Z".parse().unwrap();
    input.history.retain(|scope, days| {
        days.retain(|day| day.day.month() == 11 && day.day.day() <= 2);
        scope.starts_with("costCenter#sales") && !days.is_empty()
    });
    let budgets = sample::budgets(&input.history).into_iter().take(1).collect();
    input.budgets = Reading::Known(budgets);
    if let Some(Reading::Known(bill)) = &mut input.bill {
        bill.lines.retain(|line| line.day.day() == 1 && line.tag == "sales");
    }
    insta::assert_json_snapshot!("one_day", Report::of(&input));
}
