//! Recomputes every price from the rows of its source, with arithmetic of its own.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rust_decimal::Decimal;
use sentry_models::catalogue::file::{Entry, PriceRow, ProviderFile};
use serde_json::{Value, json};

use crate::{GENAI, LITELLM, common, entries, id, print_table, source};

/// The kinds of tokens: the name in the catalogue, and the name in LiteLLM's map.
const KINDS: [(&str, &str); 5] = [
    ("input", "input_cost_per_token"),
    ("output", "output_cost_per_token"),
    ("cacheRead", "cache_read_input_token_cost"),
    ("cacheWrite5m", "cache_creation_input_token_cost"),
    ("cacheWrite1h", "cache_creation_input_token_cost_above_1hr"),
];

/// The components of a price by their path in it, such as `tiers.flex.input`. Rates are in dollars per million tokens.
type Components = BTreeMap<String, Decimal>;

/// The extracts of the sources, each by its keys.
struct Sources {
    litellm: BTreeMap<String, Value>,
    genai: BTreeMap<String, Value>,
    /// Rows of offers of the AWS Price List. Empty if none was imported.
    aws: BTreeMap<String, Value>,
}

/// The outcome of recomputing the prices of some entries.
#[derive(Default)]
struct Outcome {
    /// The number of prices by their source and by the verdict of the second source.
    counts: BTreeMap<(String, &'static str), usize>,
    /// A sentence about each price or verdict that differs from the one recomputed.
    wrong: Vec<String>,
}

fn recompute(entries: &[Entry], sources: &Sources) -> Outcome {
    let mut outcome = Outcome::default();
    for entry in entries {
        for priced in &entry.prices {
            let regions: Vec<Option<&str>> = if priced.regions.is_empty() {
                vec![None]
            } else {
                priced.regions.iter().map(|at| Some(&**at)).collect()
            };
            for (form, region) in priced.r#for.iter().flat_map(|form| regions.iter().map(move |region| (form, *region)))
            {
                recompute_one(entry, priced, (form, region), sources, &mut outcome);
            }
        }
    }
    outcome
}

/// Recomputes the price of one form in one Region.
fn recompute_one(
    entry: &Entry,
    priced: &PriceRow,
    (form, region): (&str, Option<&str>),
    sources: &Sources,
    outcome: &mut Outcome,
) {
    let what = format!("{}{}", id(&entry.model, form), region.map(|at| format!(" in {at}")).unwrap_or_default());
    let expected = match priced.source.as_str() {
        "litellm" => of_litellm(row(sources, entry, form, region)),
        "aws" => {
            let mut expected = match priced.rest.as_deref() {
                Some("litellm") => of_litellm(row(sources, entry, form, region)),
                None => Components::new(),
                Some(other) => panic!("{what}: no test recomputes the rest of a price from {other}"),
            };
            let own = of_aws(sources, entry, form, region);
            for path in ["input", "output"].into_iter().filter(|path| !own.contains_key(*path)) {
                outcome.wrong.push(format!("{what} {path}: the offer has no row"));
            }
            expected.extend(own);
            expected
        }
        other => panic!("{what}: no test recomputes a price from {other}"),
    };
    let mut shipped = Components::new();
    flatten("", &serde_json::to_value(priced.price).unwrap(), &mut shipped);
    let paths = shipped.keys().chain(expected.keys().filter(|path| !shipped.contains_key(*path)));
    for path in paths.filter(|path| shipped.get(*path) != expected.get(*path)) {
        let text = |rate: Option<&Decimal>| rate.map_or("nothing".to_owned(), |rate| rate.normalize().to_string());
        let (own, source) = (text(shipped.get(path)), text(expected.get(path)));
        outcome.wrong.push(format!("{what} {path}: {own}, but its source has {source}"));
    }
    let second = sources.genai.get(&id(&entry.model, form)).map(|row| {
        let rate = |field: &str| row[field].as_str().unwrap().parse::<Decimal>().unwrap().normalize();
        let same = shipped.get("input") == Some(&rate("input")) && shipped.get("output") == Some(&rate("output"));
        if same { "agrees".to_owned() } else { format!("differs: {}/{}", rate("input"), rate("output")) }
    });
    if priced.second != second {
        outcome.wrong.push(format!("{what} second source: {:?}, but it has {second:?}", priced.second));
    }
    let verdict = match second.as_deref() {
        Some("agrees") => "agrees",
        Some(_) => "differs",
        None => "absent",
    };
    *outcome.counts.entry((priced.source.clone(), verdict)).or_default() += 1;
}

/// The row of LiteLLM's map that is the source of a price. The row may have another spelling of the model id. For a
/// model that has only profiles, the row may have the model's own id. For a price of AWS, the rest may be from the row
/// without a Region.
fn row<'s>(sources: &'s Sources, entry: &Entry, form: &str, region: Option<&str>) -> &'s Value {
    let common = common();
    let spellings = common.spellings.iter().filter(|(_, right)| **right == entry.model).map(|(other, _)| other);
    let own = entry.forms.iter().any(|own| own == form).then_some("bare");
    let of_aws = entry.prices.iter().any(|priced| priced.source == "aws");
    let regions: Vec<Option<&str>> = if of_aws && region.is_some() { vec![region, None] } else { vec![region] };
    for model in std::iter::once(&entry.model).chain(spellings) {
        for form in std::iter::once(form).chain(own) {
            for region in &regions {
                let key = match region {
                    Some(region) => format!("bedrock/{region}/{}", id(model, form)),
                    None => id(model, form),
                };
                if let Some(row) = sources.litellm.get(&key) {
                    return row;
                }
            }
        }
    }
    panic!("no row for {form} of {} in {region:?}", entry.model)
}

fn of_litellm(row: &Value) -> Components {
    let mut all = Components::new();
    let mut add = |path: &str, end: &str| {
        for (kind, field) in KINDS {
            if let Some(rate) = row.get(format!("{field}{end}")) {
                let text = rate.to_string();
                let rate = if text.contains('e') { Decimal::from_scientific(&text) } else { text.parse() };
                all.insert(format!("{path}{kind}"), rate.unwrap() * Decimal::from(1_000_000));
            }
        }
    };
    add("", "");
    add("tiers.flex.", "_flex");
    add("tiers.priority.", "_priority");
    let threshold = |field: &String| {
        field.strip_prefix("input_cost_per_token_above_")?.strip_suffix("k_tokens")?.parse::<u32>().ok()
    };
    if let Some(thousands) = row.as_object().unwrap().keys().find_map(threshold) {
        add("longContext.rates.", &format!("_above_{thousands}k_tokens"));
        all.insert("longContext.above".to_owned(), Decimal::from(thousands * 1_000));
    }
    all
}

/// The components that the imported offers of AWS have for `form` in `region`.
fn of_aws(sources: &Sources, entry: &Entry, form: &str, region: Option<&str>) -> Components {
    let offer = entry.offer.as_ref().unwrap_or_else(|| panic!("{} has a price of AWS, but no offer", entry.model));
    let scope = if form == "global" { "global" } else { "regional" };
    let is_its_own = |row: &&Value| {
        (row["offer"].as_str(), row["product"].as_str()) == (Some(&offer.code), Some(&offer.product))
            && (row["region"].as_str(), row["scope"].as_str()) == (region, Some(scope))
    };
    let component = |row: &Value| {
        let tokens = match row["unit"].as_str().unwrap() {
            "1K tokens" => 1_000,
            "1M tokens" => 1_000_000,
            other => panic!("{other} is no unit of tokens"),
        };
        let usd: Decimal = row["usd"].as_str().unwrap().parse().unwrap();
        (row["component"].as_str().unwrap().to_owned(), usd * Decimal::from(1_000_000 / tokens))
    };
    sources.aws.values().filter(is_its_own).map(component).collect()
}

fn flatten(path: &str, value: &Value, all: &mut Components) {
    match value {
        Value::Object(members) => members.iter().for_each(|(name, value)| {
            let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
            flatten(&path, value, all);
        }),
        Value::String(text) => _ = all.insert(path.to_owned(), text.parse().unwrap()),
        other => _ = all.insert(path.to_owned(), other.to_string().parse().unwrap()),
    }
}

#[test]
fn every_price_is_that_of_the_row_that_it_is_from() {
    // The extract of the AWS Price List exists once an offer was imported.
    let aws = Path::new(env!("CARGO_MANIFEST_DIR")).join("sources/aws.json");
    let aws = if aws.exists() { source(&fs::read_to_string(aws).unwrap()) } else { BTreeMap::new() };
    let Outcome { counts, wrong } =
        recompute(&entries(), &Sources { litellm: source(LITELLM), genai: source(GENAI), aws });
    assert_eq!(wrong, Vec::<String>::new());
    let rows: Vec<[String; 3]> = counts
        .iter()
        .map(|((source, verdict), count)| [source.clone(), (*verdict).to_owned(), count.to_string()])
        .collect();
    let heads = ["source", "genai-prices", "prices (a form, perhaps in a Region)"];
    print_table("Prices recomputed from the rows of their sources", heads, &rows);
    let checked: usize = counts.values().sum();
    assert!(checked > 300, "only {checked} prices were checked");
}

/// The files that an import of the small source files of xtask's tests writes. A test of xtask compares them.
fn imported() -> (Vec<Entry>, Sources) {
    let file = |text: &str| serde_json::from_str::<ProviderFile<Entry>>(text).unwrap().models;
    let entries =
        [file(include_str!("imported/catalogue/amazon.json")), file(include_str!("imported/catalogue/anthropic.json"))];
    let sources = Sources {
        litellm: source(include_str!("imported/sources/litellm.json")),
        genai: source(include_str!("imported/sources/genai-prices.json")),
        aws: source(include_str!("imported/sources/aws.json")),
    };
    (entries.concat(), sources)
}

#[test]
fn a_price_of_an_offer_is_recomputed_from_its_rows_and_the_rest_from_litellm() {
    let (entries, mut sources) = imported();
    let Outcome { counts, wrong } = recompute(&entries, &sources);
    assert_eq!(wrong, Vec::<String>::new());
    let of_aws: usize = counts.iter().filter(|((source, _), _)| source == "aws").map(|(_, count)| count).sum();
    assert_eq!(of_aws, 5, "{counts:?}");

    let row = |product: &str, scope: &str, component: &str| {
        let is = |row: &Value| row["product"] == product && row["scope"] == scope && row["component"] == component;
        sources.aws.iter().find(|(_, row)| is(row)).map(|(key, _)| key.clone()).unwrap()
    };
    let dearer = [
        (row("Claude Haiku 4.5", "regional", "input"), "1.2000000000"),
        (row("Nova Lite", "regional", "tiers.flex.output"), "0.0001300000"),
    ];
    let gone = row("Claude Haiku 4.5", "global", "output");
    for (key, usd) in dearer {
        sources.aws.get_mut(&key).unwrap()["usd"] = json!(usd);
    }
    sources.aws.remove(&gone);
    sources.litellm.get_mut("us.anthropic.claude-haiku-4-5-20251001-v1:0").unwrap()["cache_read_input_token_cost"] =
        json!(1.2e-7);
    let mut wrong = recompute(&entries, &sources).wrong;
    wrong.retain(|line| line.contains("us-east-1"));
    wrong.sort();
    assert_eq!(
        wrong,
        [
            "amazon.nova-lite-v1:0 in us-east-1 tiers.flex.output: 0.12, but its source has 0.13",
            "global.anthropic.claude-haiku-4-5-20251001-v1:0 in us-east-1 output: the offer has no row",
            "us.amazon.nova-lite-v1:0 in us-east-1 tiers.flex.output: 0.12, but its source has 0.13",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0 in us-east-1 cacheRead: 0.11, but its source has 0.12",
            "us.anthropic.claude-haiku-4-5-20251001-v1:0 in us-east-1 input: 1.1, but its source has 1.2",
        ]
    );
}
