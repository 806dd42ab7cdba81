//! `sentry usage`: the usage history as a table.

use chrono::{Datelike, NaiveDate, Utc};
use sentry_history::{Day, Sums};
use sentry_report::{Figures, Grouping, dollars};

use crate::failure::Failure;
use crate::options::{Global, Output};
use crate::output::{Column, Table};
use crate::stack::Stack;

#[derive(clap::Args)]
pub struct UsageArgs {
    /// Show the days of this scope, such as costCenter#support or application#helper+model#us.amazon.nova-lite-v1:0
    #[arg(long, value_name = "SCOPE", conflicts_with = "by")]
    pub scope: Option<String>,
    /// Show the sums of all values of this kind of scope, such as costCenter or model. Reads the whole usage table
    #[arg(long, value_name = "KEY", default_value = "costCenter")]
    pub by: Grouping,
    /// First UTC day [default: the first day of this month]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub from: Option<NaiveDate>,
    /// Last UTC day [default: today]
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub to: Option<NaiveDate>,
}

const COUNTS: [&str; 8] = ["requests", "approved", "denied", "failed", "input", "output", "cacheRead", "cacheWrite"];

/// Runs the command.
///
/// # Errors
/// If the days are in the wrong order, or the history cannot be read.
pub async fn run(global: &Global, args: &UsageArgs) -> Result<(), Failure> {
    let today = Utc::now().date_naive();
    let last = args.to.unwrap_or(today);
    let first = args.from.or_else(|| last.with_day(1)).unwrap_or(last);
    if first > last {
        return Err(Failure::Usage(format!("--from {first} is after --to {last}")));
    }
    let history = Stack::find(global).await?.history()?;
    let doing = "the usage history cannot be read";
    let (name, rows) = match &args.scope {
        Some(scope) => {
            let days = history.days(scope, first, last).await.map_err(|error| Failure::unreachable(doing, &error))?;
            ("day", by_day(&days, global.output))
        }
        None => ("group", by_group(args, &history, first, last, global.output).await?),
    };
    if rows.is_empty() {
        let what = args.scope.clone().unwrap_or_else(|| format!("scope of the kind {}", args.by));
        return Err(Failure::Refused(format!("the history has no request of any {what} from {first} to {last}")));
    }
    let counts = COUNTS.map(Column::count);
    let columns = [Column::text(name)].into_iter().chain(counts).chain([Column::dollars("usd")]).collect();
    Table { columns, rows }.print(global.output)
}

async fn by_group(
    args: &UsageArgs,
    history: &sentry_history::History,
    first: NaiveDate,
    last: NaiveDate,
    output: Output,
) -> Result<Vec<Vec<String>>, Failure> {
    let doing = "the usage history cannot be read";
    let all = history.all_days(first, last).await.map_err(|error| Failure::unreachable(doing, &error))?;
    for damaged in &all.damaged {
        eprintln!("warning: {damaged}; its figures are missing");
    }
    let groups = all.by_scope.iter().filter_map(|(scope, days)| Some((args.by.value(scope)?, days)));
    let mut sums: Vec<(String, Sums)> =
        groups.map(|(value, days)| (sentry_report::decoded(value), total(days))).collect();
    sums.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.spent().usd));
    Ok(sums.iter().map(|(name, sums)| row(name, sums, output)).collect())
}

fn by_day(days: &[Day], output: Output) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = days.iter().map(|day| row(&day.day.to_string(), &day.sums, output)).collect();
    if days.len() > 1 && output == Output::Table {
        rows.push(row("total", &total(days), output));
    }
    rows
}

fn total(days: &[Day]) -> Sums {
    let mut sums = Sums::default();
    days.iter().for_each(|day| sums += &day.sums);
    sums
}

fn row(name: &str, sums: &Sums, output: Output) -> Vec<String> {
    let figures = Figures::of(sums, 0);
    let floor = if figures.spend.is_floor { "+" } else { "" };
    let usd = match output {
        Output::Table => format!("{}{floor}", dollars(figures.spend.usd)),
        Output::Json | Output::Csv => figures.spend.usd.to_string(),
    };
    let counts = [
        figures.requests,
        figures.approved,
        figures.denied,
        figures.failed,
        figures.input_tokens,
        figures.output_tokens,
        figures.cache_read_tokens,
        figures.cache_write_tokens,
    ];
    let counts = counts.iter().map(ToString::to_string);
    std::iter::once(name.to_owned()).chain(counts).chain([usd]).collect()
}
