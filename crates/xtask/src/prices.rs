//! `prices`: takes the catalogue's prices from a downloaded offer file of the AWS Price List.
//!
//! The files are public: <https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/AmazonBedrock/current/us-east-1/index.json>
//! (dollars a thousand tokens) and the same with `AmazonBedrockFoundationModels` (dollars a million tokens).

mod offer;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::cli::PricesArgs;
use crate::console;
use crate::workspace::Workspace;
use offer::{Offer, Row};

/// The only Region that the catalogue has prices of.
const REGION: &str = "us-east-1";
/// The components in the order in which the catalogue writes them.
const COMPONENTS: [&str; 5] = ["input", "output", "cacheRead", "cacheWrite5m", "cacheWrite1h"];

/// The file with the rows that the catalogue cites.
#[derive(Deserialize)]
struct Extract {
    note: String,
    region: String,
    offers: BTreeMap<String, Published>,
    rows: Vec<Cited>,
}

#[derive(Deserialize, Serialize)]
struct Published {
    url: String,
    published: String,
}

#[derive(Clone, Deserialize, Serialize)]
struct Cited {
    offer: String,
    product: String,
    scope: String,
    component: String,
    /// Of a row of an offer file; one that was entered by hand has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    usagetype: Option<String>,
    unit: String,
    usd: String,
}

/// What a run changes.
struct Update {
    catalogue: String,
    extract: String,
    diff: Vec<String>,
}

/// Reads the offer file, shows what changes and, unless it is only to be shown, writes it.
///
/// # Errors
/// If a file cannot be read or written, or does not fit the other.
pub fn run(workspace: &Workspace, args: &PricesArgs) -> Result<std::process::ExitCode> {
    let folder = workspace.root().join("crates/sentry-models");
    let (catalogue, extract) = (folder.join("catalogue.json"), folder.join("prices/us-east-1.json"));
    let offer = offer::read(&text(&args.file)?).with_context(|| args.file.display().to_string())?;
    let update = update(&text(&catalogue)?, &text(&extract)?, &offer)?;
    for line in &update.diff {
        console::line(line);
    }
    console::line(&format!("{} of {}: {} change(s)", offer.code, offer.published, update.diff.len()));
    if !args.dry_run {
        fs::write(&catalogue, update.catalogue).with_context(|| catalogue.display().to_string())?;
        fs::write(&extract, update.extract).with_context(|| extract.display().to_string())?;
    }
    Ok(std::process::ExitCode::SUCCESS)
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| path.display().to_string())
}

/// Puts the prices of `offer` into the texts of the catalogue and of the extract.
fn update(catalogue: &str, extract: &str, offer: &Offer) -> Result<Update> {
    let entries: Value = serde_json::from_str(catalogue).context("catalogue.json")?;
    let mut extract: Extract = serde_json::from_str(extract).context("prices/us-east-1.json")?;
    if extract.region != REGION {
        bail!("the extract is for {}, not {REGION}", extract.region);
    }
    extract.rows.retain(|row| row.offer != offer.code);
    let mut lines = Lines { text: catalogue.to_owned(), diff: Vec::new() };
    for model in entries.get("models").and_then(Value::as_array).context("catalogue.json has no models")? {
        let source = &model["priceSource"];
        if source["offer"] != offer.code.as_str() {
            continue;
        }
        let id = model["modelId"].as_str().context("a model has no modelId")?;
        let rows: Vec<&Row> = offer
            .rows
            .iter()
            .filter(|row| source["product"] == row.product.as_str() && source["scope"] == row.scope)
            .collect();
        let has = |component| rows.iter().any(|row| row.component == component);
        if !(has("input") && has("output")) {
            if model["price"].is_object() {
                bail!(
                    "{id}: the offer has no price for {source}; correct the entry's priceSource, or take its price away"
                );
            }
            continue;
        }
        lines.set(id, &model["price"], source, &rows, &offer.published)?;
        extract.rows.extend(rows.into_iter().map(|row| cited(&offer.code, row)));
    }
    let url =
        format!("https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/{}/current/{REGION}/index.json", offer.code);
    extract.offers.insert(offer.code.clone(), Published { url, published: offer.published.clone() });
    extract.note = "An extract of the AWS Price List for us-east-1: the standard on-demand rows that catalogue.json takes its prices from. \
                    cargo xtask prices writes it from downloaded offer files; a row without a usagetype is of none: \
                    it was entered by hand, and has not been verified."
        .to_owned();
    let same = |a: &Cited, b: &Cited| {
        (&a.offer, &a.product, &a.scope, &a.component) == (&b.offer, &b.product, &b.scope, &b.component)
    };
    extract.rows.dedup_by(|a, b| same(a, b));
    Ok(Update { catalogue: lines.text, extract: written(&extract)?, diff: lines.diff })
}

fn cited(code: &str, row: &Row) -> Cited {
    Cited {
        offer: code.to_owned(),
        product: row.product.clone(),
        scope: row.scope.to_owned(),
        component: row.component.to_owned(),
        usagetype: Some(row.usagetype.clone()),
        unit: row.unit.clone(),
        usd: row.usd.clone(),
    }
}

/// The extract with one row a line.
fn written(extract: &Extract) -> Result<String> {
    let offers: Vec<String> = extract
        .offers
        .iter()
        .map(|(code, offer)| Ok(format!("    {}: {}", serde_json::to_string(code)?, serde_json::to_string(offer)?)))
        .collect::<Result<_>>()?;
    let rows: Vec<String> =
        extract.rows.iter().map(|row| Ok(format!("    {}", serde_json::to_string(row)?))).collect::<Result<_>>()?;
    Ok(format!(
        "{{\n  \"note\": {},\n  \"region\": \"{REGION}\",\n  \"offers\": {{\n{}\n  }},\n  \"rows\": [\n{}\n  ]\n}}\n",
        serde_json::to_string(&extract.note)?,
        offers.join(",\n"),
        rows.join(",\n")
    ))
}

/// The catalogue's text, edited line by line so that a person's layout stays: `"price"` and `"priceSource"` have a line each.
struct Lines {
    text: String,
    diff: Vec<String>,
}

impl Lines {
    fn set(&mut self, id: &str, old: &Value, source: &Value, rows: &[&Row], published: &str) -> Result<()> {
        let mut price = Vec::new();
        for component in COMPONENTS {
            let Some(row) = rows.iter().find(|row| row.component == component) else { continue };
            let new = row.per_million()?;
            let before = old[component].as_str();
            // A price that is the same keeps its spelling.
            let same = before.is_some_and(|text| text.parse() == Ok(new));
            let new = if same { before.unwrap_or_default().to_owned() } else { new.to_string() };
            if !same {
                self.diff.push(format!("{id} {component}: {} -> {new}", before.unwrap_or("none")));
            }
            price.push(format!("\"{component}\": \"{new}\""));
        }
        for component in COMPONENTS {
            if old[component].is_string() && !rows.iter().any(|row| row.component == component) {
                self.diff.push(format!("{id} {component}: gone"));
            }
        }
        let source = format!(
            "{{\"offer\": {}, \"product\": {}, \"scope\": {}, \"published\": \"{published}\"}}",
            source["offer"], source["product"], source["scope"]
        );
        let mut inside = false;
        let mut found = false;
        let mut out: Vec<String> = Vec::new();
        for line in self.text.lines() {
            let field = line.trim_start();
            if field.starts_with("\"modelId\":") {
                inside = field.trim_end_matches(',') == format!("\"modelId\": \"{id}\"");
            }
            if inside && field.starts_with("\"price\":") {
                continue;
            }
            if inside && field.starts_with("\"priceSource\":") {
                let end = if field.ends_with(',') { "," } else { "" };
                out.push(format!("      \"price\": {{{}}},", price.join(", ")));
                out.push(format!("      \"priceSource\": {source}{end}"));
                found = true;
                continue;
            }
            out.push(line.to_owned());
        }
        if !found {
            bail!("{id}: its priceSource has no line of its own in catalogue.json");
        }
        self.text = out.join("\n") + "\n";
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CATALOGUE: &str = include_str!("../../sentry-models/catalogue.json");
    const EXTRACT: &str = include_str!("../../sentry-models/prices/us-east-1.json");
    const FIRST_PARTY: &str = include_str!("../fixtures/AmazonBedrock.json");
    const MARKETPLACE: &str = include_str!("../fixtures/AmazonBedrockFoundationModels.json");

    fn updated(fixture: &str) -> Update {
        update(CATALOGUE, EXTRACT, &offer::read(fixture).unwrap()).unwrap()
    }

    fn model<'v>(catalogue: &'v Value, id: &str) -> &'v Value {
        catalogue["models"].as_array().unwrap().iter().find(|model| model["modelId"] == id).unwrap()
    }

    #[test]
    fn a_changed_price_is_shown_and_written_with_its_day_and_its_row() {
        let update = updated(FIRST_PARTY);
        assert!(update.diff.contains(&"amazon.nova-lite-v1:0 input: 0.06 -> 0.05".to_owned()), "{:?}", update.diff);
        assert!(
            update.diff.contains(&"amazon.nova-lite-v1:0 cacheRead: none -> 0.015".to_owned()),
            "{:?}",
            update.diff
        );
        let catalogue: Value = serde_json::from_str(&update.catalogue).unwrap();
        let nova = model(&catalogue, "amazon.nova-lite-v1:0");
        assert_eq!(nova["price"], serde_json::json!({"input": "0.05", "output": "0.24", "cacheRead": "0.015"}));
        assert_eq!(nova["priceSource"]["published"], "2026-11-02");
        let extract: Value = serde_json::from_str(&update.extract).unwrap();
        assert_eq!(extract["offers"]["AmazonBedrock"]["published"], "2026-11-02");
        let rows = extract["rows"].as_array().unwrap();
        assert!(
            rows.iter().any(|row| row["usagetype"] == "USE1-NovaLite-input-tokens" && row["usd"] == "0.0000500000")
        );
        assert!(rows.iter().any(|row| row["offer"] == "AmazonBedrockFoundationModels"));
        assert!(rows.iter().all(|row| row["offer"] != "AmazonBedrock" || row["usagetype"].is_string()));
    }

    #[test]
    fn a_model_without_a_price_gets_one_and_nothing_else_changes() {
        let update = updated(MARKETPLACE);
        let (before, after): (Value, Value) =
            (serde_json::from_str(CATALOGUE).unwrap(), serde_json::from_str(&update.catalogue).unwrap());
        let haiku = model(&after, "us.anthropic.claude-haiku-4-5-20251001-v1:0");
        assert_eq!(haiku["price"], serde_json::json!({"input": "1.1", "output": "5.5"}));
        for (old, new) in before["models"].as_array().unwrap().iter().zip(after["models"].as_array().unwrap()) {
            let rest = |model: &Value| {
                let mut model = model.clone();
                model.as_object_mut().unwrap().retain(|name, _| name != "price" && name != "priceSource");
                model
            };
            assert_eq!(rest(old), rest(new));
        }
        for section in ["defaults", "families", "aliases", "retired", "countTokens", "regionGroups"] {
            assert_eq!(before[section], after[section]);
        }
        let again = super::update(&update.catalogue, &update.extract, &offer::read(MARKETPLACE).unwrap()).unwrap();
        assert!(again.diff.is_empty() && again.catalogue == update.catalogue && again.extract == update.extract);
    }

    #[test]
    fn a_price_that_the_offer_no_longer_has_is_an_error() {
        let without = FIRST_PARTY.replace("\"Nova Pro\"", "\"Nova Old\"");
        let error = update(CATALOGUE, EXTRACT, &offer::read(&without).unwrap()).err().unwrap().to_string();
        assert!(error.contains("amazon.nova-pro-v1:0"), "{error}");
    }
}
