//! Shows items and their history: `list`, `get` and `history`.

use chrono::{DateTime, SecondsFormat, Utc};
use fn_lookup_limit::{EntryState, Item, State, scope_of_key};
use sentry_domain::{Limits, Unit};

use super::change::{UPDATED_AT, UPDATED_BY, as_text, differences};
use super::edit::{KeyArgs, not_found};
use super::store::{Recorded, Store};
use super::{change, file};
use crate::failure::Failure;
use crate::options::{Global, Output};
use crate::output::{Column, Table, print};
use crate::stack::Stack;

/// One dollar, in picodollars.
const PICODOLLARS: u128 = 1_000_000_000_000;

/// Runs `limits list`: shows all items of the table.
pub async fn list(global: &Global) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let items = Store::of(&stack)?.all().await?;
    let now = Utc::now();
    if items.is_empty() && global.output == Output::Table {
        eprintln!(
            "there are no limits, so every request is denied. `sentry limits set default --limit usd=100` sets one for all models"
        );
        return Ok(());
    }
    let is_table = global.output == Output::Table;
    let rows = items.iter().map(|(key, item)| {
        let (limits, state) = told(key, item, now);
        if is_table {
            let changed = [date(&said(item, UPDATED_AT)), name(&said(item, UPDATED_BY)).to_owned()];
            return vec![key.clone(), limits, state, changed.join(" ").trim().to_owned()];
        }
        vec![
            key.clone(),
            scope_of_key(key),
            limits,
            state,
            said(item, UPDATED_BY),
            said(item, UPDATED_AT),
            said(item, "note"),
            said(item, "owner"),
        ]
    });
    let names: &[&'static str] = if is_table {
        &["key", "limits", "state", "changed"]
    } else {
        &["key", "scope", "limits", "state", "updatedBy", "updatedAt", "note", "owner"]
    };
    Table { rows: rows.collect(), columns: names.iter().map(|name| Column::text(name)).collect() }.print(global.output)
}

/// Runs `limits get`: shows one item.
pub async fn get(global: &Global, args: &KeyArgs) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let item = Store::of(&stack)?.get(&args.key).await?.ok_or_else(|| not_found(&args.key))?;
    if let Err(invalid) = State::of(&args.key, &item, Utc::now()) {
        eprintln!("warning: {invalid}");
    }
    match global.output {
        Output::Table => print(&file::written([&item])),
        Output::Json => print(&(file::json_item(&item) + "\n")),
        Output::Csv => {
            let fields = differences(None, Some(&item)).into_iter();
            let rows = fields.map(|field| vec![field.field, field.after.unwrap_or_default()]).collect();
            Table { columns: ["field", "value"].map(Column::text).to_vec(), rows }.print(Output::Csv)
        }
    }
}

/// Runs `limits history`: shows the recorded changes of one item.
pub async fn history(global: &Global, args: &KeyArgs) -> Result<(), Failure> {
    let stack = Stack::find(global).await?;
    let store = Store::of(&stack)?;
    let mut recorded = store.history(&stack, &args.key).await?;
    let present = store.get(&args.key).await?;
    if recorded.is_empty() && present.is_none() {
        return Err(not_found(&args.key));
    }
    if let Some(outside) = outside(recorded.first(), present.as_ref()) {
        recorded.insert(0, outside);
    }
    if global.output == Output::Json {
        let changes: Vec<String> = recorded.iter().map(json).collect();
        return print(&format!("[\n  {}\n]\n", changes.join(",\n  ")));
    }
    let rows = recorded.iter().map(|record| {
        let changes = as_text(&differences(record.before.as_ref(), record.after.as_ref()));
        let by = if global.output == Output::Table { name(&record.by).to_owned() } else { record.by.clone() };
        let at = if global.output == Output::Table { record.at.get(..19).unwrap_or(&record.at) } else { &record.at };
        vec![at.to_owned(), by, record.what.clone(), changes]
    });
    Table { rows: rows.collect(), columns: ["changedAt", "by", "what", "changes"].map(Column::text).to_vec() }
        .print(global.output)
}

/// The difference between the item that is there now and the last record, if somebody edited it without this command.
fn outside(last: Option<&Recorded>, present: Option<&Item>) -> Option<Recorded> {
    let after = last.and_then(|last| last.after.as_ref());
    let same = after.is_some() == present.is_some() && change::differences(after, present).is_empty();
    (!same).then(|| Recorded {
        at: "unknown".to_owned(),
        by: "unknown".to_owned(),
        what: "edited without this command".to_owned(),
        before: after.cloned(),
        after: present.cloned(),
    })
}

fn json(record: &Recorded) -> String {
    let side = |item: Option<&Item>| item.map_or_else(|| "null".to_owned(), file::json_item);
    let text = |text: &str| serde_json::Value::from(text).to_string();
    let changes = as_text(&differences(record.before.as_ref(), record.after.as_ref()));
    format!(
        "{{\"changedAt\": {}, \"by\": {}, \"what\": {}, \"changes\": {}, \"before\": {}, \"after\": {}}}",
        text(&record.at),
        text(&record.by),
        text(&record.what),
        text(&changes),
        side(record.before.as_ref()),
        side(record.after.as_ref())
    )
}

/// The limits of an item in words, and its state.
fn told(key: &str, item: &Item, now: DateTime<Utc>) -> (String, String) {
    let state = match State::of(key, item, now) {
        Ok(state) => state,
        Err(invalid) => {
            let problem = format!("malformed: {} {}; requests are denied", invalid.field(), invalid.problem());
            return (String::new(), problem);
        }
    };
    let limits = state.entries.iter().map(|entry| {
        let raised =
            entry.raised.map(|(limits, until)| format!(" (raised to {} until {})", units(&limits), instant(until)));
        format!("{} {}{}", entry.window, units(&entry.limits), raised.unwrap_or_default())
    });
    let limits = limits.collect::<Vec<_>>().join("; ");
    let is_over = |entry: &EntryState| !entry.is_in_force;
    let not_in_force = !state.entries.is_empty() && state.entries.iter().all(is_over);
    let states = [
        state.stopped.map(|reason| format!("stopped: {reason}")),
        state.only_observes.then(|| "observes".to_owned()),
        state.shared.then(|| "shared".to_owned()),
        not_in_force.then(|| "not in force".to_owned()),
    ];
    (limits, states.into_iter().flatten().collect::<Vec<_>>().join("; "))
}

fn units(limits: &Limits) -> String {
    let amounts = limits.iter().map(|(unit, amount)| match unit {
        Unit::Usd => format!("usd {}", dollars(amount)),
        unit => format!("{} {amount}", unit.name()),
    });
    amounts.collect::<Vec<_>>().join(", ")
}

/// Picodollars as dollars with the digits that they need.
fn dollars(picodollars: u128) -> String {
    let (whole, rest) = (picodollars / PICODOLLARS, picodollars % PICODOLLARS);
    format!("{whole}.{rest:012}").trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

fn said(item: &Item, name: &str) -> String {
    item.get(name).and_then(|value| value.as_s().ok()).cloned().unwrap_or_default()
}

fn date(instant: &str) -> String {
    instant.chars().take(10).collect()
}

/// The last part of an ARN.
fn name(arn: &str) -> &str {
    arn.rsplit(['/', ':']).next().unwrap_or(arn)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(text: &str) -> Item {
        file::parse_item(text, None).unwrap().item
    }

    #[test]
    fn an_item_is_told_in_words() {
        let now = "2026-11-21T12:00:00Z".parse().unwrap();
        let told = |text: &str| told("costCenter#default", &item(text), now);
        assert_eq!(
            told(
                "{modelId: a, limits: [{window: day, limit: {usd: 5.5}}, {window: month, limit: {output: 7, requests: 2}}]}"
            ),
            ("day usd 5.5; month output 7, requests 2".to_owned(), String::new())
        );
        assert_eq!(
            told(
                "{modelId: a, limit: {usd: 5}, raise: {limit: {usd: 8}, until: \"2026-12-01T00:00:00Z\"}, stopped: audit, enforce: observe}"
            ),
            (
                "month usd 5 (raised to usd 8 until 2026-12-01T00:00:00Z)".to_owned(),
                "stopped: audit; observes".to_owned()
            )
        );
        assert_eq!(
            told("{modelId: a, window: day, until: \"2026-11-01T00:00:00Z\", limit: {usd: 5}}").1,
            "not in force"
        );
        assert_eq!(told("{modelId: a, stopped: audit}"), (String::new(), "stopped: audit".to_owned()));
    }

    #[test]
    fn an_edit_without_the_command_is_seen() {
        let (one, two) = (item("{modelId: a, limit: {usd: 1}, updatedBy: jo}"), item("{modelId: a, limit: {usd: 2}}"));
        let last = |after: Option<&Item>| Recorded {
            at: String::new(),
            by: String::new(),
            what: "set".into(),
            before: None,
            after: after.cloned(),
        };
        assert_eq!(outside(Some(&last(Some(&one))), Some(&one)), None);
        assert_eq!(outside(Some(&last(None)), None), None);
        for (recorded, present) in [(Some(&one), Some(&two)), (Some(&one), None), (None, Some(&one))] {
            assert!(outside(Some(&last(recorded)), present).is_some());
        }
        assert!(outside(None, Some(&one)).is_some());
    }

    #[test]
    fn the_name_of_an_administrator_is_the_end_of_the_arn() {
        assert_eq!(name("arn:aws:iam::123456789012:user/jo"), "jo");
        assert_eq!(name("arn:aws:iam::123456789012:root"), "root");
    }
}
