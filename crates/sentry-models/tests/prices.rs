//! Recomputes every price of the catalogue from its source row, and prints the facts of the catalogue as a table.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on has to stop")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use chrono::NaiveDate;
use rust_decimal::Decimal;
use sentry_models::Catalogue;
use sentry_models::catalogue::file::{Common, Entry, PriceRow, ProviderFile, fits};
use sentry_models::catalogue::{COMMON, PROVIDERS, Sampling, Thinking};
use serde_json::Value;

const LITELLM: &str = include_str!("../sources/litellm.json");
const GENAI: &str = include_str!("../sources/genai-prices.json");
/// The day on which the source data was read.
const TODAY: &str = "2026-11-26";
const REGIONS: [&str; 2] = ["us-east-1", "eu-west-1"];

fn entries() -> Vec<Entry> {
    let file = |(name, text): &(&str, &str)| -> ProviderFile<Entry> {
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"))
    };
    PROVIDERS.iter().flat_map(|named| file(named).models).collect()
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

fn id(model: &str, form: &str) -> String {
    if form == "bare" { model.to_owned() } else { format!("{form}.{model}") }
}

/// Converts a field in dollars per token to dollars per million tokens.
fn per_million(row: &Value, field: &str) -> Option<Decimal> {
    let text = row.get(field)?.to_string();
    let rate = if text.contains('e') { Decimal::from_scientific(&text) } else { text.parse() };
    Some(rate.unwrap() * Decimal::from(1_000_000))
}

/// The rates of a LiteLLM row whose field names end with `end`.
fn rates(row: &Value, end: &str) -> BTreeMap<&'static str, Decimal> {
    let fields = [
        ("input", "input_cost_per_token"),
        ("output", "output_cost_per_token"),
        ("cacheRead", "cache_read_input_token_cost"),
        ("cacheWrite5m", "cache_creation_input_token_cost"),
        ("cacheWrite1h", "cache_creation_input_token_cost_above_1hr"),
    ];
    fields.into_iter().filter_map(|(kind, field)| Some((kind, per_million(row, &format!("{field}{end}"))?))).collect()
}

/// The rates in the catalogue.
fn shipped(rates: &Value) -> BTreeMap<&str, Decimal> {
    let rates = rates.as_object().unwrap().iter().filter(|(_, rate)| rate.is_string());
    rates.map(|(kind, rate)| (kind.as_str(), rate.as_str().unwrap().parse().unwrap())).collect()
}

/// The row of LiteLLM's map that is the source of a price. The row may have another spelling of the model id. For a
/// model that has only profiles, the row may have the model's own id.
fn row<'s>(source: &'s BTreeMap<String, Value>, entry: &Entry, form: &str, region: Option<&String>) -> &'s Value {
    let common = common();
    let spellings = common.spellings.iter().filter(|(_, right)| **right == entry.model).map(|(other, _)| other);
    let own = entry.forms.iter().any(|own| own == form).then_some("bare");
    for model in std::iter::once(&entry.model).chain(spellings) {
        for form in std::iter::once(form).chain(own) {
            let key = match region {
                Some(region) => format!("bedrock/{region}/{}", id(model, form)),
                None => id(model, form),
            };
            if let Some(row) = source.get(&key) {
                return row;
            }
        }
    }
    panic!("no row for {form} of {} in {region:?}", entry.model)
}

#[test]
fn every_price_is_that_of_the_row_that_it_is_from() {
    let (litellm, genai) = (source(LITELLM), source(GENAI));
    let (mut checked, mut agrees, mut differs) = (0, 0, 0);
    for entry in entries() {
        for priced in &entry.prices {
            let PriceRow { regions, source, second, .. } = priced;
            assert_eq!(source, "litellm", "{}: prices of other sources need a test of their own", entry.model);
            let price = serde_json::to_value(priced.price).unwrap();
            let regions: Vec<Option<&String>> =
                if regions.is_empty() { vec![None] } else { regions.iter().map(Some).collect() };
            for (form, region) in priced.r#for.iter().flat_map(|form| regions.iter().map(move |region| (form, region)))
            {
                let row = row(&litellm, &entry, form, *region);
                let what = format!("{form} of {} in {region:?}", entry.model);
                assert_eq!(shipped(&price), rates(row, ""), "{what}");
                for tier in ["flex", "priority"] {
                    let tier_rates = price["tiers"].get(tier).map(shipped).unwrap_or_default();
                    assert_eq!(tier_rates, rates(row, &format!("_{tier}")), "{tier} {what}");
                }
                let above = price["longContext"]["above"].as_u64();
                let long =
                    above.map(|above| rates(row, &format!("_above_{}k_tokens", above / 1_000))).unwrap_or_default();
                let shipped_long = price["longContext"].get("rates").map(shipped).unwrap_or_default();
                assert_eq!(shipped_long, long, "long context of {what}");
                let has_long =
                    row.as_object().unwrap().keys().any(|field| field.starts_with("input_cost_per_token_above"));
                assert_eq!(has_long, above.is_some(), "{what}");
                let other = genai.get(&id(&entry.model, form)).map(|row| {
                    let rate = |field: &str| row[field].as_str().unwrap().parse::<Decimal>().unwrap().normalize();
                    (rate("input"), rate("output"))
                });
                let own = (shipped(&price)["input"].normalize(), shipped(&price)["output"].normalize());
                let expected = other.map(|other| {
                    if other == own { "agrees".to_owned() } else { format!("differs: {}/{}", other.0, other.1) }
                });
                assert_eq!(*second, expected, "second source of {what}");
                checked += 1;
                match second.as_deref() {
                    Some("agrees") => agrees += 1,
                    Some(_) => differs += 1,
                    None => {}
                }
            }
        }
    }
    println!("{checked} prices recomputed; genai-prices agrees with {agrees} and differs from {differs}");
    assert!(checked > 300, "only {checked} prices were checked");
}

#[test]
fn every_chat_model_of_the_data_has_an_entry() {
    let known: BTreeSet<String> = entries().into_iter().map(|entry| entry.model).collect();
    let common = common();
    for key in source(LITELLM).keys() {
        assert!(!common.left_out.iter().any(|out| out.keys.iter().any(|pattern| fits(pattern, key))), "{key}");
        let called = key.rsplit('/').next().unwrap();
        let model = match called.split_once('.') {
            Some((group, model)) if common.region_groups.contains_key(group) => model,
            _ => called,
        };
        let model = common.spellings.get(model).map_or(model, String::as_str);
        assert!(known.contains(model), "{key} has no entry");
    }
}

/// Prints a table of all entries, then of all rules. To see it, run `cargo test -p sentry-models --test prices --
/// --nocapture`.
#[test]
fn the_catalogue_as_a_table() {
    let (catalogue, entries) = (Catalogue::bundled().unwrap(), entries());
    println!("{:<45} {:>9} {:>8} {:>7} {:<8} {:<8} ends", "model", "context", "output", "prices", "source", "second");
    for entry in &entries {
        let text = |figure: Option<u32>| figure.map_or("-".to_owned(), |figure| figure.to_string());
        let sources: BTreeSet<&str> = entry.prices.iter().map(|row| row.source.as_str()).collect();
        let seconds: BTreeSet<&str> =
            entry.prices.iter().map(|row| row.second.as_deref().map_or("-", |it| it.get(..7).unwrap_or(it))).collect();
        let joined = |set: BTreeSet<&str>| set.into_iter().collect::<Vec<_>>().join(",");
        println!(
            "{:<45} {:>9} {:>8} {:>7} {:<8} {:<8} {}",
            entry.model,
            text(entry.context_window),
            text(entry.output_limit),
            entry.prices.iter().map(|row| row.r#for.len()).sum::<usize>(),
            joined(sources),
            joined(seconds),
            entry.ends.map_or("-".to_owned(), |day| day.to_string()),
        );
    }
    let alive: Vec<&Entry> = entries.iter().filter(|entry| entry.ends.is_none_or(|ends| ends > today())).collect();
    println!("{} entries, {} of them alive on {TODAY}", entries.len(), alive.len());
    let forms = ["bare", "us", "eu", "apac", "au", "jp", "in", "ca", "us-gov", "global"];
    let resolved = |entry: &Entry, region: &str, forms: &[&str]| {
        let ids = forms.iter().map(|form| id(&entry.model, form));
        let found: Vec<_> = ids.filter_map(|id| catalogue.resolve(&id, region, today()).ok()).collect();
        let known: Vec<_> = found.into_iter().filter(|found| found.listed).collect();
        (!known.is_empty(), known.iter().any(|found| found.model.price.is_some()))
    };
    for (name, region, forms) in [
        (REGIONS[0], REGIONS[0], &forms[..]),
        (REGIONS[1], REGIONS[1], &forms[..]),
        ("global.", REGIONS[0], &["global"]),
    ] {
        let there: Vec<(bool, bool)> = alive.iter().map(|entry| resolved(entry, region, forms)).collect();
        let callable = there.iter().filter(|(callable, _)| *callable).count();
        let priced = there.iter().filter(|(callable, priced)| *callable && *priced).count();
        println!(
            "{name}: of {} alive {callable} have a form that can be called, {priced} of these have a price",
            alive.len()
        );
        assert!(callable > 20 && priced * 100 >= callable * 95, "{name}");
    }
    let takes: Vec<_> = alive
        .iter()
        .filter_map(|entry| {
            let own = forms.iter().find_map(|form| {
                let regions = ["us-east-1", "us-west-2", "us-gov-west-1"];
                regions.iter().find_map(|region| catalogue.resolve(&id(&entry.model, form), region, today()).ok())
            });
            own.map(|found| found.takes)
        })
        .collect();
    let count = |rule: &str, of: usize| println!("{rule:<45} {of:>4} of {}", takes.len());
    count("no temperature, no top_p", takes.iter().filter(|it| it.sampling == Sampling::None).count());
    count("temperature or top_p", takes.iter().filter(|it| it.sampling == Sampling::OneOfTemperatureTopP).count());
    count("no top_k", takes.iter().filter(|it| !it.top_k).count());
    count("no stop_sequences", takes.iter().filter(|it| !it.stop_sequences).count());
    count("no system messages", takes.iter().filter(|it| !it.system).count());
    count("one turn only", takes.iter().filter(|it| !it.turns).count());
    count("no prefill", takes.iter().filter(|it| !it.prefill).count());
    count("no tools", takes.iter().filter(|it| !it.tools).count());
    count("no toolChoice any or tool", takes.iter().filter(|it| !it.tool_choice).count());
    count("no forced tool while thinking", takes.iter().filter(|it| !it.forced_tool_with_reasoning).count());
    count("no pictures", takes.iter().filter(|it| !it.images).count());
    count("no documents", takes.iter().filter(|it| !it.documents).count());
    count("no structured output", takes.iter().filter(|it| !it.structured_output).count());
    count("cache points", takes.iter().filter(|it| it.cache.is_some()).count());
    count("cache points of an hour", takes.iter().filter(|it| it.cache.is_some_and(|cache| cache.one_hour)).count());
    let thinks = |default| {
        takes.iter().filter(|it| it.reasoning.as_ref().is_some_and(|reasoning| reasoning.default == default)).count()
    };
    count("thinks when asked to", thinks(Thinking::Off));
    count("thinks unless asked not to", thinks(Thinking::On));
    count("always thinks", thinks(Thinking::Always));
    count("flex or priority", takes.iter().filter(|it| !it.service_tiers.is_empty()).count());
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
