//! `sentry report`: the report of a month.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, TimeDelta, Utc};
use sentry_domain::Price;
use sentry_history::{AllDays, HistoryError};
use sentry_models::Catalogue;
use sentry_report::{DaysByScope, Grouping, Input, Month, Reading, Report, UNGOVERNED};

use crate::budgets::{self, Known};
use crate::cost_explorer;
use crate::failure::Failure;
use crate::options::{Global, Output};
use crate::output::print;
use crate::stack::Stack;

/// The form of a report.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// A page that needs nothing else
    Html,
    /// One line for each group
    Csv,
    /// All figures as one document
    Json,
}

#[derive(clap::Args)]
pub struct ReportArgs {
    /// The month, in UTC days [default: this month]
    #[arg(long, value_name = "YYYY-MM")]
    pub month: Option<Month>,
    /// The kind of the groups: costCenter, application, environment, model, foundation, user, or a declared budget tag
    #[arg(long, value_name = "KEY", default_value = "costCenter")]
    pub by: Grouping,
    /// Form of the report [default: html, or that of --output]
    #[arg(long, value_enum)]
    pub format: Option<Format>,
    /// File to write to [default: standard output]
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Also ask Cost Explorer, and say why it differs. Costs $0.01 for each request to it: usually one, more for many groups
    #[arg(long)]
    pub trailing: bool,
    /// Make the report as of this moment. For simulated months: the days of the history up to it must be there
    #[arg(long, hide = true, value_name = "INSTANT")]
    pub now: Option<DateTime<Utc>>,
    /// Cost-allocation tag for --trailing [default: application or environment if that is the grouping, else costCenter]
    #[arg(long, value_name = "KEY", requires = "trailing")]
    pub tag: Option<String>,
}

/// Runs the command.
///
/// # Errors
/// If the stack or its history cannot be read, or the file cannot be written. What else cannot be read is unknown in the
/// report.
pub async fn run(global: &Global, args: &ReportArgs) -> Result<(), Failure> {
    let now = args.now.unwrap_or_else(Utc::now);
    let month = args.month.unwrap_or_else(|| Month::of(now.date_naive()));
    if month.first() > now.date_naive() {
        return Err(Failure::Usage(format!("the month {month} has not begun")));
    }
    let stack = Stack::find(global).await?;
    let input = input(&stack, args, month, now).await?;
    let report = Report::of(&input);
    if report.groups.is_empty() && report.total.requests > 0 {
        return Err(Failure::Refused(format!(
            "the history has {} requests of {month}, but none by {}: name a kind of scope that requests count for",
            report.total.requests, args.by
        )));
    }
    let text = written(&report, format(global, args))?;
    match &args.out {
        None => print(&text),
        Some(path) => {
            let failed = |error| Failure::Refused(format!("{} cannot be written: {error}", path.display()));
            std::fs::write(path, text).map_err(failed)
        }
    }
}

fn format(global: &Global, args: &ReportArgs) -> Format {
    args.format.unwrap_or(match global.output {
        Output::Table => Format::Html,
        Output::Json => Format::Json,
        Output::Csv => Format::Csv,
    })
}

fn written(report: &Report, format: Format) -> Result<String, Failure> {
    let failed = |error: &dyn std::error::Error| Failure::Refused(format!("the report cannot be written: {error}"));
    match format {
        Format::Html => sentry_report::html(report).map_err(|error| failed(&error)),
        Format::Csv => Ok(sentry_report::csv(report)),
        Format::Json => serde_json::to_string_pretty(report).map(|json| json + "\n").map_err(|error| failed(&error)),
    }
}

/// Reads everything that the report is made of.
async fn input(stack: &Stack, args: &ReportArgs, month: Month, now: DateTime<Utc>) -> Result<Input, Failure> {
    let history = stack.history()?;
    let first = month.before().first();
    let all = history.all_days(first, month.last()).await;
    let AllDays { by_scope, damaged } =
        all.map_err(|error| Failure::unreachable("the usage history cannot be read", &error))?;
    let unreadable = unreadable(&damaged);
    let catalogue = Catalogue::bundled().map_err(|error| Failure::Refused(error.to_string()))?;
    let catalogue = catalogue.with_discount(stack.discount());
    // Budgets of a month that is over are those of its last moment.
    let at = now.min(month.end() - TimeDelta::seconds(1));
    let table = budgets::table(stack.dynamodb(), stack.output("LimitsTableName")?.to_owned());
    let (known, budgets) = match budgets::read(&table, &catalogue, &stack.region, &by_scope, at).await {
        Reading::Unknown(reason) => (Known::default(), Reading::Unknown(reason)),
        Reading::Known(mut known) => {
            budgets::complete(&mut known.budgets, &history, first, month.last()).await;
            budgets::mark_unreadable(&mut known.budgets, &unreadable);
            let budgets = std::mem::take(&mut known.budgets);
            (known, Reading::Known(budgets))
        }
    };
    let sources =
        if args.trailing || args.by.is_of_models() { sources(stack, &by_scope).await } else { BTreeMap::new() };
    Ok(Input {
        stack: stack.name.clone(),
        now,
        month,
        grouping: args.by.clone(),
        prices: prices(&by_scope, &sources, &catalogue, &stack.region),
        sources,
        history: by_scope,
        unreadable,
        shared: known.shared,
        budgets,
        malformed: known.malformed,
        bill: bill(stack, args, month, now).await,
        discount: stack.discount(),
    })
}

async fn bill(
    stack: &Stack,
    args: &ReportArgs,
    month: Month,
    now: DateTime<Utc>,
) -> Option<Reading<sentry_report::Bill>> {
    if !args.trailing {
        return None;
    }
    let tag = args.tag.clone().unwrap_or_else(|| match args.by.kind() {
        kind @ ("application" | "environment") => kind.to_owned(),
        _ => "costCenter".to_owned(),
    });
    Some(cost_explorer::bill(&stack.cost_explorer(), month, now.date_naive(), &tag).await)
}

/// The scopes and days of items that cannot be understood. A day that is no date is left out.
fn unreadable(damaged: &[HistoryError]) -> Vec<(String, NaiveDate)> {
    let items = damaged.iter().filter_map(|error| match error {
        HistoryError::Damaged { scope, day, .. } => Some((scope.clone(), day.parse().ok()?)),
        _ => None,
    });
    items.collect()
}

/// The models of `days`, called through the sentry or round it.
fn models(days: &DaysByScope) -> impl Iterator<Item = &str> {
    let kinds = ["model", UNGOVERNED];
    days.keys().filter_map(move |scope| {
        let (kind, id) = scope.split_once('#')?;
        (kinds.contains(&kind) && !id.contains('+')).then_some(id)
    })
}

/// The foundation models of the application inference profiles among the models of `days`. A profile that Bedrock does not
/// know any more is left out.
async fn sources(stack: &Stack, days: &DaysByScope) -> BTreeMap<String, String> {
    let client = stack.bedrock();
    let mut sources = BTreeMap::new();
    // The id of a model has a provider before a dot, and that of an application inference profile has no dot.
    let profiles: BTreeSet<&str> = models(days).filter(|id| !id.contains('.')).collect();
    for id in profiles {
        let Ok(profile) = client.get_inference_profile().inference_profile_identifier(id).send().await else {
            continue;
        };
        let arn = profile.models().first().and_then(|model| model.model_arn());
        if let Some(model) = arn.and_then(|arn| arn.rsplit('/').next()) {
            sources.insert(id.to_owned(), model.to_owned());
        }
    }
    sources
}

/// The catalogue's prices of the models that were called without the sentry.
fn prices(
    days: &DaysByScope,
    sources: &BTreeMap<String, String>,
    catalogue: &Catalogue,
    region: &str,
) -> BTreeMap<String, Price> {
    let models = days.keys().filter_map(|scope| scope.strip_prefix(UNGOVERNED)?.strip_prefix('#'));
    let priced = models.filter_map(|model| {
        let source = sources.get(model).map_or(model, String::as_str);
        Some((model.to_owned(), catalogue.price(source, region)?))
    });
    priced.collect()
}
