//! The output of a replay: a summary by scope for a person, or one row for each request.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use chrono::{DateTime, SecondsFormat, Utc};
use sentry_contract::answer::{Degraded, Lowered};
use sentry_contract::request::Tags;
use sentry_contract::scope::of_model;
use sentry_contract::{ErrorBody, Outcome};
use sentry_domain::Usd;
use sentry_report::dollars;

use super::audit::{Past, Usage};
use super::replay::{Judgment, Saved, Verdict};
use crate::failure::Failure;
use crate::options::Output;
use crate::output::{Column, Table, print as write};

/// The most applications that the table names for a scope.
const MOST_NAMES: usize = 3;
/// The width of a terminal, in characters.
const TERMINAL: usize = 80;

/// Prints the judgments. `all` includes the requests that would be approved in the rows.
///
/// # Errors
/// If standard output cannot be written to.
pub fn print(judgments: &[Judgment], output: Output, all: bool) -> Result<(), Failure> {
    match output {
        Output::Table => write(&told(judgments)),
        Output::Json | Output::Csv => rows(judgments, all).print(output),
    }
}

impl Judgment {
    /// The denial, or the limit because of which the request was changed.
    fn error(&self) -> Option<&ErrorBody> {
        match &self.verdict {
            Verdict::Denied(error) => Some(error),
            Verdict::Degraded { cause, .. } => cause.as_ref(),
            Verdict::Approved | Verdict::Repeated => None,
        }
    }

    fn is_changed(&self) -> bool {
        matches!(self.verdict, Verdict::Denied(_) | Verdict::Degraded { .. })
    }

    const fn verdict(&self) -> &'static str {
        match self.verdict {
            Verdict::Approved => "approved",
            Verdict::Degraded { .. } => "degraded",
            Verdict::Denied(_) => "denied",
            Verdict::Repeated => "duplicate",
        }
    }

    /// The scope whose limit decided. A model without a limit is its own scope.
    fn scope(&self) -> String {
        let named = self.error().and_then(|error| error.details.get("scope")?.as_str());
        named.map_or_else(|| of_model(self.past.line.metric()), str::to_owned)
    }

    fn detail(&self, name: &str) -> &str {
        self.error().and_then(|error| error.details.get(name)?.as_str()).unwrap_or_default()
    }
}

fn at(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The application, with its cost center.
fn who(past: &Past) -> String {
    let tag = |name| Some(past.line.tag(name)).filter(|value| !value.is_empty());
    match (tag(Tags::APPLICATION_ID), tag(Tags::COST_CENTER)) {
        (Some(application), Some(center)) => format!("{application} ({center})"),
        (one, other) => one.or(other).unwrap_or("unspecified").to_owned(),
    }
}

/// The sums of a scope.
#[derive(Default)]
struct Sums {
    denied: u64,
    degraded: u64,
    first: Option<DateTime<Utc>>,
    who: BTreeMap<String, u64>,
    saved: Saved,
}

impl Sums {
    fn add(&mut self, judgment: &Judgment) {
        match judgment.verdict {
            Verdict::Denied(_) => self.denied += 1,
            _ => self.degraded += 1,
        }
        self.first.get_or_insert(judgment.past.line.timestamp);
        *self.who.entry(who(&judgment.past)).or_default() += 1;
        self.saved.tokens = self.saved.tokens.saturating_add(judgment.saved.tokens);
        self.saved.usd = self.saved.usd + judgment.saved.usd;
    }

    /// The applications with the most requests, and the number of the others.
    fn names(&self) -> String {
        let mut names: Vec<(&String, &u64)> = self.who.iter().collect();
        names.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
        let shown: Vec<&str> = names.iter().take(MOST_NAMES).map(|(name, _)| name.as_str()).collect();
        match names.len().saturating_sub(MOST_NAMES) {
            0 => shown.join(", "),
            more => format!("{}, {more} more", shown.join(", ")),
        }
    }
}

/// The summary, and the table by scope.
fn told(judgments: &[Judgment]) -> String {
    let mut text = summary(judgments);
    let mut by_scope: BTreeMap<String, Sums> = BTreeMap::new();
    for judgment in judgments.iter().filter(|judgment| judgment.is_changed()) {
        by_scope.entry(judgment.scope()).or_default().add(judgment);
    }
    if by_scope.is_empty() {
        return text;
    }
    let mut scopes: Vec<(String, Sums)> = by_scope.into_iter().collect();
    scopes.sort_by_key(|(_, sums)| std::cmp::Reverse(sums.saved.usd));
    let rows = scopes.iter().map(|(scope, sums)| {
        vec![
            scope.clone(),
            sums.denied.to_string(),
            sums.degraded.to_string(),
            sums.first.map(|first| first.format("%m-%d %H:%M").to_string()).unwrap_or_default(),
            sums.names(),
            sums.saved.tokens.to_string(),
            dollars(sums.saved.usd),
        ]
    });
    let columns = vec![
        Column::text("scope"),
        Column::count("denied"),
        Column::count("degraded"),
        Column::text("first"),
        Column::text("who"),
        Column::count("tokens"),
        Column::dollars("saved"),
    ];
    text.push('\n');
    text.push_str(&Table { columns, rows: rows.collect() }.written(Output::Table));
    text
}

fn summary(judgments: &[Judgment]) -> String {
    let count = |verdict: &str| judgments.iter().filter(|judgment| judgment.verdict() == verdict).count();
    let spend: Usd = judgments.iter().filter_map(|judgment| judgment.past.line.cost_usd).sum();
    let saved: Usd = judgments.iter().map(|judgment| judgment.saved.usd).sum();
    let mut lines = vec![("requests", judgments.len().to_string())];
    lines.extend(["approved", "degraded", "denied"].map(|verdict| (verdict, count(verdict).to_string())));
    lines.push(("spend", dollars(spend)));
    lines.push(("saved", dollars(saved)));
    let first = judgments.iter().find(|judgment| matches!(judgment.verdict, Verdict::Denied(_)));
    match first {
        None => lines.push(("first denial", "none".to_owned())),
        Some(first) => lines.extend([
            ("first denial", at(first.past.line.timestamp)),
            ("  by", first.scope()),
            ("  of", who(&first.past)),
        ]),
    }
    let observed = judgments.iter().filter(|judgment| !judgment.would_deny.is_empty()).count();
    if observed > 0 {
        lines.push(("observed", format!("{observed} more would be denied by limits that only observe")));
    }
    let mut text = String::new();
    for (name, value) in lines {
        let _ = writeln!(text, "{name:14}{value}");
    }
    text.push_str(&caveats(judgments));
    text
}

/// Sentences on what the figures do not contain.
fn caveats(judgments: &[Judgment]) -> String {
    let mut text = String::from("\n");
    text.push_str(&wrapped(
        "The usage is that of the requests in the log. Calls that bypassed the sentry do not count, although CloudWatch shows them to \
         the limits of models.",
    ));
    let count = |is: fn(&Judgment) -> bool| judgments.iter().filter(|judgment| is(judgment)).count();
    let admitted = judgments.iter().filter_map(|judgment| judgment.admitted_now);
    let (now, most) = admitted.fold((0_usize, Usd::ZERO), |(count, usd), amount| (count + 1, usd + amount.usd));
    let instead = |judgment: &Judgment| {
        matches!(&judgment.verdict, Verdict::Degraded { degraded: Degraded::Fallback { .. }, .. })
    };
    let unknown = |judgment: &Judgment| judgment.past.line.usage() == Usage::Unknown;
    let unpriced =
        |judgment: &Judgment| judgment.past.line.usage() == Usage::Known && judgment.past.line.cost_usd.is_none();
    let repeated = |judgment: &Judgment| judgment.verdict == Verdict::Repeated;
    let notes = [
        (now, format!("were denied then and would be admitted. Each counts as its hold in full, together at most {}.", dollars(most))),
        (count(instead), "would be answered by their fallback. They count with their tokens on the model that answered, at the fallback's price.".to_owned()),
        (count(unknown), "have an unknown usage, which is not in the spend. Their holds count in full.".to_owned()),
        (count(unpriced), "have no price, and are not in the spend.".to_owned()),
        (count(repeated), "would be duplicates, because an earlier request with their id would be admitted.".to_owned()),
        (count(|judgment| judgment.past.is_approximate), "are approximate; see the notes.".to_owned()),
    ];
    for (number, note) in notes.into_iter().filter(|(number, _)| *number > 0) {
        text.push_str(&wrapped(&format!("{number} of the requests {note}")));
    }
    text
}

/// A sentence in lines that fit a terminal.
fn wrapped(sentence: &str) -> String {
    let mut text = String::new();
    let mut width = 0;
    for word in sentence.split_whitespace() {
        let long = word.chars().count();
        if width > 0 && width + 1 + long > TERMINAL {
            text.push('\n');
            width = 0;
        } else if width > 0 {
            text.push(' ');
            width += 1;
        }
        text.push_str(word);
        width += long;
    }
    text + "\n"
}

fn rows(judgments: &[Judgment], all: bool) -> Table {
    let columns = vec![
        Column::text("timestamp"),
        Column::text("requestId"),
        Column::text("executionId"),
        Column::text("applicationId"),
        Column::text("costCenter"),
        Column::text("model"),
        Column::text("was"),
        Column::text("verdict"),
        Column::text("code"),
        Column::text("scope"),
        Column::text("window"),
        Column::text("exceeded"),
        Column::text("change"),
        Column::text("wouldDeny"),
        Column::count("savedTokens"),
        Column::dollars("savedUsd"),
        Column::text("approximate"),
    ];
    let shown = judgments.iter().filter(|judgment| all || judgment.is_changed());
    Table { columns, rows: shown.map(row).collect() }
}

fn row(judgment: &Judgment) -> Vec<String> {
    let line = &judgment.past.line;
    let tag = |name| line.tag(name).to_owned();
    let code = match &judgment.verdict {
        Verdict::Denied(error) => error.code.name(),
        _ => "",
    };
    let scope = if judgment.is_changed() { judgment.scope() } else { String::new() };
    let would_deny: Vec<&str> = judgment.would_deny.iter().map(|error| error.code.name()).collect();
    vec![
        line.timestamp.to_rfc3339_opts(SecondsFormat::Micros, true),
        tag(Tags::REQUEST_ID),
        line.execution_id.clone().unwrap_or_default(),
        tag(Tags::APPLICATION_ID),
        tag(Tags::COST_CENTER),
        line.model.clone(),
        was(line.outcome).to_owned(),
        judgment.verdict().to_owned(),
        code.to_owned(),
        scope,
        judgment.detail("window").to_owned(),
        judgment.detail("exceeded").to_owned(),
        change(&judgment.verdict),
        would_deny.join(" "),
        judgment.saved.tokens.to_string(),
        judgment.saved.usd.to_string(),
        if judgment.past.is_approximate { "yes" } else { "no" }.to_owned(),
    ]
}

const fn was(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Succeeded => "Succeeded",
        Outcome::InvocationFailed => "InvocationFailed",
        Outcome::Denied => "Denied",
        Outcome::Invalid => "Invalid",
    }
}

/// The change that makes the request fit, such as `clamp 300` or `fallback amazon.nova-lite-v1:0`.
fn change(verdict: &Verdict) -> String {
    let tokens = |lowered: &Option<Lowered>| lowered.map(|lowered| format!(" {}", lowered.to)).unwrap_or_default();
    match verdict {
        Verdict::Degraded { degraded: Degraded::Clamp(lowered), .. } => format!("clamp {}", lowered.to),
        Verdict::Degraded { degraded: Degraded::Fallback { to, max_tokens, .. }, .. } => {
            format!("fallback {to}{}", tokens(max_tokens))
        }
        _ => String::new(),
    }
}

#[cfg(test)]
#[path = "report_tests.rs"]
mod tests;
