//! The groups of a report as CSV (RFC 4180), with exact figures.

use crate::compare::{Compared, Comparison};
use crate::figures::{Figures, Saved};
use crate::report::Report;

const COLUMNS: [&str; 21] = [
    "month",
    "grouping",
    "group",
    "spend_usd",
    "spend_is_floor",
    "spend_before_usd",
    "requests",
    "approved",
    "denied",
    "failed",
    "unpriced_requests",
    "unknown_requests",
    "unknown_usd",
    "input_tokens",
    "output_tokens",
    "cache_read_tokens",
    "cache_write_tokens",
    "cache_saved_usd",
    "billed_usd",
    "difference_usd",
    "difference_reasons",
];

/// One line for each group, then one for requests without a group, and one for all.
///
/// Clients choose the names of groups. A spreadsheet would run a name such as `=1+1` as a formula, so an apostrophe
/// precedes it (OWASP, "CSV Injection", read in November 2026).
#[must_use]
pub fn csv(report: &Report) -> String {
    let mut lines = vec![COLUMNS.join(",")];
    for group in &report.groups {
        let before = group.before.map(|before| before.to_string()).unwrap_or_default();
        lines.push(line(report, &group.name, &group.figures, &before, compared(report, &group.name)));
    }
    if let Some(outside) = &report.outside {
        lines.push(line(report, "(no group)", outside, "", None));
    }
    let total = report.comparison.as_ref().map(|comparison| &comparison.total);
    lines.push(line(report, "(total)", &report.total, "", total));
    lines.join("\r\n") + "\r\n"
}

/// The bill of a group. What the bill has without the tag belongs to `unspecified`.
fn compared<'r>(report: &'r Report, group: &str) -> Option<&'r Compared> {
    let Comparison { rows, .. } = report.comparison.as_ref()?;
    let name = if group == "unspecified" { "" } else { group };
    rows.iter().find(|row| row.group == name)
}

fn line(report: &Report, name: &str, figures: &Figures, before: &str, compared: Option<&Compared>) -> String {
    let saved = match figures.saved {
        Saved::Nothing => "0".to_owned(),
        Saved::Known { usd, .. } => usd.to_string(),
        Saved::Unknown => String::new(),
    };
    let reasons = compared.map(|row| row.reasons.iter().map(|reason| format!("{:?} {}", reason.reason, reason.usd)));
    let fields = [
        report.month.to_string(),
        report.grouping.to_string(),
        field(name),
        figures.spend.usd.to_string(),
        figures.spend.is_floor.to_string(),
        before.to_owned(),
        figures.requests.to_string(),
        figures.approved.to_string(),
        figures.denied.to_string(),
        figures.failed.to_string(),
        figures.unpriced.to_string(),
        figures.unknown.to_string(),
        figures.unknown_usd.to_string(),
        figures.input_tokens.to_string(),
        figures.output_tokens.to_string(),
        figures.cache_read_tokens.to_string(),
        figures.cache_write_tokens.to_string(),
        saved,
        compared.map(|row| row.bill.to_string()).unwrap_or_default(),
        compared.map(|row| row.difference.to_string()).unwrap_or_default(),
        reasons.map(|reasons| reasons.collect::<Vec<_>>().join("; ")).unwrap_or_default(),
    ];
    fields.join(",")
}

/// A field: quoted if it must be, and never a formula.
#[must_use]
pub fn field(text: &str) -> String {
    let runs = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let text = if runs { format!("'{text}") } else { text.to_owned() };
    if text.contains([',', '"', '\n', '\r']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_quoted_and_is_never_a_formula() {
        let cases = [
            ("plain", "plain"),
            ("a,b", "\"a,b\""),
            ("a\"b", "\"a\"\"b\""),
            ("=1+1", "'=1+1"),
            ("-a\nb", "\"'-a\nb\""),
        ];
        for (name, expected) in cases {
            assert_eq!(field(name), expected);
        }
    }
}
