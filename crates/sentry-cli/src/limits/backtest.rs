//! `sentry limits backtest`: replays a past month against proposed limits.

mod audit;
mod log;
mod replay;
mod report;

use std::collections::HashMap;
use std::path::PathBuf;

use chrono::{DateTime, NaiveDate, NaiveTime, TimeDelta, Utc};
use fn_lookup_limit::{BudgetTags, LimitItems};
use sentry_report::Month;

use self::audit::History;
use self::replay::{Judgment, Replay};
use super::file;
use crate::failure::Failure;
use crate::options::Global;
use crate::progress;
use crate::stack::Stack;

/// The default of the stack's parameter `HoldSeconds`.
const HOLD_SECONDS: i64 = 360;

#[derive(clap::Args)]
pub struct Args {
    /// File of the proposed limits in YAML or JSON, as `export` writes it; - is standard input
    pub file: PathBuf,
    /// The month to replay, in UTC [default: last month; with --audit all lines]
    #[arg(long, value_name = "YYYY-MM", conflicts_with_all = ["from", "to"])]
    pub month: Option<Month>,
    /// First UTC day to replay, instead of a month
    #[arg(long, value_name = "YYYY-MM-DD", requires = "to")]
    pub from: Option<NaiveDate>,
    /// Last UTC day to replay
    #[arg(long, value_name = "YYYY-MM-DD", requires = "from")]
    pub to: Option<NaiveDate>,
    /// Read the audit lines from a file instead of CloudWatch Logs: JSON lines, as exported. Needs no AWS
    #[arg(long, value_name = "FILE")]
    pub audit: Option<PathBuf>,
    /// With --output json or csv, write a row for every request, also for those that would be approved
    #[arg(long)]
    pub all: bool,
    /// With --audit: the parameter `BudgetTags` of the stack
    #[arg(long, value_name = "TAGS", default_value = "", requires = "audit")]
    pub budget_tags: BudgetTags,
    /// With --audit: the parameter `HoldSeconds` of the stack
    #[arg(long, value_name = "SECONDS", default_value_t = HOLD_SECONDS, requires = "audit")]
    pub hold_seconds: i64,
}

/// The time that is replayed, from its first instant to before its last. `None` is open.
type Span = (Option<DateTime<Utc>>, Option<DateTime<Utc>>);

/// The history, and the settings of the stack that the decisions depend on.
struct Source {
    history: History,
    budget_tags: BudgetTags,
    hold_for: TimeDelta,
    since: DateTime<Utc>,
}

/// Runs the command.
///
/// # Errors
/// If a file is wrong, the log cannot be read, or it has no audit lines of the time.
pub async fn run(global: &Global, args: &Args) -> Result<(), Failure> {
    let items = file::read(&args.file)?;
    let items: HashMap<_, _> = items.into_iter().map(|item| (item.key, item.item)).collect();
    let keys: Vec<String> = items.keys().cloned().collect();
    let span = span(args, Utc::now())?;
    let source = match &args.audit {
        Some(path) => of_file(args, path, span)?,
        None => of_log(global, span).await?,
    };
    note_lines(&source.history);
    let mut replay = Replay::new(LimitItems::new(items, source.budget_tags), source.hold_for, source.since);
    let bar = progress::bar(source.history.requests.len().try_into().unwrap_or(u64::MAX), "requests judged");
    let judged = source.history.requests.into_iter().map(|past| {
        bar.inc(1);
        replay.judge(past)
    });
    let judgments: Vec<Judgment> = judged.collect();
    bar.finish_and_clear();
    note_replay(&replay, keys, source.since);
    report::print(&judgments, global.output, args.all)
}

/// The time of the options.
///
/// # Errors
/// If it has not begun, or ends before it begins.
fn span(args: &Args, now: DateTime<Utc>) -> Result<Span, Failure> {
    let midnight = |day: NaiveDate| day.and_time(NaiveTime::MIN).and_utc();
    let (from, until) = match (args.month, args.from, args.to) {
        (Some(month), ..) => (midnight(month.first()), month.end()),
        (None, Some(from), Some(to)) => (midnight(from), midnight(to) + TimeDelta::days(1)),
        _ if args.audit.is_some() => return Ok((None, None)),
        _ => {
            let month = Month::of(now.date_naive()).before();
            (midnight(month.first()), month.end())
        }
    };
    if from >= until {
        return Err(Failure::Usage("--from is after --to".to_owned()));
    }
    if from > now {
        return Err(Failure::Usage(format!("{} has not begun", from.date_naive())));
    }
    Ok((Some(from), Some(until)))
}

fn of_file(args: &Args, path: &std::path::Path, span: Span) -> Result<Source, Failure> {
    let text = file::text_of(path)?;
    let history = History::of(text.lines(), span);
    let Some(first) = history.requests.first() else {
        return Err(Failure::Refused(format!(
            "{} has no audit line of a request{} ({} lines, {} of requests that cannot be read). An audit line is a JSON object \
             with \"message\": \"request\"; uncompress an export to S3 first",
            path.display(),
            within(span),
            text.lines().count(),
            history.unreadable
        )));
    };
    let since = span.0.unwrap_or_else(|| first.line.timestamp.date_naive().and_time(NaiveTime::MIN).and_utc());
    let budget_tags = args.budget_tags.clone();
    Ok(Source { budget_tags, hold_for: TimeDelta::seconds(args.hold_seconds), since, history })
}

async fn of_log(global: &Global, span: Span) -> Result<Source, Failure> {
    let stack = Stack::find(global).await?;
    let history = log::history(&stack, span).await?;
    let Some(first) = history.requests.first() else {
        let days = stack.parameter("LogRetentionDays").unwrap_or("LogRetentionDays");
        return Err(Failure::Refused(format!(
            "the log group {} has no audit line of a request{}: no request was decided then, or CloudWatch Logs has deleted the lines. \
             The stack keeps them for {days} days (parameter LogRetentionDays). Choose a later --month, or give the lines of an export \
             with --audit",
            log::group(&stack),
            within(span)
        )));
    };
    let hold_seconds = stack.parameter("HoldSeconds").and_then(|seconds| seconds.parse().ok()).unwrap_or(HOLD_SECONDS);
    Ok(Source {
        budget_tags: stack.budget_tags()?,
        hold_for: TimeDelta::seconds(hold_seconds),
        since: span.0.unwrap_or(first.decided_at),
        history,
    })
}

fn within(span: Span) -> String {
    match span {
        (Some(from), Some(until)) => {
            let last = until - TimeDelta::seconds(1);
            format!(" from {} to {} (UTC)", from.date_naive(), last.date_naive())
        }
        _ => String::new(),
    }
}

/// Says what is not exact about the history.
fn note_lines(history: &History) {
    let approximate = history.requests.iter().filter(|past| past.is_approximate).count();
    let notes = [
        (
            approximate,
            "requests are from before the audit line had `asked`. They are judged by their hold, or if they were denied by the last request of their application to the model, so their verdicts are approximate",
        ),
        (history.left_out, "requests are left out, because nothing says what they asked for"),
        (history.unreadable, "lines of requests cannot be read and are left out"),
        (history.repeated, "lines repeat an execution and are counted once"),
    ];
    for (count, text) in notes.into_iter().filter(|(count, _)| *count > 0) {
        eprintln!("note: {count} {text}");
    }
}

/// Says what is not exact about the replay, and which items did not matter.
fn note_replay(replay: &Replay, mut keys: Vec<String>, since: DateTime<Utc>) {
    if !replay.cut.is_empty() {
        let names: Vec<&str> = replay.cut.iter().map(String::as_str).collect();
        eprintln!(
            "note: windows that began before {} count only from then on: {}",
            since.format("%Y-%m-%d %H:%M:%S"),
            names.join(", ")
        );
    }
    keys.retain(|key| !replay.applied.contains(key));
    keys.sort_unstable();
    if !keys.is_empty() {
        eprintln!("note: no request came under these items of the file: {}", keys.join(", "));
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        args: Args,
    }

    fn span_of(options: &[&str]) -> Result<Span, String> {
        let parsed = Command::try_parse_from(["backtest", "limits.yaml"].iter().chain(options));
        let args = parsed.map_err(|error| error.to_string())?.args;
        span(&args, "2026-11-21T12:00:00Z".parse().unwrap()).map_err(|error| error.to_string())
    }

    fn days(from: &str, until: &str) -> Span {
        let at = |day: &str| Some(format!("{day}T00:00:00Z").parse().unwrap());
        (at(from), at(until))
    }

    #[test]
    fn the_time_is_last_month_unless_it_is_said() {
        assert_eq!(span_of(&[]), Ok(days("2026-10-01", "2026-11-01")));
        assert_eq!(span_of(&["--month", "2026-11"]), Ok(days("2026-11-01", "2026-12-01")));
        assert_eq!(span_of(&["--from", "2026-11-02", "--to", "2026-11-02"]), Ok(days("2026-11-02", "2026-11-03")));
        assert_eq!(span_of(&["--audit", "lines"]), Ok((None, None)));
        for (options, word) in [
            (vec!["--month", "2026-12"], "has not begun"),
            (vec!["--from", "2026-11-03", "--to", "2026-11-02"], "is after"),
            (vec!["--from", "2026-11-03"], "--to"),
            (vec!["--month", "2026-11", "--from", "2026-11-01", "--to", "2026-11-02"], "--month"),
            (vec!["--hold-seconds", "7"], "--audit"),
        ] {
            let message = span_of(&options).unwrap_err();
            assert!(message.contains(word), "{options:?}: {message}");
        }
    }
}
