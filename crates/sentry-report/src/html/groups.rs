//! The tables of groups and of error codes.

use std::collections::BTreeMap;

use super::Name;
use crate::chart::{place, sparkline};
use crate::figures::{Figures, Saved};
use crate::report::{Group, Report};
use crate::signed::signed;
use crate::text;

/// The most groups in the page. All are in the CSV and the JSON.
const MOST_ROWS: usize = 40;

/// A line of the table of groups.
pub struct Row {
    pub name: Name,
    /// The model of an application inference profile.
    pub source: Option<String>,
    pub spend: String,
    /// The part of all spend, in percent.
    pub share: String,
    pub share_width: String,
    pub change: String,
    pub requests: String,
    pub denied: String,
    pub failed: String,
    pub input: String,
    pub output: String,
    pub cached: String,
    pub saved: String,
    /// The points of the line of spend by day.
    pub line: Option<String>,
    /// The rank of the group, for its color: 1 to 5, else 0.
    pub series: usize,
}

impl Row {
    pub fn of(name: &str, figures: &Figures, group: Option<&Group>, total: &Figures) -> Self {
        let (part, whole) = (figures.spend.usd.picodollars(), total.spend.usd.picodollars());
        let daily = group.map(|group| group.daily.iter().map(|usd| usd.picodollars()).collect::<Vec<u128>>());
        Self {
            name: Name::of(name),
            source: group.and_then(|group| group.source.clone()),
            spend: text::spend(&figures.spend),
            share: text::percent(part, whole),
            share_width: place(part, whole),
            change: group.and_then(change).unwrap_or_else(|| "\u{2013}".to_owned()),
            requests: text::count(figures.requests),
            denied: text::count(figures.denied),
            failed: text::count(figures.failed),
            input: text::short(figures.input_tokens),
            output: text::short(figures.output_tokens),
            cached: text::short(figures.cache_read_tokens),
            saved: match figures.saved {
                Saved::Nothing => "\u{2013}".to_owned(),
                Saved::Known { usd, is_floor } => text::difference(usd, is_floor),
                Saved::Unknown => "unknown".to_owned(),
            },
            line: daily.and_then(|daily| sparkline(&daily)),
            series: 0,
        }
    }
}

/// The change of the full days since the month before, in percent. The figure of the days themselves is among the
/// movers.
fn change(group: &Group) -> Option<String> {
    let before = group.before?;
    let now: u128 = group.full_days().iter().map(|usd| usd.picodollars()).sum();
    let delta = i128::try_from(now).unwrap_or(i128::MAX) - signed(before);
    if before.picodollars() == 0 {
        return Some(if now == 0 { "\u{2013}".to_owned() } else { "new".to_owned() });
    }
    let percent = text::percent(delta.unsigned_abs(), before.picodollars());
    Some(match delta {
        0 => "0 %".to_owned(),
        1.. => format!("+{percent}"),
        _ => format!("\u{2212}{percent}"),
    })
}

/// The lines of the groups, and a sentence about those that are left out.
pub fn rows(report: &Report) -> (Vec<Row>, Option<String>) {
    let shown = report.groups.iter().take(MOST_ROWS).enumerate().map(|(rank, group)| {
        let series = if rank < 5 && group.figures.spend.usd.picodollars() > 0 { rank + 1 } else { 0 };
        Row { series, ..Row::of(&group.name, &group.figures, Some(group), &report.total) }
    });
    let left = report.groups.iter().skip(MOST_ROWS);
    let spend = left.clone().map(|group| group.figures.spend.usd).sum();
    let count = left.count();
    let more = (count > 0).then(|| {
        format!(
            "{} more with {} together. The CSV and the JSON of this report have all.",
            text::some(count as u64, "group", "groups"),
            text::dollars(spend)
        )
    });
    (shown.collect(), more)
}

/// A line of a table of error codes.
pub struct Code {
    pub name: String,
    pub count: String,
    pub share: String,
    pub width: String,
}

/// The codes, most frequent first. What has no code is a line of its own.
pub fn codes(by_code: &BTreeMap<String, u64>, total: u64) -> Vec<Code> {
    let known: u64 = by_code.values().sum();
    let mut counts: Vec<(String, u64)> = by_code.iter().map(|(code, count)| (code.clone(), *count)).collect();
    counts.push(("without a code".to_owned(), total.saturating_sub(known)));
    counts.retain(|(_, count)| *count > 0);
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    let lines = counts.into_iter().map(|(code, count)| Code {
        name: code,
        count: text::count(count),
        share: text::percent(count.into(), total.into()),
        width: place(count.into(), total.into()),
    });
    lines.collect()
}
