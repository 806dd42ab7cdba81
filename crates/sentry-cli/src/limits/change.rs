//! The difference between two versions of an item.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_dynamodb::types::AttributeValue;
use fn_lookup_limit::{Item, KEY};

use super::file::{as_list, flow};
use crate::output::{Column, Table};

/// The attributes that the command sets itself.
pub const UPDATED_BY: &str = "updatedBy";
pub const UPDATED_AT: &str = "updatedAt";
/// The attributes of an item in the short form, which an entry of `limits` has otherwise.
pub const ENTRY: [&str; 8] = [LIMIT, WINDOW, "timeZone", "alertAt", "respond", "from", "until", "raise"];
pub const LIMIT: &str = "limit";
pub const LIMITS: &str = "limits";
pub const WINDOW: &str = "window";
/// The window of an entry that names none.
pub const MONTH: &str = "month";
/// Prefix of attributes that AWS writes.
const OF_AWS: &str = "aws:";

/// A change of one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    pub key: String,
    /// The item as it was read. `None` if there was none.
    pub before: Option<Item>,
    /// The item as it will be. `None` to remove it.
    pub after: Option<Item>,
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldChange {
    /// The path, such as `month.limit.usd`.
    pub field: String,
    pub before: Option<String>,
    pub after: Option<String>,
}

impl Change {
    /// The kind of change: `add`, `change`, `remove` or `keep`.
    pub fn action(&self) -> &'static str {
        match (&self.before, &self.after) {
            (None, None) => "keep",
            (None, Some(_)) => "add",
            (Some(_), None) => "remove",
            (Some(_), Some(_)) if self.fields().is_empty() => "keep",
            (Some(_), Some(_)) => "change",
        }
    }

    /// `true` if there is nothing to write.
    pub fn is_nothing(&self) -> bool {
        self.action() == "keep"
    }

    /// The fields that differ, by path. Who changed the item and when is no difference.
    pub fn fields(&self) -> Vec<FieldChange> {
        differences(self.before.as_ref(), self.after.as_ref())
    }
}

/// The fields that differ between two versions of an item, by path.
pub fn differences(before: Option<&Item>, after: Option<&Item>) -> Vec<FieldChange> {
    let (before, after) = (before.map(flat).unwrap_or_default(), after.map(flat).unwrap_or_default());
    let paths: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let changes = paths.into_iter().filter_map(|path| {
        let (old, new) = (before.get(path), after.get(path));
        let same = old.map(|(canonical, _)| canonical) == new.map(|(canonical, _)| canonical);
        let shown = |side: Option<&(String, String)>| side.map(|(_, shown)| shown.clone());
        (!same).then(|| FieldChange { field: path.clone(), before: shown(old), after: shown(new) })
    });
    changes.collect()
}

/// The differences as one text, such as `month.limit.usd: 500 -> 800`.
pub fn as_text(changes: &[FieldChange]) -> String {
    let texts = changes.iter().map(|change| match (&change.before, &change.after) {
        (Some(before), Some(after)) => format!("{}: {before} -> {after}", change.field),
        (None, after) => format!("{}: {} added", change.field, after.as_deref().unwrap_or_default()),
        (Some(before), None) => format!("{}: {before} removed", change.field),
    });
    texts.collect::<Vec<_>>().join("; ")
}

/// The differences of all `changes` as a table. Items that stay as they are have no row.
pub fn table(changes: &[Change]) -> Table {
    let rows = changes.iter().flat_map(|change| {
        change.fields().into_iter().map(|field| {
            let side = |text: Option<String>| text.unwrap_or_default();
            vec![change.action().to_owned(), change.key.clone(), field.field, side(field.before), side(field.after)]
        })
    });
    Table { rows: rows.collect(), columns: ["action", "key", "field", "before", "after"].map(Column::text).to_vec() }
}

/// Every value of an item by its path, in a canonical form and as it is shown.
///
/// A limit has the path of its window, such as `month.limit.usd`, in the short form and in the list `limits`, because the sentry
/// reads both in the same way.
fn flat(item: &Item) -> BTreeMap<String, (String, String)> {
    let mut values = BTreeMap::new();
    let own = |name: &str| name != KEY && name != UPDATED_BY && name != UPDATED_AT && !name.starts_with(OF_AWS);
    let window = (!item.contains_key(LIMITS) && item.contains_key(LIMIT)).then(|| window_of(item));
    for (name, value) in item.iter().filter(|(name, _)| own(name)) {
        match (value, &window) {
            (AttributeValue::L(entries), _) if name == LIMITS && entries.iter().all(AttributeValue::is_m) => {
                flatten_entries(entries, &mut values);
            }
            (_, Some(_)) if name == WINDOW => {}
            (value, Some(window)) if ENTRY.contains(&name.as_str()) => {
                flatten(&format!("{window}.{name}"), value, &mut values);
            }
            (value, _) => flatten(name, value, &mut values),
        }
    }
    values
}

fn flatten_entries(entries: &[AttributeValue], values: &mut BTreeMap<String, (String, String)>) {
    let mut named: Vec<String> = Vec::with_capacity(entries.len());
    for entry in entries.iter().filter_map(|entry| entry.as_m().ok()) {
        let mut window = window_of(entry);
        // Only `from` and `until` keep two entries with one kind of window apart.
        if named.contains(&window) {
            let end = ["from", "until"].iter().find_map(|name| entry.get(*name)?.as_s().ok());
            window = format!("{window}({})", end.map_or("", String::as_str));
        }
        for (name, value) in entry.iter().filter(|(name, _)| *name != WINDOW) {
            flatten(&format!("{window}.{name}"), value, values);
        }
        named.push(window);
    }
}

/// The window of an entry, or `period`.
fn window_of(entry: &Item) -> String {
    match entry.get(WINDOW).filter(|window| !window.is_null()) {
        Some(window) => window.as_s().map_or_else(|_| flow(window), Clone::clone),
        None if entry.contains_key("from") => "period".to_owned(),
        None => MONTH.to_owned(),
    }
}

fn flatten(path: &str, value: &AttributeValue, values: &mut BTreeMap<String, (String, String)>) {
    match value {
        AttributeValue::Null(_) => {}
        AttributeValue::M(map) if !map.is_empty() => {
            for (name, value) in map {
                flatten(&format!("{path}.{name}"), value, values);
            }
        }
        AttributeValue::L(list) if list.iter().any(AttributeValue::is_m) => {
            for (position, value) in list.iter().enumerate() {
                flatten(&format!("{path}[{position}]"), value, values);
            }
        }
        value => {
            let shown = value.as_s().map_or_else(|_| flow(value), Clone::clone);
            values.insert(path.to_owned(), (canonical(value), shown));
        }
    }
}

/// A text that is the same for values that the sentry reads in the same way.
fn canonical(value: &AttributeValue) -> String {
    match value {
        AttributeValue::N(digits) => canonical_number(digits),
        AttributeValue::S(text) => format!("{text:?}"),
        AttributeValue::L(list) => list.iter().map(canonical).collect::<Vec<_>>().join(","),
        AttributeValue::Ss(_) | AttributeValue::Ns(_) => canonical(&as_list(value)),
        other => flow(other),
    }
}

/// The digits of a number without leading and trailing zeros, and its exponent: `1E+2`, `100` and `100.0` are the same.
fn canonical_number(text: &str) -> String {
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let Ok(exponent) = exponent.parse::<i64>() else { return text.to_owned() };
    let (sign, digits) = match mantissa.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", mantissa.strip_prefix('+').unwrap_or(mantissa)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let all = format!("{whole}{fraction}");
    let significant = all.trim_start_matches('0').trim_end_matches('0');
    if significant.is_empty() {
        return "0".to_owned();
    }
    let zeros = all.len() - all.trim_end_matches('0').len();
    let length = |length: usize| i64::try_from(length).unwrap_or(i64::MAX);
    let exponent = exponent.saturating_sub(length(fraction.len())).saturating_add(length(zeros));
    format!("{sign}{significant}E{exponent}")
}

#[cfg(test)]
mod tests {
    use super::super::file::parse_item;
    use super::*;

    fn item(text: &str) -> Item {
        parse_item(text, None).unwrap().item
    }

    fn text(before: &str, after: &str) -> String {
        as_text(&differences(Some(&item(before)), Some(&item(after))))
    }

    #[test]
    fn a_difference_is_told_by_its_path() {
        assert_eq!(
            text(
                "{modelId: a, limits: [{window: day, limit: {usd: 5}}, {window: month, limit: {usd: 50}}], note: x}",
                "{modelId: a, limits: [{window: day, limit: {usd: 5}}, {window: month, limit: {usd: 60, output: 7}}], owner: jo}"
            ),
            "month.limit.output: 7 added; month.limit.usd: 50 -> 60; note: x removed; owner: jo added"
        );
        assert_eq!(
            text("{modelId: a, limit: {usd: 5}, alertAt: [80]}", "{modelId: a, limit: {usd: 5}, alertAt: [80, 100]}"),
            "month.alertAt: [80] -> [80, 100]"
        );
    }

    #[test]
    fn values_that_are_read_in_the_same_way_are_no_difference() {
        for (before, after) in [
            ("{modelId: a, limit: {usd: 100}}", "{modelId: a, limit: {usd: 1E+2}, note: null}"),
            ("{modelId: a, limit: {usd: 0.50}}", "{modelId: a, limit: {usd: 5e-1}, updatedBy: jo, updatedAt: now}"),
            ("{modelId: a, limit: {usd: 0}}", "{modelId: a, limit: {usd: 0.00}, \"aws:x\": 1}"),
        ] {
            assert_eq!(text(before, after), "", "{after}");
        }
        let mut set = item("{modelId: a, limit: {usd: 1}, alertAt: [80, 100]}");
        let list = set.clone();
        set.insert("alertAt".to_owned(), AttributeValue::Ns(vec!["100".to_owned(), "80".to_owned()]));
        assert_eq!(differences(Some(&list), Some(&set)), [], "a set is read as a list");
        for (one, other, same) in [("10", "1", false), ("-1", "1", false), ("0.1", ".1", true), ("1200", "12E2", true)]
        {
            assert_eq!(canonical_number(one) == canonical_number(other), same, "{one} {other}");
        }
    }

    #[test]
    fn both_forms_of_an_item_and_the_order_of_windows_are_the_same() {
        let short = "{modelId: a, limit: {usd: 5}, alertAt: [80]}";
        assert_eq!(text(short, "{modelId: a, limits: [{window: month, limit: {usd: 5}, alertAt: [80]}]}"), "");
        let (one, two) = ("{window: day, limit: {usd: 5}}", "{window: hour, limit: {usd: 6}}");
        let both = format!("{{modelId: a, limits: [{one}, {two}]}}");
        assert_eq!(text(&both, &format!("{{modelId: a, limits: [{two}, {one}]}}")), "");
        let apart = "{modelId: a, limits: [{window: day, limit: {usd: 5}, until: \"2026-11-01T00:00:00Z\"}, {window: day, limit: {usd: 6}, from: \"2026-11-01T00:00:00Z\"}]}";
        assert_eq!(text(apart, &apart.replace("{usd: 6}", "{usd: 7}")), "day(2026-11-01T00:00:00Z).limit.usd: 6 -> 7");
        let period = "{modelId: a, limit: {usd: 5}, from: \"2026-11-01T00:00:00Z\"}";
        assert_eq!(text(period, &period.replace('5', "6")), "period.limit.usd: 5 -> 6");
    }

    #[test]
    fn an_action_is_named() {
        let some = Some(item("{modelId: a, limit: {usd: 1}}"));
        let action = |before: &Option<Item>, after: &Option<Item>| {
            Change { key: "a".into(), before: before.clone(), after: after.clone() }.action()
        };
        assert_eq!([action(&None, &some), action(&some, &None), action(&some, &some)], ["add", "remove", "keep"]);
        assert_eq!(action(&some, &Some(item("{modelId: a, limit: {usd: 2}}"))), "change");
    }
}
