//! Checks of the catalogue's facts against the data that they come from. The tests print the facts as tables, which
//! `cargo xtask test` shows.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has to stop")]

mod data_set;
mod recomputed;
mod tables;

use std::collections::BTreeMap;
use std::time::Instant;

use chrono::NaiveDate;
use sentry_models::catalogue::file::{Common, Entry, ProviderFile};
use sentry_models::catalogue::{COMMON, PROVIDERS};
use sentry_models::{Catalogue, Resolved};
use serde_json::Value;

const LITELLM: &str = include_str!("../../sources/litellm.json");
const GENAI: &str = include_str!("../../sources/genai-prices.json");
/// The day on which the source data was read.
const TODAY: &str = "2026-11-26";

/// A place in which a model has a price.
struct Place {
    name: &'static str,
    /// The Region of the caller.
    region: &'static str,
    /// The forms of an id that can be called there. An alias means the first of them that the model has.
    forms: &'static [&'static str],
}

const PLACES: [Place; 3] = [
    Place { name: "us-east-1", region: "us-east-1", forms: &["us", "global", "bare"] },
    Place { name: "eu-west-1", region: "eu-west-1", forms: &["eu", "global", "bare"] },
    Place { name: "`global.`", region: "us-east-1", forms: &["global"] },
];

fn providers() -> Vec<ProviderFile<Entry>> {
    let file = |(name, text): &(&str, &str)| serde_json::from_str(text).unwrap_or_else(|e| panic!("{name}: {e}"));
    PROVIDERS.iter().map(file).collect()
}

fn entries() -> Vec<Entry> {
    providers().into_iter().flat_map(|file| file.models).collect()
}

fn common() -> Common {
    serde_json::from_str(COMMON).unwrap()
}

fn source(text: &str) -> BTreeMap<String, Value> {
    serde_json::from_str(text).unwrap()
}

fn today() -> NaiveDate {
    TODAY.parse().unwrap()
}

fn is_alive(entry: &Entry) -> bool {
    entry.ends.is_none_or(|ends| ends > today())
}

fn id(model: &str, form: &str) -> String {
    if form == "bare" { model.to_owned() } else { format!("{form}.{model}") }
}

/// The first of `forms` in which the catalogue knows the model in `region`, with what it knows. For a model that has
/// ended, as it was on the day before its end.
fn called<'f>(catalogue: &Catalogue, entry: &Entry, region: &str, forms: &[&'f str]) -> Option<(&'f str, Resolved)> {
    let last = entry.ends.and_then(|ends| ends.pred_opt()).unwrap_or(today());
    forms.iter().find_map(|form| {
        let resolved = catalogue.resolve(&id(&entry.model, form), region, last.min(today())).ok()?;
        resolved.listed.then_some((*form, resolved))
    })
}

/// Prints a table in Markdown under a title.
fn print_table<const N: usize>(title: &str, heads: [&str; N], rows: &[[String; N]]) {
    println!("\n## {title}\n");
    println!("| {} |\n|{}", heads.join(" | "), "---|".repeat(N));
    for row in rows {
        println!("| {} |", row.join(" | "));
    }
}

#[test]
fn reading_the_catalogue_costs_a_function_little() {
    let start = Instant::now();
    for _ in 0..20 {
        drop(Catalogue::bundled().unwrap());
    }
    let each = start.elapsed() / 20;
    println!("reading the catalogue takes {each:?}");
    // A release build needs much less. A debug build has the same limit.
    assert!(each.as_millis() < 500, "{each:?}");
}
