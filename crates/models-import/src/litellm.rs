//! LiteLLM's model map: <https://github.com/BerriAI/litellm/blob/main/model_prices_and_context_window.json>, MIT.
//!
//! A key is a model id as in calls, or `bedrock/REGION/ID` for the price in one Region. A price without a Region
//! applies to every Region in which the id can be called. LiteLLM computes costs in the same way. Prices are in
//! dollars per token.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context, Result, bail};
use chrono::NaiveDate;
use rust_decimal::Decimal;
use sentry_contract::request::{Effort, ReasoningStyle};
use sentry_domain::Price;
use sentry_models::catalogue::file::fits;
use sentry_models::catalogue::{CachePatch, ReasoningPatch, Sampling, Takes, TakesPatch, Thinking};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::catalogue::{Files, LITELLM, Place, Priced, places, rows, split};
use super::text;

/// The Bedrock chat models of a model map.
#[derive(Debug)]
pub struct ModelMap {
    name: String,
    /// Rows by their key. Each has its line number in the file.
    rows: BTreeMap<String, (usize, Map<String, Value>)>,
}

/// The kinds of tokens: the name in the catalogue, and the name in the map.
const KINDS: [(&str, &str); 5] = [
    ("input", "input_cost_per_token"),
    ("output", "output_cost_per_token"),
    ("cacheRead", "cache_read_input_token_cost"),
    ("cacheWrite5m", "cache_creation_input_token_cost"),
    ("cacheWrite1h", "cache_creation_input_token_cost_above_1hr"),
];
/// Suffix of the prices for long prompts, before and after the number of thousands of tokens.
const ABOVE: (&str, &str) = ("_above_", "k_tokens");
/// Service tiers that have prices in the catalogue.
const TIERS: [&str; 2] = ["flex", "priority"];
/// Fields that are read, apart from prices and flags.
const FACTS: [&str; 13] = [
    "litellm_provider",
    "mode",
    "max_input_tokens",
    "max_output_tokens",
    "deprecation_date",
    "successor_model",
    "source",
    "prompt_cache_min_tokens",
    "bedrock_output_config_effort_ceiling",
    "reasoning_effort_levels",
    "thinking_always_on",
    "thinking_on_by_default",
    "deprecation_source",
];
const FLAGS: [&str; 16] = [
    "supports_sampling_params",
    "supports_assistant_prefill",
    "supports_function_calling",
    "supports_tool_choice",
    "supports_forced_tool_use",
    "supports_vision",
    "supports_pdf_input",
    "supports_system_messages",
    "supports_reasoning",
    "supports_adaptive_thinking",
    "supports_legacy_thinking",
    "supports_max_reasoning_effort",
    "supports_xhigh_reasoning_effort",
    "supports_none_reasoning_effort",
    "supports_native_structured_output",
    "supports_bedrock_native_structured_output",
];

/// Parses a model map. Rows that are not chat models of Bedrock are ignored without a message.
///
/// # Errors
/// If the file is not a model map, or if a row is invalid. The error of a row names the file and the line.
pub fn read(name: &str, content: &str) -> Result<ModelMap> {
    let raw: BTreeMap<String, &RawValue> =
        serde_json::from_str(content).with_context(|| format!("{name}: not LiteLLM's model map"))?;
    let lines = text::Lines::of(content);
    let mut rows = BTreeMap::new();
    for (key, row) in raw {
        let line = lines.line(row.get());
        let fields: Map<String, Value> =
            serde_json::from_str(row.get()).with_context(|| format!("{name}:{line}: {key} is no object"))?;
        let is = |field: &str, values: &[&str]| {
            fields.get(field).and_then(Value::as_str).is_some_and(|value| values.contains(&value))
        };
        if is("litellm_provider", &["bedrock", "bedrock_converse"]) && is("mode", &["chat"]) {
            rows.insert(key, (line, fields));
        }
    }
    if rows.is_empty() {
        bail!("{name}: LiteLLM's model map has chat models of bedrock, this file has none");
    }
    Ok(ModelMap { name: name.to_owned(), rows })
}

/// The data of one model in the map.
#[derive(Default)]
struct Model {
    prices: BTreeMap<Place, Priced>,
    /// The complete rows, for data other than prices.
    rows: Vec<Map<String, Value>>,
}

/// Writes the map into the files. Returns one message for each part that the catalogue cannot hold.
///
/// # Errors
/// If a row is invalid, or if the catalogue has no file for a provider.
pub fn take_over(files: &mut Files, map: &ModelMap, read: NaiveDate) -> Result<Vec<String>> {
    let mut left_out = Vec::new();
    let mut fields: BTreeMap<String, usize> = BTreeMap::new();
    let mut models: BTreeMap<String, Model> = BTreeMap::new();
    for (key, (line, row)) in &map.rows {
        let at = || format!("{}:{line}: {key}", map.name);
        if let Some(reason) = no_place(files, key, row) {
            left_out.push(format!("left out {key}: {reason}"));
            continue;
        }
        let (region, id) = place(key);
        let (form, model) = split(id);
        let model = files.common.spellings.get(model).map_or(model, String::as_str).to_owned();
        let price = price(row).with_context(at)?;
        let known = models.entry(model).or_default();
        known.prices.insert(
            (form.to_owned(), region.map(str::to_owned)),
            Priced {
                price,
                source: LITELLM.to_owned(),
                rest: None,
                url: row.get("source").and_then(Value::as_str).map(str::to_owned),
                read,
                second: None,
            },
        );
        known.rows.push(row.clone());
        for field in row.keys().filter(|field| field.contains("cost") && !is_read(field)) {
            *fields.entry(field.clone()).or_default() += 1;
        }
        let extract =
            row.iter().filter(|(field, _)| is_read(field)).map(|(field, value)| (field.clone(), value.clone()));
        if let Some(rows) = files.extracts.get_mut(LITELLM) {
            rows.insert(key.clone(), Value::Object(extract.collect()));
        }
    }
    left_out.extend(fields.into_iter().map(|(field, count)| format!("left out the field {field} of {count} row(s)")));
    let gone = files.entries().filter(|entry| !models.contains_key(&entry.model) && !entry.prices.is_empty());
    left_out.extend(gone.map(|entry| format!("kept {}: the map has it no more", entry.model)).collect::<Vec<_>>());
    for (id, model) in models {
        left_out.extend(update(files, &id, model).with_context(|| map.name.clone())?);
    }
    Ok(left_out)
}

/// The reason why a row cannot be in the catalogue. `None` if it can be.
fn no_place(files: &Files, key: &str, row: &Map<String, Value>) -> Option<String> {
    let listed = files.common.left_out.iter().find(|listed| listed.keys.iter().any(|pattern| fits(pattern, key)));
    if let Some(listed) = listed {
        return Some(listed.why.clone());
    }
    if !row.contains_key("input_cost_per_token") {
        return Some("no price per token: provisioned throughput".to_owned());
    }
    let well_formed = key.split('/').count() == 1 || key.split('/').count() == 3 && key.starts_with("bedrock/");
    (!well_formed).then(|| "no id of Bedrock, perhaps with a Region".to_owned())
}

/// The Region and the id of a key.
fn place(key: &str) -> (Option<&str>, &str) {
    match key.strip_prefix("bedrock/").and_then(|rest| rest.split_once('/')) {
        Some((region, id)) => (Some(region), id),
        None => (None, key),
    }
}

/// `true` if the catalogue has a place for this field.
fn is_read(field: &str) -> bool {
    let is_price = KINDS.iter().any(|(_, kind)| match field.strip_prefix(kind) {
        Some("") => true,
        Some(rest) => TIERS.iter().any(|tier| rest.strip_prefix('_') == Some(tier)) || thousands(rest).is_some(),
        None => false,
    });
    is_price || FACTS.contains(&field) || FLAGS.contains(&field)
}

/// The number of thousands in a suffix such as `_above_200k_tokens`.
fn thousands(end: &str) -> Option<u64> {
    end.strip_prefix(ABOVE.0)?.strip_suffix(ABOVE.1)?.parse().ok()
}

/// The price in a row, in dollars per million tokens.
fn price(row: &Map<String, Value>) -> Result<Price> {
    let mut document = rates(row, "")?.context("no price for input and output")?;
    let above = row.keys().find_map(|field| thousands(field.strip_prefix("input_cost_per_token")?));
    if let Some(above) = above {
        let rates = rates(row, &format!("{}{above}{}", ABOVE.0, ABOVE.1))?;
        let rates = rates.with_context(|| format!("no output price above {above},000 tokens"))?;
        document.insert("longContext".to_owned(), json!({"above": above * 1_000, "rates": rates}));
    }
    let mut tiers = Map::new();
    for tier in TIERS {
        if let Some(rates) = rates(row, &format!("_{tier}"))? {
            tiers.insert(tier.to_owned(), rates.into());
        }
    }
    if !tiers.is_empty() {
        document.insert("tiers".to_owned(), tiers.into());
    }
    Ok(serde_json::from_value(document.into())?)
}

/// The rates in the fields that end with `end`. `None` if input or output is absent.
fn rates(row: &Map<String, Value>, end: &str) -> Result<Option<Map<String, Value>>> {
    let mut rates = Map::new();
    for (kind, name) in KINDS {
        let field = format!("{name}{end}");
        let Some(value) = row.get(&field).filter(|value| !value.is_null()) else { continue };
        let rate = text::decimal(value).with_context(|| field.clone())?;
        if rate.is_zero() {
            bail!("{field} is 0: an unknown price is no price of nothing");
        }
        let million = rate.checked_mul(Decimal::from(1_000_000)).with_context(|| field)?;
        rates.insert(kind.to_owned(), million.normalize().to_string().into());
    }
    Ok((rates.contains_key("input") && rates.contains_key("output")).then_some(rates))
}

/// Writes the data of a model into its entry. Returns messages about data that the entry cannot hold.
fn update(files: &mut Files, id: &str, model: Model) -> Result<Vec<String>> {
    let successor = texts(&model.rows, "successor_model").into_iter().next();
    let successor = successor.and_then(|named| files.name_of(place(&named).1));
    let profile_only = files.is_profile_only(id);
    let entry = files.entry(id)?;
    let mut prices = model.prices;
    if profile_only {
        prices = for_profiles(prices, &entry.forms);
    }
    without_repetition(&mut prices);
    let before = places(entry);
    for (place, priced) in &mut prices {
        // An unchanged price keeps its page and the date on which it was read.
        if let Some(old) = before.get(place).filter(|old| old.price == priced.price && old.source == priced.source) {
            *priced = old.clone();
        }
    }
    let others = before.into_iter().filter(|(_, priced)| priced.source != LITELLM);
    let takes = takes(id, &model.rows, prices.values().any(|priced| priced.price.rates.cache_write_1h.is_some()));
    prices.extend(others);
    entry.prices = rows(&prices);
    let kept = entry.kept.clone();
    let free = |field: &str| !kept.contains_key(field);
    // If the forms differ, the larger number is used. So no request is refused that one of the forms could serve.
    let largest = |field: &str| {
        let figures = model.rows.iter().filter_map(|row| row.get(field)?.as_u64());
        figures.max().and_then(|figure| u32::try_from(figure).ok())
    };
    if free("contextWindow") {
        entry.context_window = largest("max_input_tokens").or(entry.context_window);
    }
    if free("outputLimit") {
        entry.output_limit = largest("max_output_tokens").or(entry.output_limit);
    }
    if free("takes") {
        entry.takes = takes.beyond(&Takes::default());
    }
    let mut left_out = Vec::new();
    for day in texts(&model.rows, "deprecation_date").into_iter().filter(|_| free("ends")) {
        let has_day = |row: &&Map<String, Value>| row.get("deprecation_date").and_then(Value::as_str) == Some(&day);
        if model.rows.iter().filter(has_day).count() * 2 > model.rows.len() {
            entry.ends = Some(day.parse().with_context(|| format!("{id}: {day:?} is no day"))?);
        } else {
            left_out.push(format!("left out the end {day} of {id}: most of its rows do not have it"));
        }
    }
    if entry.successor.is_none() {
        entry.successor = successor;
    }
    if entry.ends.is_some() && entry.successor.is_none() {
        bail!("{id} ends, and its entry has no successor: give it one first");
    }
    Ok(left_out)
}

/// The prices of a model that can be called only through profiles. If the map has no profile of it, the price of its
/// own id applies to the profiles in `forms`.
fn for_profiles(mut prices: BTreeMap<Place, Priced>, forms: &[String]) -> BTreeMap<Place, Priced> {
    let own = prices.remove(&("bare".to_owned(), None));
    if let Some(own) = own.filter(|_| prices.keys().all(|(form, _)| form == "bare")) {
        prices.extend(forms.iter().map(|form| ((form.clone(), None), own.clone())));
    }
    prices
}

/// Removes the prices of commercial Regions that equal the form's general price.
fn without_repetition(prices: &mut BTreeMap<Place, Priced>) {
    let general = prices.clone();
    prices.retain(|(form, region), priced| {
        let Some(region) = region else { return true };
        let same = general.get(&(form.clone(), None)).is_some_and(|other| other.price == priced.price);
        !same || region.starts_with("us-gov-")
    });
}

/// All distinct texts of `field` in the rows, sorted.
fn texts(rows: &[Map<String, Value>], field: &str) -> BTreeSet<String> {
    rows.iter().filter_map(|row| Some(row.get(field)?.as_str()?.to_owned())).collect()
}

/// The model's capabilities according to the flags in its rows. A missing flag means nothing, except for pictures and
/// structured output, because the map marks every model that has them.
fn takes(id: &str, rows: &[Map<String, Value>], one_hour: bool) -> TakesPatch {
    let flag = |name: &str| {
        let mut said = rows.iter().filter_map(|row| row.get(name)?.as_bool()).peekable();
        said.peek().is_some().then(|| said.any(|flag| flag))
    };
    let is = |name: &str| flag(name) == Some(true);
    let cache_min = rows.iter().filter_map(|row| row.get("prompt_cache_min_tokens")?.as_u64()).max();
    TakesPatch {
        sampling: (flag("supports_sampling_params") == Some(false)).then_some(Sampling::None),
        prefill: flag("supports_assistant_prefill"),
        tools: flag("supports_function_calling"),
        tool_choice: flag("supports_tool_choice"),
        forced_tool_with_reasoning: flag("supports_forced_tool_use"),
        images: Some(is("supports_vision")),
        documents: flag("supports_pdf_input").filter(|pdf| *pdf),
        system: flag("supports_system_messages"),
        structured_output: Some(
            is("supports_native_structured_output") || is("supports_bedrock_native_structured_output"),
        ),
        reasoning: is("supports_reasoning").then(|| reasoning(id, rows, &is)),
        cache: cache_min
            .and_then(|tokens| u32::try_from(tokens).ok())
            .map(|tokens| CachePatch { min_tokens: Some(tokens), one_hour: Some(one_hour) }),
        ..TakesPatch::default()
    }
}

/// The reasoning capabilities of a model.
fn reasoning(id: &str, rows: &[Map<String, Value>], is: &dyn Fn(&str) -> bool) -> ReasoningPatch {
    let default = match () {
        () if is("thinking_always_on") => Thinking::Always,
        () if is("thinking_on_by_default") => Thinking::On,
        () if id.starts_with("anthropic.") => Thinking::Off,
        () => Thinking::On,
    };
    let levels = rows.iter().any(|row| row.contains_key("reasoning_effort_levels"));
    let style = match (is("supports_adaptive_thinking"), is("supports_legacy_thinking")) {
        (true, true) => Some(ReasoningStyle::ClaudeBudgetOrAdaptive),
        (true, false) => Some(ReasoningStyle::ClaudeAdaptive),
        _ if id.starts_with("anthropic.") => Some(ReasoningStyle::ClaudeBudget),
        _ if levels || is("supports_xhigh_reasoning_effort") => Some(ReasoningStyle::ReasoningEffort),
        _ => None,
    };
    let ceilings = texts(rows, "bedrock_output_config_effort_ceiling");
    let most = levels || is("supports_max_reasoning_effort") && ceilings.iter().all(|ceiling| ceiling == "max");
    let efforts = match style {
        None | Some(ReasoningStyle::ClaudeBudget) => Vec::new(),
        Some(_) => {
            let known = [Effort::Low, Effort::Medium, Effort::High];
            known.into_iter().chain(most.then_some(Effort::Max)).collect()
        }
    };
    let can_be_off = match style {
        Some(ReasoningStyle::ReasoningEffort) => is("supports_none_reasoning_effort"),
        Some(_) => default != Thinking::Always,
        None => false,
    };
    ReasoningPatch { style, default: Some(default), efforts: Some(efforts), can_be_off: Some(can_be_off) }
}
