//! The leading figures (usage history) beside the trailing ones (Cost Explorer), and why they differ.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sentry_domain::{TokenUsage, Usd, UsdDifference};
use sentry_history::{Day, attribute};
use serde::Serialize;

use crate::bill::{Bill, by_id};
use crate::grouping::{Grouping, decoded};
use crate::input::{Input, UNGOVERNED, sum};
use crate::signed::{Picodollars, difference, signed};
use crate::text::Spend;

/// The most that one amount of the bill can differ by rounding, in picodollars. Cost Explorer's amounts have ten
/// decimals or more, so each is off by at most one unit of the tenth.
const ROUNDING: Picodollars = 100;
/// Figures of a model and day that differ by at most this part are equal: 5 of 1,000.
const TOLERANCE: (u128, u128) = (5, 1_000);

/// The value of a tag that a request does not have, as the usage history counts it.
const UNSPECIFIED: &str = "unspecified";

/// A named reason for a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum ReasonKind {
    /// The bill does not have the last days yet.
    NotBilledYet,
    /// The bill has another price than the catalogue had.
    PriceChanged,
    /// Calls bypassed the sentry, so only the bill has them.
    Ungoverned,
    /// The bill has the spend without the tag, because the profile has no tag or no profile was called.
    Untagged,
    /// The usage of some requests is unknown. The ledger counts their holds in full.
    UnknownUsage,
    /// The price of some requests is unknown. The ledger's figure is a floor.
    Unpriced,
    /// The bill rounds each of its amounts.
    Rounding,
    /// None of these reasons.
    Unexplained,
}

/// A reason and its part of a difference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Reason {
    /// The kind of the reason.
    pub reason: ReasonKind,
    /// Its part. All parts together are the difference.
    pub usd: UsdDifference,
    /// The subject of the reason, such as the days or the model.
    pub detail: String,
    #[serde(skip)]
    pub(crate) picodollars: Picodollars,
}

/// A group's leading and trailing figure.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// The value of the group. Empty for the total, and for what the bill has without the tag.
    pub group: String,
    /// The figure of the usage history.
    pub ledger: Spend,
    /// The figure of the bill.
    pub bill: Usd,
    /// The difference: `ledger` minus `bill`.
    pub difference: UsdDifference,
    /// Why they differ. The parts add up to the difference.
    pub reasons: Vec<Reason>,
    #[serde(skip)]
    pub(crate) picodollars: Picodollars,
}

/// Leading beside trailing figures.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Comparison {
    /// The key of the cost-allocation tag.
    pub tag_key: String,
    /// The last day that the bill has. Absent if it has none.
    pub billed_until: Option<NaiveDate>,
    /// The sums of all groups.
    pub total: Compared,
    /// The groups. Empty if the bill cannot be asked by the report's grouping.
    pub rows: Vec<Compared>,
    /// Models of the bill that fit no model of the history.
    pub unmatched_models: Vec<String>,
    /// Credits and refunds of the month, which are in no figure.
    pub credits: Usd,
    /// The number of requests to Cost Explorer, at $0.01 each.
    pub requests: u32,
}

/// A model whose bill differs from its ledger by the same factor on a run of days.
struct PriceChange {
    name: String,
    from: NaiveDate,
    until: NaiveDate,
    /// The amount of the bill and the amount of the ledger for these days.
    bill: Picodollars,
    ledger: Picodollars,
    /// Ids of the model.
    ids: Vec<String>,
}

/// Days after each other on which the bill is not the ledger's figure: the day, the bill, and the ledger.
#[derive(Default)]
struct Run {
    days: Vec<(NaiveDate, Picodollars, Picodollars)>,
    /// `true` if two days of it have the same factor.
    has_factor: bool,
}

impl Run {
    fn of(day: NaiveDate, bill: Picodollars, ledger: Picodollars) -> Self {
        Self { days: vec![(day, bill, ledger)], has_factor: false }
    }

    /// Adds a day, if it has the factor of the days before. The price can change within the first day, which then has a
    /// factor of its own.
    fn takes(&mut self, day: NaiveDate, bill: Picodollars, ledger: Picodollars) -> bool {
        let same = self.days.last().is_some_and(|last| same_ratio((last.1, last.2), (bill, ledger)));
        let takes = same || self.days.len() < 2;
        if takes {
            self.days.push((day, bill, ledger));
            self.has_factor |= same;
        }
        takes
    }

    /// The change of the price. `None` if no two days have the same factor, or if nothing is billed.
    fn change(&self, name: &str, ids: &[String]) -> Option<PriceChange> {
        let (from, until) = (self.days.first()?.0, self.days.last()?.0);
        let (bill, ledger) = self.days.iter().fold((0, 0), |(bill, ledger), day| (bill + day.1, ledger + day.2));
        let is_change = self.has_factor && bill > 0;
        is_change.then(|| PriceChange { name: name.to_owned(), from, until, bill, ledger, ids: ids.to_vec() })
    }
}

/// A part of a whole, as a fraction.
#[derive(Clone, Copy)]
struct Part {
    part: Picodollars,
    whole: Picodollars,
}

impl Part {
    const WHOLE: Self = Self { part: 1, whole: 1 };

    /// The same part of `amount`.
    fn of(self, amount: Picodollars) -> Picodollars {
        amount.checked_mul(self.part).and_then(|product| product.checked_div(self.whole)).unwrap_or_default()
    }
}

/// Both sides of the comparison, with the figures that several groups need.
struct Sides<'i> {
    input: &'i Input,
    bill: &'i Bill,
    /// The last day of the month that has begun.
    last: NaiveDate,
    /// The last day that both sides have.
    until: Option<NaiveDate>,
    names: BTreeMap<String, &'i str>,
    changes: Vec<PriceChange>,
}

impl Comparison {
    /// Compares the groups of `input` with `bill`. `groups` and `all` are the days of each group and of all together.
    pub fn of(input: &Input, bill: &Bill, last: NaiveDate, groups: &BTreeMap<String, &[Day]>, all: &[Day]) -> Self {
        let sides = Sides::new(input, bill, last);
        let total_bill: Usd = bill.lines.iter().map(|line| line.usd).sum();
        let ungoverned = sides.ungoverned_cost(None);
        let changed: Vec<Reason> = sides.changes.iter().map(PriceChange::of_all).collect();
        let known = [changed, ungoverned_reason(ungoverned)].concat();
        let total = sides.compared(String::new(), all, total_bill, known, Part::WHOLE);
        // What the bill has of requests of unknown usage is known for all groups together only.
        let part_of = |kind| total.reasons.iter().filter(move |reason| reason.reason == kind);
        let unknown = Part {
            part: part_of(ReasonKind::UnknownUsage).map(|reason| reason.picodollars).sum(),
            whole: sides.unknown(all),
        };
        Self {
            tag_key: bill.tag_key.clone(),
            billed_until: bill.until(),
            rows: sides.rows(groups, ungoverned, unknown),
            total,
            unmatched_models: sides.unmatched(),
            credits: bill.credits,
            requests: bill.requests,
        }
    }
}

impl PriceChange {
    fn reason(&self, picodollars: Picodollars) -> Reason {
        let Self { name, from, until, bill, ledger, .. } = self;
        let thousandths =
            bill.unsigned_abs().saturating_mul(1_000).checked_div(ledger.unsigned_abs()).unwrap_or_default();
        let factor = format!("{}.{:03}", thousandths / 1_000, thousandths % 1_000);
        let detail = format!("{name}, {}: the bill is {factor} times the ledger", span(*from, *until));
        reason(ReasonKind::PriceChanged, picodollars, detail)
    }

    fn of_all(&self) -> Reason {
        self.reason(self.ledger - self.bill)
    }

    /// The part of a group for which the ledger has `ledger` on these days.
    fn of_part(&self, ledger: Picodollars) -> Reason {
        let part = (self.ledger - self.bill).checked_mul(ledger).and_then(|product| product.checked_div(self.ledger));
        self.reason(part.unwrap_or_default())
    }
}

impl<'i> Sides<'i> {
    fn new(input: &'i Input, bill: &'i Bill, last: NaiveDate) -> Self {
        let model: Option<Grouping> = "model".parse().ok();
        let of_models = model.map(|model| input.groups(&model)).unwrap_or_default();
        let round = input.history.keys().filter_map(|scope| scope.strip_prefix(UNGOVERNED)?.strip_prefix('#'));
        let ids = of_models.into_keys().chain(round.map(str::to_owned));
        let until = bill.until().map(|until| until.min(last));
        let mut sides =
            Self { input, bill, last, until, names: by_id(&bill.models(), ids, &input.sources), changes: Vec::new() };
        sides.changes = bill.models().into_iter().flat_map(|name| sides.price_changes(name)).collect();
        sides
    }

    /// The bill of the model `name` on `day`.
    fn billed(&self, name: &str, day: NaiveDate) -> Picodollars {
        let lines = self.bill.lines.iter().filter(|line| line.day == day && line.model.as_deref() == Some(name));
        signed(lines.map(|line| line.usd).sum())
    }

    fn ids_of(&self, name: &str) -> Vec<String> {
        self.names.iter().filter(|(_, of)| **of == name).map(|(id, _)| id.clone()).collect()
    }

    /// The known cost of the ledger for the model ids on `day`, and the holds of requests whose usage is unknown.
    fn ledger(&self, ids: &[String], day: NaiveDate) -> (Picodollars, Picodollars) {
        let mut known = (0, 0);
        for id in ids {
            let sums = sum(self.input.days(&format!("model#{id}")), day, day);
            known.0 += signed(Usd::from_picodollars(sums.get(attribute::PICODOLLARS)));
            known.1 += signed(Usd::from_picodollars(sums.get(attribute::UNKNOWN_PICODOLLARS)));
        }
        known
    }

    /// The changes of the price of the model `name`: runs of days on which the bill is not the ledger's figure, always by
    /// the same factor.
    fn price_changes(&self, name: &str) -> Vec<PriceChange> {
        let ids = self.ids_of(name);
        let mut runs = vec![Run::default()];
        for day in self.input.month.days().take_while(|day| self.until.is_some_and(|until| *day <= until)) {
            let (ledger, unknown) = self.ledger(&ids, day);
            let bill = self.billed(name, day) - self.ungoverned_of(&ids, day);
            if ledger <= 0 {
                continue;
            }
            if bill >= ledger - tolerance(ledger) && bill <= ledger + unknown + tolerance(ledger) {
                runs.push(Run::default());
            } else if runs.last_mut().is_none_or(|run| !run.takes(day, bill, ledger)) {
                runs.push(Run::of(day, bill, ledger));
            }
        }
        runs.iter().filter_map(|run| run.change(name, &ids)).collect()
    }

    /// The cost of the tokens that bypassed the sentry to the models `ids` on `day`, at the catalogue's price.
    fn ungoverned_of(&self, ids: &[String], day: NaiveDate) -> Picodollars {
        let costs = ids.iter().map(|id| {
            let sums = sum(self.input.days(&format!("{UNGOVERNED}#{id}")), day, day);
            let count = |name: &str| u64::try_from(sums.get(name)).unwrap_or(u64::MAX);
            let tokens = TokenUsage {
                input: count(attribute::INPUT),
                output: count(attribute::OUTPUT),
                ..TokenUsage::default()
            };
            self.input.prices.get(id).map_or(0, |price| signed(price.cost_of_many(&tokens)))
        });
        costs.sum()
    }

    /// The cost of all ungoverned tokens on the days that the bill has, or of those to the model `name`.
    fn ungoverned_cost(&self, name: Option<&str>) -> Picodollars {
        let scopes = self.input.history.keys().filter_map(|scope| scope.strip_prefix(UNGOVERNED)?.strip_prefix('#'));
        let ids: Vec<String> = match name {
            Some(name) => self.ids_of(name),
            None => scopes.map(str::to_owned).collect(),
        };
        let days = self.input.month.days().take_while(|day| self.until.is_some_and(|until| *day <= until));
        days.map(|day| self.ungoverned_of(&ids, day)).sum()
    }

    /// The rows by group. Only what the sentry knows by tag or by model can be compared.
    fn rows(&self, groups: &BTreeMap<String, &[Day]>, ungoverned: Picodollars, unknown: Part) -> Vec<Compared> {
        let grouping = &self.input.grouping;
        if grouping.kind() == "model" {
            self.rows_of_models()
        } else if self.is_of_the_tag() {
            self.rows_of_tags(groups, ungoverned, unknown)
        } else {
            Vec::new()
        }
    }

    /// `true` if the values of the cost-allocation tag are the groups: `costCenter`, or `applicationId` for
    /// `application`.
    fn is_of_the_tag(&self) -> bool {
        let (kind, key) = (self.input.grouping.kind(), self.bill.tag_key.trim_start_matches("user:"));
        kind.eq_ignore_ascii_case(key) || kind == "application" && key.eq_ignore_ascii_case("applicationId")
    }

    fn rows_of_models(&self) -> Vec<Compared> {
        let rows = self.bill.models().into_iter().filter(|name| !name.is_empty()).map(|name| {
            let ids = self.ids_of(name);
            let days: Vec<Day> = ids.iter().flat_map(|id| self.input.days(&format!("model#{id}"))).cloned().collect();
            let lines = self.bill.lines.iter().filter(|line| line.model.as_deref() == Some(name));
            let changed = self.changes.iter().filter(|change| change.name == name).map(PriceChange::of_all).collect();
            let around = ungoverned_reason(self.ungoverned_cost(Some(name)));
            self.compared(
                name.to_owned(),
                &days,
                lines.map(|line| line.usd).sum(),
                [changed, around].concat(),
                Part::WHOLE,
            )
        });
        rows.collect()
    }

    fn rows_of_tags(&self, groups: &BTreeMap<String, &[Day]>, ungoverned: Picodollars, unknown: Part) -> Vec<Compared> {
        let mut billed: BTreeMap<String, Usd> = BTreeMap::new();
        for line in &self.bill.lines {
            let amount = billed.entry(line.tag.to_lowercase()).or_default();
            *amount = *amount + line.usd;
        }
        // A request without the tag is `unspecified` in the ledger and has no value on the bill.
        let without = billed.remove("").unwrap_or_default();
        let unspecified = groups.get(UNSPECIFIED).copied().unwrap_or_default();
        let mut rows: Vec<Compared> = Vec::new();
        for (value, days) in groups.iter().filter(|(value, _)| *value != UNSPECIFIED) {
            let changed = self.changes.iter().filter_map(|change| self.part_of_group(change, value)).collect();
            let amount = billed.remove(&decoded(value)).unwrap_or_default();
            rows.push(self.compared(value.clone(), days, amount, changed, unknown));
        }
        rows.extend(billed.into_iter().map(|(value, amount)| self.compared(value, &[], amount, Vec::new(), unknown)));
        let changed = self.changes.iter().filter_map(|change| self.part_of_group(change, UNSPECIFIED));
        let own: Vec<Reason> = changed.chain(ungoverned_reason(ungoverned)).collect();
        let mut rest = self.compared(String::new(), unspecified, without, own, unknown);
        move_untagged(&mut rows, &mut rest, self.bill.lines.len());
        rows.sort_by_key(|row| std::cmp::Reverse((row.ledger.usd, row.bill)));
        rows.push(rest);
        rows
    }

    /// The part of a group in a change of a price. `None` if the group did not use the model.
    fn part_of_group(&self, change: &PriceChange, value: &str) -> Option<Reason> {
        let scopes = change.ids.iter().map(|id| format!("{}+model#{id}", self.input.grouping.scope(value)));
        let spent: Picodollars = scopes
            .map(|scope| sum(self.input.days(&scope), change.from, change.until).get(attribute::PICODOLLARS))
            .map(|picodollars| signed(Usd::from_picodollars(picodollars)))
            .sum();
        (spent != 0).then(|| change.of_part(spent))
    }

    /// A group with what is known of its difference. `known` are reasons whose parts are computed already.
    /// `unknown` is the part of the holds of unknown usage that is too much.
    fn compared(&self, group: String, days: &[Day], bill: Usd, known: Vec<Reason>, unknown: Part) -> Compared {
        let first = self.input.month.first();
        let all = sum(days, first, self.last);
        let unpriced = all.get(attribute::UNPRICED) > 0;
        let ledger = Spend { usd: all.spent().usd, is_floor: unpriced };
        let picodollars = signed(ledger.usd) - signed(bill);
        let mut reasons = self.not_billed_yet(days);
        reasons.extend(known);
        let mut rest = picodollars - reasons.iter().map(|reason| reason.picodollars).sum::<Picodollars>();
        let unknown = unknown.of(self.unknown(days));
        if rest > 0 && unknown > 0 {
            let part = rest.min(unknown);
            reasons.push(reason(
                ReasonKind::UnknownUsage,
                part,
                "requests whose usage nobody knows count with their holds".to_owned(),
            ));
            rest -= part;
        }
        if rest < 0 && unpriced {
            reasons.push(reason(
                ReasonKind::Unpriced,
                rest,
                "requests without a known price are not in the ledger's dollars".to_owned(),
            ));
            rest = 0;
        }
        reasons.extend(remainder(rest, self.bill.lines.len()));
        Compared { group, ledger, bill, difference: difference(picodollars), reasons, picodollars }
    }

    fn not_billed_yet(&self, days: &[Day]) -> Vec<Reason> {
        let from = self.until.and_then(|until| until.succ_opt()).unwrap_or(self.input.month.first());
        let amount = signed(sum(days, from, self.last).spent().usd);
        let detail = format!("{}: the bill does not have it yet", span(from, self.last));
        if amount == 0 { Vec::new() } else { vec![reason(ReasonKind::NotBilledYet, amount, detail)] }
    }

    /// The holds of requests of unknown usage on the days that the bill has.
    fn unknown(&self, days: &[Day]) -> Picodollars {
        let sums = self.until.map(|until| sum(days, self.input.month.first(), until)).unwrap_or_default();
        signed(Usd::from_picodollars(sums.get(attribute::UNKNOWN_PICODOLLARS)))
    }

    fn unmatched(&self) -> Vec<String> {
        let known: Vec<&str> = self.names.values().copied().collect();
        let names = self.bill.models().into_iter().filter(|name| !name.is_empty() && !known.contains(name));
        names.map(str::to_owned).collect()
    }
}

/// Spend of a group that the bill has without the tag: it is missing in the group, and too much in `rest`.
fn move_untagged(rows: &mut [Compared], rest: &mut Compared, lines: usize) {
    if rest.reasons.iter().all(|reason| reason.reason != ReasonKind::Unexplained || reason.picodollars > 0) {
        return;
    }
    let mut too_much = take_unexplained(rest).unwrap_or_default();
    for row in rows {
        let Some(missing) = take_unexplained(row) else { continue };
        let part = missing.clamp(0, -too_much);
        let detail = "the bill has it without the tag: a profile without tags, or no profile".to_owned();
        if part > 0 {
            row.reasons.push(reason(ReasonKind::Untagged, part, detail.clone()));
            rest.reasons.push(reason(ReasonKind::Untagged, -part, format!("spend of {}", row.group)));
        }
        row.reasons.extend(remainder(missing - part, lines));
        too_much += part;
    }
    rest.reasons.extend(remainder(too_much, lines));
}

/// The difference that no other reason explains, of a bill with so many amounts.
fn remainder(rest: Picodollars, lines: usize) -> Option<Reason> {
    let lines = i128::try_from(lines).unwrap_or(i128::MAX);
    match rest {
        0 => None,
        _ if rest.abs() <= lines.saturating_mul(ROUNDING) => {
            Some(reason(ReasonKind::Rounding, rest, "the bill rounds each of its amounts".to_owned()))
        }
        _ => Some(reason(ReasonKind::Unexplained, rest, "none of the known reasons".to_owned())),
    }
}

/// `26 to 27 November`, or `26 November` if it is one day. Both days are in one month.
fn span(from: NaiveDate, until: NaiveDate) -> String {
    let last = until.format("%-d %B");
    if from < until { format!("{} to {last}", from.format("%-d")) } else { last.to_string() }
}

/// Removes the unexplained part of a row.
fn take_unexplained(row: &mut Compared) -> Option<Picodollars> {
    let position = row.reasons.iter().position(|reason| reason.reason == ReasonKind::Unexplained)?;
    Some(row.reasons.remove(position).picodollars)
}

fn ungoverned_reason(cost: Picodollars) -> Vec<Reason> {
    let detail = "tokens that bypassed the sentry, at the catalogue's price".to_owned();
    if cost == 0 { Vec::new() } else { vec![reason(ReasonKind::Ungoverned, -cost, detail)] }
}

fn reason(kind: ReasonKind, picodollars: Picodollars, detail: String) -> Reason {
    Reason { reason: kind, usd: difference(picodollars), detail, picodollars }
}

fn tolerance(amount: Picodollars) -> Picodollars {
    let (part, whole) = TOLERANCE;
    let part = amount.unsigned_abs().saturating_mul(part) / whole;
    i128::try_from(part).unwrap_or(i128::MAX)
}

/// `true` if both pairs have nearly the same quotient.
fn same_ratio(
    (bill, ledger): (Picodollars, Picodollars),
    (other_bill, other_ledger): (Picodollars, Picodollars),
) -> bool {
    // The bill that the other day would have with this day's factor.
    let expected = bill.checked_mul(other_ledger).and_then(|product| product.checked_div(ledger));
    expected.is_some_and(|expected| (other_bill - expected).abs() <= tolerance(expected).max(ROUNDING * 10))
}
