//! An offer file of the AWS Price List, as `…/offers/v1.0/aws/<offer>/current/<region>/index.json` gives it.

use anyhow::{Context, Result, bail};
use rust_decimal::Decimal;
use serde::Deserialize;
use std::collections::BTreeMap;

/// What a marketplace offer adds to a model's name.
const MARKETPLACE_SUFFIX: &str = " (Amazon Bedrock Edition)";
/// What a usage type of us-east-1 begins with.
const REGION_PREFIX: &str = "USE1-";

/// The parts that are read; a real file has more.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File {
    offer_code: String,
    publication_date: String,
    products: BTreeMap<String, Product>,
    terms: Terms,
}

#[derive(Deserialize)]
struct Product {
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Terms {
    #[serde(rename = "OnDemand", default)]
    on_demand: BTreeMap<String, BTreeMap<String, Term>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Term {
    price_dimensions: BTreeMap<String, Dimension>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Dimension {
    unit: String,
    price_per_unit: BTreeMap<String, String>,
}

/// A row that prices one kind of token of one model, on demand, in the standard tier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// What the offer calls the model.
    pub product: String,
    /// `regional` or `global`.
    pub scope: &'static str,
    /// As the catalogue names it: `input`, `output`, `cacheRead`, `cacheWrite5m`, `cacheWrite1h`.
    pub component: &'static str,
    /// The row's own name.
    pub usagetype: String,
    /// `1K tokens` or `1M tokens`.
    pub unit: String,
    /// Dollars for a unit.
    pub usd: String,
}

/// What is used of an offer file.
#[derive(Debug)]
pub struct Offer {
    /// `AmazonBedrock` or `AmazonBedrockFoundationModels`.
    pub code: String,
    /// The day of publication, `2026-08-31`.
    pub published: String,
    /// By product, scope and component.
    pub rows: Vec<Row>,
}

impl Row {
    /// Dollars per million tokens, without needless zeros.
    ///
    /// # Errors
    /// If the unit or the amount is not known.
    pub fn per_million(&self) -> Result<Decimal> {
        let factor = match self.unit.as_str() {
            "1K tokens" => 1_000,
            "1M tokens" => 1,
            other => bail!("{}: {other:?} is no unit of tokens", self.usagetype),
        };
        let usd: Decimal =
            self.usd.parse().with_context(|| format!("{}: {:?} is no price", self.usagetype, self.usd))?;
        Ok((usd * Decimal::from(factor)).normalize())
    }
}

/// Reads an offer file for us-east-1; rows of other Regions, tiers and kinds are left out.
///
/// # Errors
/// If it is no offer file, or has two prices for the same thing.
pub fn read(text: &str) -> Result<Offer> {
    let file: File = serde_json::from_str(text).context("not an offer file of the AWS Price List")?;
    let mut rows: Vec<Row> = Vec::new();
    for (sku, product) in &file.products {
        let Some(row) = row(&product.attributes) else { continue };
        let terms = file.terms.on_demand.get(sku).into_iter().flat_map(BTreeMap::values);
        for dimension in terms.flat_map(|term| term.price_dimensions.values()) {
            let Some(usd) = dimension.price_per_unit.get("USD") else { continue };
            let row = Row { unit: dimension.unit.clone(), usd: usd.clone(), ..row.clone() };
            let same = |other: &&Row| {
                (&other.product, other.scope, other.component) == (&row.product, row.scope, row.component)
            };
            match rows.iter().find(same) {
                Some(other) if other.per_million()? != row.per_million()? => {
                    bail!(
                        "{} has two prices for {}: {} and {}",
                        row.product,
                        row.component,
                        other.usagetype,
                        row.usagetype
                    )
                }
                Some(_) => {}
                None => rows.push(row),
            }
        }
    }
    rows.sort_by(|a, b| (&a.product, a.scope, a.component).cmp(&(&b.product, b.scope, b.component)));
    let published = file.publication_date.get(..10).context("no publicationDate")?.to_owned();
    Ok(Offer { code: file.offer_code, published, rows })
}

/// The row that `attributes` describe, without its price; `None` for what is no standard on-demand price of text tokens here.
fn row(attributes: &BTreeMap<String, String>) -> Option<Row> {
    let get = |name: &str| attributes.get(name).map(String::as_str);
    let usagetype = get("usagetype")?;
    if get("regionCode").is_some_and(|region| region != super::REGION)
        || get("service_tier").is_some_and(|tier| tier != "standard")
    {
        return None;
    }
    let rest = usagetype.strip_prefix(REGION_PREFIX)?;
    let (scope, component) = match rest.strip_prefix("MP:USE1_") {
        Some(dimension) => marketplace(dimension.strip_suffix("-Units")?)?,
        None => first_party(rest)?,
    };
    let product = get("model").or_else(|| get("servicename")?.strip_suffix(MARKETPLACE_SUFFIX))?.to_owned();
    let (unit, usd) = (String::new(), String::new());
    Some(Row { product, scope, component, usagetype: usagetype.to_owned(), unit, usd })
}

/// Scope and component of `USE1-MP:USE1_<dimension>-Units`, in the older and the newer spelling.
fn marketplace(dimension: &str) -> Option<(&'static str, &'static str)> {
    let component = |name: &str| {
        Some(match name {
            "InputTokenCount" | "input_tokens" => "input",
            "OutputTokenCount" | "output_tokens" => "output",
            "CacheReadInputTokenCount" | "cache_read_tokens" => "cacheRead",
            "CacheWriteInputTokenCount" | "cache_write_tokens" | "cache_write_tokens_5m" => "cacheWrite5m",
            "CacheWrite1hInputTokenCount" | "cache_write_tokens_1h" => "cacheWrite1h",
            _ => return None,
        })
    };
    let newer = dimension.strip_suffix("_standard");
    let name = newer.unwrap_or(dimension);
    match name.strip_suffix(if newer.is_some() { "_global" } else { "_Global" }) {
        Some(name) => Some(("global", component(name)?)),
        None => Some(("regional", component(name)?)),
    }
}

/// Scope and component of `USE1-<model>-<dimension>`; `-mantle-` rows are another endpoint's.
fn first_party(rest: &str) -> Option<(&'static str, &'static str)> {
    let (rest, scope) = match rest.strip_suffix("-cross-region-global") {
        Some(rest) => (rest, "global"),
        None => (rest, "regional"),
    };
    let dimensions = [
        ("-cache-read-input-token-count", "cacheRead"),
        ("-cache-write-input-token-count", "cacheWrite5m"),
        ("-input-tokens", "input"),
        ("-output-tokens", "output"),
    ];
    let (model, component) =
        dimensions.iter().find_map(|(end, component)| Some((rest.strip_suffix(end)?, *component)))?;
    (!model.ends_with("-mantle")).then_some((scope, component))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_standard_on_demand_prices_of_text_tokens_are_kept() {
        for other in [
            "NovaLite-input-tokens-batch",
            "NovaLite-input-tokens-flex",
            "NovaLite-input-tokens-custom-model",
            "NovaPro-input-tokens-latency-optimized",
            "openai.gpt-oss-120b-mantle-input-tokens",
            "NovaCanvas-T2I-1024-Standard",
        ] {
            assert_eq!(first_party(other), None, "{other}");
        }
        for other in [
            "InputTokenCount_Batch",
            "InputTokenCount_Global_Batch",
            "Reserved_1Month_InputTPM_Geo",
            "cache_write_tokens_30m_standard",
        ] {
            assert_eq!(marketplace(other), None, "{other}");
        }
        assert_eq!(marketplace("input_tokens_global_standard"), Some(("global", "input")));
        assert_eq!(marketplace("CacheWrite1hInputTokenCount_Global"), Some(("global", "cacheWrite1h")));
        assert_eq!(first_party("Claude4.6Sonnet-output-tokens-cross-region-global"), Some(("global", "output")));
    }
}
