//! An offer file of the AWS Price List, as `…/offers/v1.0/aws/<offer>/current/<region>/index.json` gives it.
//!
//! It has the prices of one Region: dollars a thousand tokens in `AmazonBedrock`, a million in `AmazonBedrockFoundationModels`.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::catalogue::{AWS, Files, Priced, places, rows};

/// What a marketplace offer adds to a model's name.
const MARKETPLACE_SUFFIX: &str = " (Amazon Bedrock Edition)";

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
    /// The Region of the prices.
    pub region: String,
    /// Rows for tokens of other kinds, tiers and endpoints.
    pub other_rows: usize,
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

/// Whether `text` is an offer file, by its fields.
pub fn is_offer(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Head {
        #[serde(rename = "offerCode")]
        _code: String,
    }
    serde_json::from_str::<Head>(text).is_ok()
}

/// Reads an offer file of one Region; rows of other tiers and kinds are left out and counted.
///
/// # Errors
/// If it is no offer file of one Region, or has two prices for the same thing; the error names the usage type.
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

/// The Region that most products are of: some are of no Region, or of all.
fn region(file: &File) -> Result<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for region in file.products.values().filter_map(|product| product.attributes.get("regionCode")) {
        *counts.entry(region).or_default() += 1;
    }
    let most = counts.into_iter().max_by_key(|(_, count)| *count).context("no product has a regionCode")?;
    Ok(most.0.to_owned())
}

/// The row that `attributes` describe, without its price; `None` for what is no standard on-demand price of text tokens in `region`.
fn row(attributes: &BTreeMap<String, String>, region: &str) -> Option<Row> {
    let get = |name: &str| attributes.get(name).map(String::as_str);
    let usagetype = get("usagetype")?;
    if get("regionCode").is_some_and(|other| other != region)
        || get("service_tier").is_some_and(|tier| tier != "standard")
    {
        return None;
    }
    // A usage type begins with the Region's short name, such as USE1.
    let (short, rest) = usagetype.split_once('-')?;
    let (scope, component) = match rest.strip_prefix("MP:") {
        Some(dimension) => marketplace(dimension.strip_prefix(short)?.strip_prefix('_')?.strip_suffix("-Units")?)?,
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

/// Puts the offer's prices into the files, for the Region of the offer. Answers what has no place in them.
///
/// A model's own id and the profiles of the Region's groups have the regional rate. What the offer does not tell of a price is taken from
/// the price that the form has otherwise.
///
/// # Errors
/// If a unit or an amount is not known, or a price cannot be one.
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

/// The price that the rows tell; `None` without input and output.
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

/// The row, as the extract keeps it.
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
