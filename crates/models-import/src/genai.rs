//! genai-prices' data: <https://github.com/pydantic/genai-prices/blob/main/prices/data.json>, MIT. It is only
//! compared with the prices.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use rust_decimal::Decimal;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::catalogue::{Files, GENAI, places, rows};
use super::text;

/// The provider that has Bedrock's model ids.
const PROVIDER: &str = "aws";

/// The prices of Bedrock's models, in the order of the file. The first that matches an id applies.
#[derive(Debug)]
pub struct Prices(Vec<Known>);

#[derive(Debug)]
struct Known {
    id: String,
    matches: Value,
    input: Decimal,
    output: Decimal,
}

/// Parses the file and keeps the models of Bedrock.
///
/// # Errors
/// If the file has another format, or if a row is invalid. The error of a row names the file and the line.
pub fn read(name: &str, content: &str) -> Result<Prices> {
    let providers: Vec<&RawValue> =
        serde_json::from_str(content).with_context(|| format!("{name}: not genai-prices' data"))?;
    let lines = text::Lines::of(content);
    let mut known = Vec::new();
    let at = |part: &RawValue| format!("{name}:{}", lines.line(part.get()));
    for raw in providers {
        let provider: BTreeMap<String, &RawValue> = serde_json::from_str(raw.get()).with_context(|| at(raw))?;
        if provider.get("id").is_none_or(|id| id.get().trim_matches('"') != PROVIDER) {
            continue;
        }
        let models =
            provider.get("models").with_context(|| format!("{}: the provider {PROVIDER} has no models", at(raw)))?;
        let models: Vec<&RawValue> = serde_json::from_str(models.get()).with_context(|| at(models))?;
        for row in models {
            known.extend(model(row.get()).with_context(|| at(row))?);
        }
    }
    if known.is_empty() {
        bail!("{name}: genai-prices' data has the provider {PROVIDER}, this file does not");
    }
    Ok(Prices(known))
}

/// The rows of the last import, by the ids that they were compared for. `None` if there are none.
///
/// # Errors
/// If a row in the extract is invalid.
pub fn of_extract(files: &Files) -> Result<Option<Prices>> {
    let mut known = Vec::new();
    for (id, row) in files.extracts.get(GENAI).into_iter().flatten() {
        let text =
            |field: &str| row.get(field).and_then(Value::as_str).with_context(|| format!("{GENAI} {id} {field}"));
        known.push(Known {
            id: text("row")?.to_owned(),
            matches: json!({"equals": id}),
            input: text("input")?.parse().with_context(|| format!("{GENAI} {id} input"))?,
            output: text("output")?.parse().with_context(|| format!("{GENAI} {id} output"))?,
        });
    }
    Ok((!known.is_empty()).then_some(Prices(known)))
}

/// Parses a model. `None` if it has no prices for text tokens.
fn model(row: &str) -> Result<Option<Known>> {
    let row: Map<String, Value> = serde_json::from_str(row)?;
    let id = row.get("id").and_then(Value::as_str).context("a model without an id")?.to_owned();
    let matches = row.get("match").cloned().with_context(|| format!("{id} has no match"))?;
    let prices = match row.get("prices") {
        // In a list of conditional prices, the last one has no condition.
        Some(Value::Array(conditional)) => conditional.last().and_then(|last| last.get("prices")),
        other => other,
    };
    let rate = |field: &str| -> Result<Option<Decimal>> {
        let Some(value) = prices.and_then(|prices| prices.get(field)) else { return Ok(None) };
        text::decimal(value.get("base").unwrap_or(value)).with_context(|| format!("{id} {field}")).map(Some)
    };
    let (Some(input), Some(output)) = (rate("input_mtok")?, rate("output_mtok")?) else { return Ok(None) };
    Ok(Some(Known { id, matches, input, output }))
}

/// `true` if a clause matches the id.
fn matches(clause: &Value, id: &str) -> bool {
    let Value::Object(clause) = clause else { return false };
    clause.iter().any(|(kind, value)| match (kind.as_str(), value) {
        ("equals", Value::String(text)) => id == text,
        ("starts_with", Value::String(text)) => id.starts_with(text),
        ("ends_with", Value::String(text)) => id.ends_with(text),
        ("contains", Value::String(text)) => id.contains(text),
        ("or", Value::Array(clauses)) => clauses.iter().any(|clause| matches(clause, id)),
        ("and", Value::Array(clauses)) => clauses.iter().all(|clause| matches(clause, id)),
        _ => false,
    })
}

/// Marks each price: `agrees` if the data has the same input and output rates, and `differs: INPUT/OUTPUT` if not.
///
/// # Errors
/// If an entry disappears during the comparison.
pub fn compare(files: &mut Files, prices: &Prices) -> Result<()> {
    let models: Vec<String> = files.entries().map(|entry| entry.model.clone()).collect();
    let mut used = BTreeMap::new();
    for model in models {
        let entry = files.entry(&model)?;
        let mut known = places(entry);
        for ((form, _), priced) in &mut known {
            let id = if form == "bare" { model.clone() } else { format!("{form}.{model}") };
            let second = prices.0.iter().find(|known| matches(&known.matches, &id));
            if let Some(second) = second {
                let Known { id: row, input, output, .. } = second;
                let (input, output) = (input.to_string(), output.to_string());
                used.insert(id.clone(), json!({"row": row, "input": input, "output": output}));
            }
            let rate = |text: String| text.parse::<Decimal>().unwrap_or_default();
            priced.second = second.map(|second| {
                let rates = &priced.price.rates;
                let same =
                    (rate(rates.input.to_string()), rate(rates.output.to_string())) == (second.input, second.output);
                let own = format!("differs: {}/{}", second.input.normalize(), second.output.normalize());
                if same { "agrees".to_owned() } else { own }
            });
        }
        entry.prices = rows(&known);
    }
    if let Some(extract) = files.extracts.get_mut(GENAI) {
        extract.extend(used);
    }
    Ok(())
}
