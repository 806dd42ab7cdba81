//! An offer file of the AWS Price List, from `…/offers/v1.0/aws/<offer>/current/<region>/index.json`.
//!
//! It has the prices of one Region. They are in dollars per thousand tokens in `AmazonBedrock`, and per million
//! tokens in `AmazonBedrockFoundationModels`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::catalogue::{AWS, Files, Priced, places, rows};

/// Suffix of a model's name in a marketplace offer.
const MARKETPLACE_SUFFIX: &str = " (Amazon Bedrock Edition)";

/// The fields of an offer file that are read. A real file has more.
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

/// An on-demand price in the standard tier, for one kind of token of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the model in the offer.
    pub product: String,
    /// `regional` or `global`, the kind of endpoint.
    pub scope: &'static str,
    /// The catalogue's name of the price component: `input`, `output`, `cacheRead`, `cacheWrite5m`, or
    /// `cacheWrite1h`.
    pub component: &'static str,
    /// Usage type, which identifies the row.
    pub usagetype: String,
    /// `1K tokens` or `1M tokens`.
    pub unit: String,
    /// Price of one unit, in dollars.
    pub usd: String,
}

/// The parts of an offer file that an import uses.
#[derive(Debug)]
pub struct Offer {
    /// Offer code: `AmazonBedrock` or `AmazonBedrockFoundationModels`.
    pub code: String,
    /// Date of publication, such as `2026-08-31`.
    pub published: String,
    /// The Region of the prices.
    pub region: String,
    /// Number of rows for other kinds of tokens, tiers, and endpoints.
    pub other_rows: usize,
    /// Sorted by product, scope, and component.
    pub rows: Vec<Row>,
}

impl Row {
    /// The price in dollars per million tokens, without trailing zeros.
    ///
    /// # Errors
    /// If the unit is unknown or the amount is not a number.
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

/// `true` if `text` has the field `offerCode` of an offer file.
pub fn is_offer(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "offerCode")]
        _code: String,
    }
    serde_json::from_str::<Head>(text).is_ok()
}

/// Parses an offer file of one Region. Rows of other tiers and kinds are only counted.
///
/// # Errors
/// If `text` is not an offer file, or if it has two different prices for the same product and component. In that
/// case, the error names the usage types.
pub fn read(text: &str) -> Result<Offer> {
    let file: File = serde_json::from_str(text).context("not an offer file of the AWS Price List")?;
    let region = region(&file)?;
    let mut rows: Vec<Row> = Vec::new();
    let mut other_rows = 0;
    for (sku, product) in &file.products {
        let Some(row) = row(&product.attributes, &region) else {
            other_rows += 1;
            continue;
        };
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
    Ok(Offer { code: file.offer_code, published, region, other_rows, rows })
}

/// The Region of most products. Some products have no Region or another Region.
fn region(file: &File) -> Result<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for region in file.products.values().filter_map(|product| product.attributes.get("regionCode")) {
        *counts.entry(region).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count).context("no product has a regionCode")?;
    Ok(most.0.to_owned())
}

/// The row that `attributes` describe, without its price. `None` if it is not a standard on-demand price of text
/// tokens in `region`.
fn row(attributes: &BTreeMap<String, String>, region: &str) -> Option<Row> {
    let get = |name: &str| attributes.get(name).map(String::as_str);
    let usagetype = get("usagetype")?;
    if get("regionCode").is_some_and(|other| other != region)
        || get("service_tier").is_some_and(|tier| tier != "standard")
    {
        return None;
    }
    // A usage type begins with the short name of the Region, such as USE1.
    let (short, rest) = usagetype.split_once('-')?;
    let (scope, component) = match rest.strip_prefix("MP:") {
        Some(dimension) => marketplace(dimension.strip_prefix(short)?.strip_prefix('_')?.strip_suffix("-Units")?)?,
        None => first_party(rest)?,
    };
    let product = get("model").or_else(|| get("servicename")?.strip_suffix(MARKETPLACE_SUFFIX))?.to_owned();
    let (unit, usd) = (String::new(), String::new());
    Some(Row { product, scope, component, usagetype: usagetype.to_owned(), unit, usd })
}

/// Scope and component of `USE1-MP:USE1_<dimension>-Units`. `dimension` may have the older or the newer spelling.
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

/// Scope and component of `USE1-<model>-<dimension>`. `-mantle-` rows belong to another endpoint and are ignored.
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

/// Writes the offer's prices into the files, for the Region of the offer. Returns messages about data that the
/// catalogue cannot hold.
///
/// The regional rate applies to a model's own id and to the profiles of the Region's groups. If the offer lacks a
/// rate, it is taken from the previous price of the same form.
///
/// # Errors
/// If a unit or an amount is unknown, or if the rates do not form a valid price.
pub fn take_over(files: &mut Files, offer: &Offer) -> Result<Vec<String>> {
    let groups: Vec<String> = files.groups_of(&offer.region).into_iter().map(str::to_owned).collect();
    let models: Vec<String> = files.entries().map(|entry| entry.model.clone()).collect();
    let mut used = Vec::new();
    for model in models {
        let profile_only = files.is_profile_only(&model);
        let entry = files.entry(&model)?;
        let Some(name) = entry.offer.as_ref().filter(|name| name.code == offer.code) else { continue };
        let told: Vec<&Row> = offer.rows.iter().filter(|row| row.product == name.product).collect();
        used.push(name.product.clone());
        let mut known = places(entry);
        let has_form =
            |form: &str| known.keys().any(|(own, _)| own == form) || entry.forms.iter().any(|own| own == form);
        let mut forms: Vec<(&str, &str)> = groups.iter().map(|group| (group.as_str(), "regional")).collect();
        forms.retain(|(group, _)| *group != "global");
        forms.extend([("bare", "regional"), ("global", "global")]);
        forms.retain(|(form, _)| has_form(form) && !(*form == "bare" && profile_only));
        for (form, scope) in forms {
            let rows: Vec<&&Row> = told.iter().filter(|row| row.scope == scope).collect();
            let place = (form.to_owned(), Some(offer.region.clone()));
            let base = known.get(&place).or_else(|| known.get(&(form.to_owned(), None))).cloned();
            if let Some(priced) = priced(offer, &rows, base).with_context(|| model.clone())? {
                known.insert(place, priced);
            }
        }
        entry.prices = rows(&known);
        if let Some(extract) = files.extracts.get_mut(AWS) {
            extract.extend(told.iter().map(|row| (row.usagetype.clone(), cited(offer, row))));
        }
    }
    let mut left_out = vec![format!("left out {} row(s) of {} that price other things", offer.other_rows, offer.code)];
    let mut unknown: Vec<&str> = offer.rows.iter().map(|row| row.product.as_str()).collect();
    unknown.retain(|product| !used.iter().any(|known| known == product));
    unknown.dedup();
    left_out.extend(unknown.into_iter().map(|product| format!("left out {product}: no entry has this `offer`")));
    Ok(left_out)
}

/// The price from the rows. `None` if the input or the output rate is absent.
fn priced(offer: &Offer, rows: &[&&Row], base: Option<Priced>) -> Result<Option<Priced>> {
    let has = |component| rows.iter().any(|row| row.component == component);
    if !(has("input") && has("output")) {
        return Ok(None);
    }
    let mut document = base.as_ref().map_or(Ok(json!({})), |base| serde_json::to_value(base.price))?;
    let before = document.clone();
    for row in rows {
        if let Value::Object(document) = &mut document {
            document.insert(row.component.to_owned(), row.per_million()?.to_string().into());
        }
    }
    let price: sentry_domain::Price = serde_json::from_value(document).context("no price can be made of its rows")?;
    let all_told = serde_json::to_value(price)?.as_object().is_some_and(|all| all.keys().all(|name| has(name)));
    let same = serde_json::from_value::<sentry_domain::Price>(before).is_ok_and(|before| before == price);
    let url = format!(
        "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/{}/current/{}/index.json",
        offer.code, offer.region
    );
    Ok(Some(Priced {
        price,
        source: AWS.to_owned(),
        rest: base.as_ref().filter(|_| !all_told).map(|base| base.rest.clone().unwrap_or_else(|| base.source.clone())),
        url: Some(url),
        read: offer.published.parse().context("publicationDate is no day")?,
        second: base.filter(|_| same).and_then(|base| base.second),
    }))
}

/// The row in the format of the extract.
fn cited(offer: &Offer, row: &Row) -> Value {
    json!({
        "offer": offer.code, "region": offer.region, "published": offer.published, "product": row.product, "scope": row.scope,
        "component": row.component, "unit": row.unit, "usd": row.usd,
    })
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
