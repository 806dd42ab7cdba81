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

use super::catalogue::{AWS, Files, Priced, components, places, rows};
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

/// An on-demand price for one kind of token of one model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Name of the model in the offer.
    pub product: String,
    /// `regional` or `global`, the kind of endpoint.
    pub scope: &'static str,
    /// `flex` or `priority`. Absent for the standard tier.
    pub tier: Option<&'static str>,
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
    /// Number of rows for other kinds of tokens, tiers, and endpoints, and of rows of a tier without both input and
    /// output.
    pub other_rows: usize,
    /// Sorted by product, scope, tier, and component.
    pub rows: Vec<Row>,
}

impl Row {
    /// Identifies the price of the row in an offer.
    fn key(&self) -> (&str, &str, Option<&str>, &str) {
        (&self.product, self.scope, self.tier, self.component)
    }

    /// The path of the row's rate in a price, such as `input` or `tiers.flex.input`.
    fn path(&self) -> String {
        self.tier.map_or_else(|| self.component.to_owned(), |tier| format!("tiers.{tier}.{}", self.component))
    }

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

/// Parses an offer file of one Region. Rows of other kinds are only counted.
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
            match rows.iter().find(|other| other.key() == row.key()) {
                Some(other) if other.per_million()? != row.per_million()? => {
                    bail!("{other}: {} has another price for {} in {row}", row.product, row.component)
                }
                Some(_) => {}
                None => rows.push(row),
            }
        }
    }
    rows.sort_by(|a, b| a.key().cmp(&b.key()));
    let all = rows.clone();
    rows.retain(|row| {
        let has = |component| all.iter().any(|other| other.key() == Row { component, ..row.clone() }.key());
        row.tier.is_none() || has("input") && has("output")
    });
    other_rows += all.len() - rows.len();
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

/// The row that `attributes` describe, without its price. `None` if it is not an on-demand price of text tokens in
/// `region`.
fn row(attributes: &BTreeMap<String, String>, region: &str) -> Option<Row> {
    let get = |name: &str| attributes.get(name).map(String::as_str);
    let usagetype = get("usagetype")?;
    if get("regionCode").is_some_and(|other| other != region) {
        return None;
    }
    // A usage type begins with the short name of the Region, such as USE1.
    let (short, rest) = usagetype.split_once('-')?;
    let (scope, tier, component) = match rest.strip_prefix("MP:") {
        Some(dimension) => marketplace(dimension.strip_prefix(short)?.strip_prefix('_')?.strip_suffix("-Units")?)?,
        None => first_party(rest)?,
    };
    if get("service_tier").is_some_and(|other| other != tier.unwrap_or("standard")) {
        return None;
    }
    let product = get("model").or_else(|| get("servicename")?.strip_suffix(MARKETPLACE_SUFFIX))?.to_owned();
    let (at, unit, usd) = (String::new(), String::new(), String::new());
    Some(Row { product, scope, tier, component, usagetype: usagetype.to_owned(), at, unit, usd })
}

/// Scope, tier and component of a usage type.
type Dimensions = (&'static str, Option<&'static str>, &'static str);

/// The dimensions of `USE1-MP:USE1_<dimension>-Units`. `dimension` may have the older or the newer spelling. Only the
/// newer one names the tier.
fn marketplace(dimension: &str) -> Option<Dimensions> {
    let tiers = [("_standard", None), ("_flex", Some("flex")), ("_priority", Some("priority"))];
    let newer = tiers.iter().find_map(|(end, tier)| Some((dimension.strip_suffix(end)?, *tier)));
    let (name, tier) = newer.unwrap_or((dimension, None));
    match name.strip_suffix(if newer.is_some() { "_global" } else { "_Global" }) {
        Some(name) => Some(("global", tier, marketplace_component(name)?)),
        None => Some(("regional", tier, marketplace_component(name)?)),
    }
}

/// The price component of a dimension without its scope and tier, in the older or the newer spelling.
fn marketplace_component(name: &str) -> Option<&'static str> {
    Some(match name {
        "InputTokenCount" | "input_tokens" => "input",
        "OutputTokenCount" | "output_tokens" => "output",
        "CacheReadInputTokenCount" | "cache_read_tokens" => "cacheRead",
        "CacheWriteInputTokenCount" | "cache_write_tokens" | "cache_write_tokens_5m" => "cacheWrite5m",
        "CacheWrite1hInputTokenCount" | "cache_write_tokens_1h" => "cacheWrite1h",
        _ => return None,
    })
}

/// The dimensions of `USE1-<model>-<dimension>`. `-mantle-` rows belong to another endpoint and are ignored.
fn first_party(rest: &str) -> Option<Dimensions> {
    let (rest, scope) = match rest.strip_suffix("-cross-region-global") {
        Some(rest) => (rest, "global"),
        None => (rest, "regional"),
    };
    let tiers = [("-flex", "flex"), ("-priority", "priority")];
    let of_tier = tiers.iter().find_map(|(end, tier)| Some((rest.strip_suffix(end)?, Some(*tier))));
    let (rest, tier) = of_tier.unwrap_or((rest, None));
    let dimensions = [
        ("-cache-read-input-token-count", "cacheRead"),
        ("-cache-write-input-token-count", "cacheWrite5m"),
        ("-input-tokens", "input"),
        ("-output-tokens", "output"),
    ];
    let (model, component) =
        dimensions.iter().find_map(|(end, component)| Some((rest.strip_suffix(end)?, *component)))?;
    (!model.ends_with("-mantle")).then_some((scope, tier, component))
}

/// Writes the offer's prices into the files, for the Region of the offer. Returns messages about data that the
/// catalogue cannot hold.
///
/// The regional rate applies to a model's own id and to the profiles of the Region's groups. If the offer lacks a
/// rate, it is taken from the price of the same form in the other source. Prices of an earlier offer for the Region go.
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
        let Some(name) = entry.offer.clone().filter(|name| name.code == offer.code) else { continue };
        let told: Vec<&Row> = offer.rows.iter().filter(|row| row.product == name.product).collect();
        used.push(name.product.clone());
        let before = places(entry);
        let has_form =
            |form: &str| before.keys().any(|(own, _)| own == form) || entry.forms.iter().any(|own| own == form);
        // Earlier prices of the offer go. They are no base of the new ones, because their rest may be old.
        let mut known = before.clone();
        known.retain(|(_, region), priced| priced.source != AWS || region.as_ref() != Some(&offer.region));
        let mut forms: Vec<(&str, &str)> = groups.iter().map(|group| (group.as_str(), "regional")).collect();
        forms.retain(|(group, _)| *group != "global");
        forms.extend([("bare", "regional"), ("global", "global")]);
        forms.retain(|(form, _)| has_form(form) && !(*form == "bare" && profile_only));
        for (form, scope) in forms {
            let rows: Vec<&&Row> = told.iter().filter(|row| row.scope == scope).collect();
            let place = (form.to_owned(), Some(offer.region.clone()));
            let general = (form.to_owned(), None);
            let base = known.get(&place).or_else(|| known.get(&general));
            let earlier = before.get(&place).or_else(|| before.get(&general));
            if let Some(priced) = priced(offer, &rows, base, earlier)? {
                known.insert(place, priced);
            }
        }
        entry.prices = rows(&known);
        if let Some(extract) = files.extracts.get_mut(AWS) {
            extract.retain(|_, row| {
                let is = |field: &str, value: &str| row.get(field).and_then(Value::as_str) == Some(value);
                !(is("offer", &offer.code) && is("region", &offer.region) && is("product", &name.product))
            });
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
/// price is that of `earlier`, the verdict of the second source stays.
fn priced(offer: &Offer, rows: &[&&Row], base: Option<&Priced>, earlier: Option<&Priced>) -> Result<Option<Priced>> {
    let has = |path: &str| rows.iter().any(|row| row.path() == path);
    if !(has("input") && has("output")) {
        return Ok(None);
    }
    let mut document = base.map_or(Ok(json!({})), |base| serde_json::to_value(base.price))?;
    for row in rows {
        let rates = match row.tier {
            None => &mut document,
            Some(tier) => member(member(&mut document, "tiers")?, tier)?,
        };
        *member(rates, row.component)? = row.per_million()?.to_string().into();
    }
    let price: sentry_domain::Price = serde_json::from_value(document).with_context(|| {
        let rows: Vec<String> = rows.iter().map(|row| row.at.clone()).collect();
        format!("{}: no price can be made of these rows", rows.join(", "))
    })?;
    let all_told = components(&price).keys().all(|path| has(path));
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
        second: earlier.filter(|earlier| earlier.price == price).and_then(|earlier| earlier.second.clone()),
    }))
}

/// The member `name` of an object. It is created as an empty object if it is absent.
fn member<'v>(object: &'v mut Value, name: &str) -> Result<&'v mut Value> {
    let object = object.as_object_mut().with_context(|| format!("{name}: no object"))?;
    Ok(object.entry(name).or_insert_with(|| json!({})))
}

/// The row in the extract, with its key. A usage type would not do as the key, because several products share it.
fn cited(offer: &Offer, row: &Row) -> (String, Value) {
    let key = [offer.region.as_str(), row.product.as_str(), row.scope, &row.path()].join(" / ");
    let cited = json!({
        "offer": offer.code, "region": offer.region, "published": offer.published, "product": row.product, "scope": row.scope,
        "component": row.path(), "usagetype": row.usagetype, "unit": row.unit, "usd": row.usd,
    });
    (key, cited)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_on_demand_prices_of_text_tokens_are_kept() {
        for other in [
            "NovaLite-input-tokens-batch",
            "Nova2.0Lite-input-tokens-cross-region-global-batch",
            "NovaLite-input-tokens-custom-model",
            "NovaPro-input-tokens-latency-optimized",
            "openai.gpt-oss-120b-mantle-input-tokens",
            "openai.gpt-oss-120b-mantle-input-tokens-flex",
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
        assert_eq!(marketplace("input_tokens_global_standard"), Some(("global", None, "input")));
        assert_eq!(marketplace("output_tokens_priority"), Some(("regional", Some("priority"), "output")));
        assert_eq!(marketplace("CacheWrite1hInputTokenCount_Global"), Some(("global", None, "cacheWrite1h")));
        assert_eq!(first_party("Claude4.6Sonnet-output-tokens-cross-region-global"), Some(("global", None, "output")));
        assert_eq!(first_party("Qwen3-32B-output-tokens-flex"), Some(("regional", Some("flex"), "output")));
        assert_eq!(
            first_party("Nova2.0Lite-input-tokens-priority-cross-region-global"),
            Some(("global", Some("priority"), "input"))
        );
    }
}
