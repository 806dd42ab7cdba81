//! An offer file of the AWS Price List, from `…/offers/v1.0/aws/<offer>/current/<region>/index.json`.
//!
//! It has the prices of one Region. They are in dollars per thousand tokens in `AmazonBedrock`, and per million
//! tokens in `AmazonBedrockFoundationModels`.

use std::collections::BTreeMap;
use std::fmt;

use anyhow::{Context, Result, bail};
use rust_decimal::Decimal;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::catalogue::{AWS, Files, Priced, places, rows};
use super::text;

/// Suffix of a model's name in a marketplace offer.
const MARKETPLACE_SUFFIX: &str = " (Amazon Bedrock Edition)";

/// The fields of an offer file that are read. A real file has more. Products, terms and price dimensions are parsed
/// one by one, so that an error can name the line.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct File<'t> {
    offer_code: String,
    publication_date: String,
    #[serde(borrow)]
    products: BTreeMap<String, &'t RawValue>,
    #[serde(borrow)]
    terms: Terms<'t>,
}

#[derive(Deserialize)]
struct Product {
    attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Terms<'t> {
    #[serde(rename = "OnDemand", default, borrow)]
    on_demand: BTreeMap<String, BTreeMap<String, &'t RawValue>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Term<'t> {
    #[serde(borrow)]
    price_dimensions: BTreeMap<String, &'t RawValue>,
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
    /// Usage type. In a marketplace offer, several products have the same.
    pub usagetype: String,
    /// The file and the line of the price, such as `index.json:120`.
    pub at: String,
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
            other => bail!("{self}: {other:?} is no unit of tokens"),
        };
        let usd: Decimal = self.usd.parse().with_context(|| format!("{self}: {:?} is no price", self.usd))?;
        Ok((usd * Decimal::from(factor)).normalize())
    }
}

/// The place of the row, for error messages: file, line and usage type.
impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.at, self.usagetype)
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
/// If `content` is not an offer file, if a row is invalid, or if it has two different prices for the same product and
/// component. The error of a row names the file and the line.
pub fn read(name: &str, content: &str) -> Result<Offer> {
    let file: File<'_> =
        serde_json::from_str(content).with_context(|| format!("{name}: not an offer file of the AWS Price List"))?;
    let lines = text::Lines::of(content);
    let at = |part: &RawValue| format!("{name}:{}", lines.line(part.get()));
    let mut products = Vec::new();
    for (sku, product) in &file.products {
        let Product { attributes } = serde_json::from_str(product.get()).with_context(|| at(product))?;
        products.push((sku, attributes));
    }
    let region = region(products.iter().map(|(_, attributes)| attributes)).with_context(|| name.to_owned())?;
    let mut rows: Vec<Row> = Vec::new();
    let mut other_rows = 0;
    for (sku, attributes) in products {
        let Some(row) = row(&attributes, &region) else {
            other_rows += 1;
            continue;
        };
        let mut dimensions: Vec<&RawValue> = Vec::new();
        for term in file.terms.on_demand.get(sku).into_iter().flat_map(BTreeMap::values) {
            let term: Term<'_> = serde_json::from_str(term.get()).with_context(|| at(term))?;
            dimensions.extend(term.price_dimensions.into_values());
        }
        for dimension in dimensions {
            let at = at(dimension);
            let Dimension { unit, price_per_unit } =
                serde_json::from_str(dimension.get()).with_context(|| format!("{at}: {}", row.usagetype))?;
            let Some(usd) = price_per_unit.get("USD").cloned() else { continue };
            let row = Row { at, unit, usd, ..row.clone() };
            let same = |other: &&Row| {
                (&other.product, other.scope, other.component) == (&row.product, row.scope, row.component)
            };
            match rows.iter().find(same) {
                Some(other) if other.per_million()? != row.per_million()? => {
                    bail!("{other}: {} has another price for {} in {row}", row.product, row.component)
                }
                Some(_) => {}
                None => rows.push(row),
            }
        }
    }
    rows.sort_by(|a, b| (&a.product, a.scope, a.component).cmp(&(&b.product, b.scope, b.component)));
    let published = file.publication_date.get(..10).with_context(|| format!("{name}: no publicationDate"))?.to_owned();
    Ok(Offer { code: file.offer_code, published, region, other_rows, rows })
}

/// The Region of most products, from their attributes. Some products have no Region or another Region.
fn region<'p>(products: impl Iterator<Item = &'p BTreeMap<String, String>>) -> Result<String> {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for region in products.filter_map(|attributes| attributes.get("regionCode")) {
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
    let (at, unit, usd) = (String::new(), String::new(), String::new());
    Some(Row { product, scope, component, usagetype: usagetype.to_owned(), at, unit, usd })
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
            // An earlier price of the offer is no base: its rest may have changed in the other source since.
            let own = known.get(&place).filter(|priced| priced.source != AWS);
            let general = || known.get(&(form.to_owned(), None));
            let before = known.get(&place).or_else(general);
            if let Some(priced) = priced(offer, &rows, own.or_else(general).or(before), before)? {
                known.insert(place, priced);
            }
        }
        entry.prices = rows(&known);
        if let Some(extract) = files.extracts.get_mut(AWS) {
            extract.extend(told.iter().map(|row| cited(offer, row)));
        }
    }
    let mut left_out = vec![format!("left out {} row(s) of {} that price other things", offer.other_rows, offer.code)];
    let mut unknown: Vec<&str> = offer.rows.iter().map(|row| row.product.as_str()).collect();
    unknown.retain(|product| !used.iter().any(|known| known == product));
    unknown.dedup();
    left_out.extend(unknown.into_iter().map(|product| format!("left out {product}: no entry has this `offer`")));
    Ok(left_out)
}

/// The price from the rows, with the other rates of `base`. `None` if the input or the output rate is absent. If the
/// price is that of `before`, the verdict of the second source stays.
fn priced(offer: &Offer, rows: &[&&Row], base: Option<&Priced>, before: Option<&Priced>) -> Result<Option<Priced>> {
    let has = |component| rows.iter().any(|row| row.component == component);
    if !(has("input") && has("output")) {
        return Ok(None);
    }
    let mut document = base.map_or(Ok(json!({})), |base| serde_json::to_value(base.price))?;
    for row in rows {
        if let Value::Object(document) = &mut document {
            document.insert(row.component.to_owned(), row.per_million()?.to_string().into());
        }
    }
    let price: sentry_domain::Price = serde_json::from_value(document).with_context(|| {
        let rows: Vec<String> = rows.iter().map(|row| row.at.clone()).collect();
        format!("{}: no price can be made of these rows", rows.join(", "))
    })?;
    let all_told = serde_json::to_value(price)?.as_object().is_some_and(|all| all.keys().all(|name| has(name)));
    let url = format!(
        "https://pricing.us-east-1.amazonaws.com/offers/v1.0/aws/{}/current/{}/index.json",
        offer.code, offer.region
    );
    Ok(Some(Priced {
        price,
        source: AWS.to_owned(),
        rest: base.filter(|_| !all_told).map(|base| base.rest.clone().unwrap_or_else(|| base.source.clone())),
        url: Some(url),
        read: offer.published.parse().context("publicationDate is no day")?,
        second: before.filter(|before| before.price == price).and_then(|before| before.second.clone()),
    }))
}

/// The row in the extract, with its key. A usage type would not do as the key, because several products share it.
fn cited(offer: &Offer, row: &Row) -> (String, Value) {
    let key = [offer.region.as_str(), row.product.as_str(), row.scope, row.component].join(" / ");
    let cited = json!({
        "offer": offer.code, "region": offer.region, "published": offer.published, "product": row.product, "scope": row.scope,
        "component": row.component, "usagetype": row.usagetype, "unit": row.unit, "usd": row.usd,
    });
    (key, cited)
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
