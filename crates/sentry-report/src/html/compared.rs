//! The ledger beside the bill.

use sentry_domain::Usd;

use super::{Name, day};
use crate::compare::{Compared, Comparison, Reason, ReasonKind};
use crate::report::Report;
use crate::text;

/// The section with the ledger beside the bill.
pub struct Beside {
    pub note: String,
    pub rows: Vec<Line>,
    pub total: Line,
    pub unmatched: Option<String>,
    pub credits: Option<String>,
}

/// A line of its table.
pub struct Line {
    pub name: Name,
    pub ledger: String,
    pub bill: String,
    pub difference: String,
    pub reasons: Vec<Part>,
}

/// A reason and its part.
pub struct Part {
    pub amount: String,
    pub name: &'static str,
    pub detail: String,
    pub is_open: bool,
}

impl Beside {
    pub fn of(comparison: &Comparison, report: &Report) -> Self {
        let until = comparison.billed_until.map_or_else(
            || "Cost Explorer has nothing of this month yet.".to_owned(),
            |until| format!("Cost Explorer has the month until {}.", day(until)),
        );
        let cost = format!(
            "It was asked {} for this report, at $0.01 each.",
            text::some(comparison.requests, "time", "times")
        );
        let by = if comparison.rows.is_empty() {
            format!(" Its tag is {}, so it cannot be compared by {}.", comparison.tag_key, report.grouping.noun())
        } else {
            String::new()
        };
        let unmatched = comparison.unmatched_models.join(", ");
        Self {
            note: format!("{until} {cost}{by}"),
            rows: comparison.rows.iter().map(|row| Line::of(row, "without the tag")).collect(),
            total: Line::of(&comparison.total, "Total"),
            unmatched: (!unmatched.is_empty())
                .then(|| format!("Models of the bill that fit no model of the ledger: {unmatched}.")),
            credits: (comparison.credits != Usd::ZERO)
                .then(|| format!("Credits and refunds of {} are in no figure.", text::dollars(comparison.credits))),
        }
    }
}

impl Line {
    fn of(row: &Compared, unnamed: &str) -> Self {
        Self {
            name: Name::of(if row.group.is_empty() { unnamed } else { &row.group }),
            ledger: text::spend(&row.ledger),
            bill: text::dollars(row.bill),
            difference: text::change(row.picodollars),
            reasons: row.reasons.iter().map(Part::of).collect(),
        }
    }
}

impl Part {
    fn of(reason: &Reason) -> Self {
        Self {
            amount: text::change(reason.picodollars),
            name: name(reason.reason),
            detail: reason.detail.clone(),
            is_open: reason.reason == ReasonKind::Unexplained,
        }
    }
}

const fn name(kind: ReasonKind) -> &'static str {
    match kind {
        ReasonKind::NotBilledYet => "not billed yet",
        ReasonKind::PriceChanged => "price changed",
        ReasonKind::Ungoverned => "ungoverned",
        ReasonKind::Untagged => "untagged",
        ReasonKind::UnknownUsage => "unknown usage",
        ReasonKind::Unpriced => "unpriced",
        ReasonKind::Rounding => "rounding",
        ReasonKind::Unexplained => "unexplained",
    }
}
