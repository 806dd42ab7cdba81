//! `sentry budget`: what is used, held and left, by the figures that the next decision would use.

use std::collections::BTreeMap;
use std::io::IsTerminal;
use std::time::Duration;

use chrono::{DateTime, Datelike, SecondsFormat, Utc};
use fn_fetch_usage::{SharedFigures, UsageSource};
use fn_lookup_limit::ListedItem;
use sentry_contract::usage::{FetchUsageInput, UsageSeries};
use sentry_domain::{Amount, Enforcement, Limits, ScopeLimit, Unit, UsageGrid};
use sentry_ledger::Figures;
use sentry_models::Catalogue;
use sentry_report::{BudgetInput, BudgetUnit, DaysByScope, Lasts, Reading, Status};
use serde_json::Value;

use crate::budgets::{kind, known};
use crate::failure::Failure;
use crate::options::{Global, Output};
use crate::output::{Column, Table, print};
use crate::stack::Stack;

/// Where holds are this many times the usage, requests ask for far more than they use.
const FAR_ABOVE: u128 = 3;
/// Moves the cursor to the upper left corner, and erases the screen.
const REDRAW: &str = "\x1b[H\x1b[2J";
/// Prefix of the scope of a model.
const MODEL: &str = "model#";

#[derive(clap::Args)]
pub struct Args {
    /// The scope, such as costCenter#support, or the key of a limits item [default: all scopes with requests this month]
    pub scope: Option<String>,
    /// Show the figures again and again, until Ctrl-C
    #[arg(long)]
    pub watch: bool,
    /// Seconds between two looks of --watch
    #[arg(long, default_value_t = 2, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub interval: u64,
    /// End after this many looks. For tests
    #[arg(long, hide = true, value_name = "N")]
    pub looks: Option<u32>,
}

/// Runs the command.
///
/// # Errors
/// If no budget applies to the scope, or AWS cannot be reached.
pub async fn run(global: &Global, args: &Args) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let redraw = std::io::stdout().is_terminal() && global.output == Output::Table;
    let mut looks = 0;
    loop {
        let now = Utc::now();
        let lines = lines(&stack, args.scope.as_deref(), now).await?;
        let text = shown(&lines, global.output);
        if args.watch && redraw {
            print(&format!("{REDRAW}{} at {}\n\n{text}", stack.name, now.to_rfc3339_opts(SecondsFormat::Secs, true)))?;
        } else {
            print(&text)?;
        }
        looks += 1;
        if !args.watch || args.looks.is_some_and(|most| looks >= most) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_secs(args.interval)).await;
    }
}

/// One unit of a budget.
struct Line {
    budget: BudgetInput,
    unit: BudgetUnit,
    limit: u128,
    used: u128,
    held: u128,
}

/// Every unit of every budget of `scope` in its windows at `now`, or of all scopes.
async fn lines(stack: &Stack, scope: Option<&str>, now: DateTime<Utc>) -> Result<Vec<Line>, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::unreachable("the budgets cannot be read", error);
    let catalogue = stack.catalogue()?;
    let today = now.date_naive();
    let all =
        stack.history()?.all_days(today.with_day(1).unwrap_or(today), today).await.map_err(|error| failed(&error))?;
    for damaged in &all.damaged {
        eprintln!("warning: {damaged}; scopes that only it names are missing");
    }
    let items = stack.limits_table()?.list(now).await.map_err(|error| failed(&error))?;
    for (item, problem) in items.iter().filter_map(|item| Some((item, item.listed.as_ref().err()?))) {
        eprintln!("warning: {}: {problem}", item.key);
    }
    let mut budgets = known(&items, &catalogue, &stack.region, &all.by_scope, now).budgets;
    if let Some(scope) = scope {
        budgets = of_scope(scope, budgets, &items, &catalogue, stack, now)?;
    }
    let limits: Vec<ScopeLimit> = budgets.iter().map(scope_limit).collect();
    let ledger = stack.ledger().await?.with_history(stack.history()?);
    let figures = ledger.figures(&limits.iter().collect::<Vec<_>>(), now).await.map_err(|error| failed(&error))?;
    let seen = seen(stack, &limits, now).await?;
    let lines = budgets.into_iter().zip(&limits).zip(&figures);
    Ok(lines.flat_map(|((budget, limit), figures)| units(&budget, limit, figures, &seen, &catalogue, now)).collect())
}

/// The budgets of `scope`. A scope without requests this month has the budgets of the item for all values.
fn of_scope(
    scope: &str,
    budgets: Vec<BudgetInput>,
    items: &[ListedItem],
    catalogue: &Catalogue,
    stack: &Stack,
    now: DateTime<Utc>,
) -> Result<Vec<BudgetInput>, Failure> {
    let wanted = scope.to_lowercase();
    let with_kind = if scope.contains('#') { wanted.clone() } else { format!("{MODEL}{wanted}") };
    let is_wanted = |budget: &BudgetInput| {
        let (own, item) = (budget.scope.to_lowercase(), budget.item.to_lowercase());
        own == with_kind || own == wanted || item == wanted
    };
    let found: Vec<BudgetInput> = budgets.into_iter().filter(is_wanted).collect();
    if !found.is_empty() {
        return Ok(found);
    }
    let name = match wanted.split_once('#') {
        Some((kind, _)) if kind.eq_ignore_ascii_case("model") => scope.to_owned(),
        Some(_) => lower_values(scope),
        None => match catalogue.resolve(scope, &stack.region, now.date_naive()) {
            Ok(resolved) => format!("{MODEL}{}", resolved.model.model_metric),
            Err(_) => format!("{MODEL}{scope}"),
        },
    };
    let days = DaysByScope::from([(name.clone(), Vec::new())]);
    let found = known(items, catalogue, &stack.region, &days, now).budgets;
    let found: Vec<BudgetInput> =
        found.into_iter().filter(|budget| budget.scope == name && kind(&budget.scope) == kind(&name)).collect();
    if found.is_empty() {
        return Err(Failure::Refused(format!(
            "no limit applies to {scope}. `sentry limits list` shows all items, and `sentry limits set` makes one"
        )));
    }
    Ok(found)
}

/// The name of a scope has its values in lower case.
fn lower_values(scope: &str) -> String {
    let parts = scope.split('+').map(|part| match part.split_once('#') {
        Some((kind, value)) => format!("{kind}#{}", value.to_lowercase()),
        None => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("+")
}

fn scope_limit(budget: &BudgetInput) -> ScopeLimit {
    ScopeLimit {
        scope: budget.scope.clone(),
        source: String::new(),
        item: budget.item.clone(),
        window: budget.window.clone(),
        limits: budget.limits,
        per_request: Limits::default(),
        enforce: if budget.only_observes { Enforcement::Observe } else { Enforcement::Deny },
        alert_at: Vec::new(),
        shards: 1,
        when_exceeded: Vec::new(),
        respond: None,
    }
}

/// CloudWatch's figures of each model that has a limit, by the name of its metric.
async fn seen(
    stack: &Stack,
    limits: &[ScopeLimit],
    now: DateTime<Utc>,
) -> Result<BTreeMap<String, UsageSeries>, Failure> {
    // With an age of 0, the source asks CloudWatch itself, and shares nothing through the ledger.
    let shared = SharedFigures::new(stack.dynamodb(), stack.output("LedgerTableName")?.to_owned());
    let source = UsageSource::new(stack.cloudwatch(), shared, 0);
    let mut seen = BTreeMap::new();
    for metric in limits.iter().filter_map(|limit| limit.scope.strip_prefix(MODEL)) {
        if seen.contains_key(metric) {
            continue;
        }
        let input =
            FetchUsageInput { model_metric: metric.to_owned(), fallback_metric: None, grid: UsageGrid::at(now) };
        match source.fetch(&input, now).await {
            Ok(found) => {
                seen.insert(metric.to_owned(), found.model);
            }
            Err(failure) => eprintln!("warning: {metric} has only the figures of the ledger: {failure}"),
        }
    }
    Ok(seen)
}

fn units(
    budget: &BudgetInput,
    limit: &ScopeLimit,
    figures: &Figures,
    seen: &BTreeMap<String, UsageSeries>,
    catalogue: &Catalogue,
    now: DateTime<Utc>,
) -> Vec<Line> {
    let metric = limit.scope.strip_prefix(MODEL).filter(|_| limit.limits.in_flight.is_none());
    let seen = metric.and_then(|metric| Some((metric, seen.get(metric)?))).map_or(Amount::ZERO, |(metric, series)| {
        let resolved = catalogue.resolve_id(metric, metric, "", now.date_naive()).ok();
        Amount::of_many(&series.since(limit.window.start), resolved.and_then(|it| it.model.price).as_ref())
    });
    let used = figures.used(seen);
    let line = |(unit, limit): (Unit, u128)| Line {
        budget: budget.clone(),
        unit: BudgetUnit::of(unit, &budget.window, limit, used.get(unit), now),
        limit,
        used: used.get(unit),
        held: figures.held.get(unit),
    };
    limit.limits.iter().map(line).collect()
}

impl Line {
    fn remaining(&self) -> u128 {
        self.limit.saturating_sub(self.used).saturating_sub(self.held)
    }

    /// The advice if the holds are far above the usage and take much of the limit.
    fn advice(&self) -> Option<&'static str> {
        let is_far = self.held > FAR_ABOVE * self.used.max(1) && self.held > self.limit / 4;
        (is_far && self.unit.unit != Unit::InFlight).then_some(
            "requests in flight hold far more than requests use. Let clients send a lower max_tokens, or give the item perRequest",
        )
    }

    fn outlook(&self) -> String {
        if self.unit.unit == Unit::InFlight {
            return String::new();
        }
        if matches!(self.budget.days, Reading::Unknown(_)) {
            return "unknown scope".to_owned();
        }
        match (&self.unit.status, &self.unit.lasts) {
            (Status::UsedUp, _) => "used up".to_owned(),
            (_, Lasts::Until { at }) => format!("until {}", at.format("%m-%d %H:%M")),
            (Status::NearlyUsedUp, _) => "nearly used up".to_owned(),
            (Status::OnPace, _) => "lasts".to_owned(),
            _ => String::new(),
        }
    }

    fn cells(&self, output: Output) -> Vec<String> {
        let written = |amount: u128| match (output, self.unit.unit) {
            (Output::Table, Unit::Usd) => format!("${}", self.unit.unit.written(amount)),
            _ => self.unit.unit.written(amount),
        };
        let percent = self.unit.used_percent.map(|percent| format!("{}.{}", percent.0 / 10, percent.0 % 10));
        let mut cells = vec![
            self.budget.scope.clone(),
            self.budget.window.name.clone(),
            self.unit.unit.name().to_owned(),
            written(self.limit),
            written(self.used),
            written(self.held),
            written(self.remaining()),
            percent.unwrap_or_default(),
        ];
        if output == Output::Table {
            cells.push(self.outlook());
            return cells;
        }
        let instant = |at: DateTime<Utc>| at.to_rfc3339_opts(SecondsFormat::Secs, true);
        let until = if let Lasts::Until { at } = &self.unit.lasts { instant(*at) } else { String::new() };
        cells.extend([
            until,
            self.budget.window.resets_at.map(instant).unwrap_or_default(),
            self.budget.item.clone(),
            if self.budget.only_observes { "observe" } else { "deny" }.to_owned(),
            self.advice().unwrap_or_default().to_owned(),
        ]);
        cells
    }
}

fn shown(lines: &[Line], output: Output) -> String {
    let names = ["limit", "used", "held", "left", "%"].map(Column::dollars);
    let mut columns = ["scope", "window", "unit"].map(Column::text).to_vec();
    if output == Output::Table {
        columns.extend(names);
        columns.push(Column::text("outlook"));
    } else {
        columns.extend(["limit", "used", "held", "remaining", "usedPercent"].map(Column::text));
        columns.extend(["lastsUntil", "resetsAt", "item", "enforce", "advice"].map(Column::text));
    }
    let rows = lines.iter().map(|line| line.cells(output)).collect();
    let mut text = Table { columns, rows }.written(output);
    if output == Output::Table {
        for line in lines {
            if let Some(advice) = line.advice() {
                text.push_str(&format!("\n{} {}: {advice}.\n", line.budget.scope, line.unit.unit.name()));
            }
        }
    }
    text
}

/// The `budget` of an answer as a table.
pub fn entries(budget: &[Value]) -> Table {
    let columns = ["scope", "window", "unit"].map(Column::text).into_iter();
    let columns = columns.chain(["limit", "used", "held", "left"].map(Column::dollars)).collect();
    let text = |value: &Value, name: &str| match value.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
        None => String::new(),
    };
    let rows = budget.iter().flat_map(|entry| {
        let units = Unit::ALL.into_iter().filter_map(|unit| Some((unit, entry.get(unit.name())?)));
        units.map(move |(unit, room)| {
            let scope = ["scope", "window"].map(|name| text(entry, name));
            let figures = ["limit", "used", "reserved", "remaining"].map(|name| text(room, name));
            scope.into_iter().chain([unit.name().to_owned()]).chain(figures).collect()
        })
    });
    Table { columns, rows: rows.collect() }
}

#[cfg(test)]
mod tests {
    use sentry_domain::{LimitWindow, Window, WindowKind};

    use super::*;

    fn line(limit: u128, used: u128, held: u128) -> Line {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let window = LimitWindow::from(&Window::containing(WindowKind::Month, "UTC".parse().unwrap(), now));
        let budget = BudgetInput {
            scope: "costCenter#sales".to_owned(),
            item: "costCenter#Sales".to_owned(),
            window: window.clone(),
            limits: Limits { output: Some(1_000), ..Limits::default() },
            only_observes: false,
            days: Reading::Known(Vec::new()),
        };
        let unit = BudgetUnit::of(Unit::Output, &window, limit, used, now);
        Line { budget, unit, limit, used, held }
    }

    #[test]
    fn holds_far_above_the_usage_come_with_advice() {
        assert!(line(1_000, 50, 400).advice().is_some());
        assert!(line(1_000, 50, 100).advice().is_none());
        assert!(line(1_000, 400, 500).advice().is_none());
    }

    #[test]
    fn a_line_has_what_is_left_and_until_when_it_lasts() {
        let text = shown(&[line(1_000, 900, 50)], Output::Table);
        assert!(text.contains("costCenter#sales  2026-11") && text.contains("until 11-23"), "{text}");
        let rows: Value = serde_json::from_str(&shown(&[line(1_000, 900, 50)], Output::Json)).unwrap();
        assert_eq!((&rows[0]["remaining"], &rows[0]["resetsAt"]), (&"50".into(), &"2026-12-01T00:00:00Z".into()));
        assert!(shown(&[line(1_000, 1_000, 0)], Output::Table).contains("used up"));
    }
}
