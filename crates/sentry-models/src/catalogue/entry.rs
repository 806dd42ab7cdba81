//! The file's sections and entries as they are written, read so that an error names the entry and the field.

use std::collections::BTreeMap;

use sentry_contract::request::{Family, Parameters};
use sentry_domain::Price;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::error::InvalidEntry;
use super::pictures::PictureRule;

/// The file. Entries with a name of their own are read one by one.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct File {
    pub defaults: FileDefaults,
    /// The Region whose price list the prices are from.
    pub price_region: String,
    /// For each Region group of cross-Region profile ids, the Regions that its profiles can be called from.
    #[serde(default)]
    pub region_groups: BTreeMap<String, Vec<String>>,
    pub families: Vec<Value>,
    /// Patterns of the models whose prompts Bedrock's CountTokens counts.
    #[serde(default)]
    pub count_tokens: Vec<String>,
    /// What pictures take, where it is published.
    #[serde(default)]
    pub pictures: Vec<Value>,
    pub models: Vec<Value>,
    pub aliases: BTreeMap<String, Value>,
    /// Aliases and ids that meant a model once.
    #[serde(default)]
    pub retired: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileDefaults {
    pub max_tokens: u32,
}

/// The family of all ids that fit a pattern.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyEntry {
    pub pattern: String,
    pub family: Family,
}

/// What a picture takes with all models whose ids fit a pattern.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PicturesEntry {
    pub patterns: Vec<String>,
    pub rule: PictureRule,
    /// The page that the rule is from.
    pub source: String,
    /// The day on which the page was read.
    pub read: String,
}

/// Since when a name is retired, and what to use in its place.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetiredEntry {
    pub since: String,
    pub r#use: String,
}

/// A model; `S` is how the source of its price is told.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelEntry<S> {
    pub model_id: String,
    /// For what no pattern tells, such as an application inference profile.
    pub family: Option<Family>,
    #[serde(default)]
    pub aliases: Vec<String>,
    #[serde(default)]
    pub defaults: OwnDefaults,
    /// Tokens read and written, together.
    pub context_window: Option<u32>,
    /// Most tokens that it writes.
    pub output_limit: Option<u32>,
    /// What a picture takes, where no pattern tells.
    pub picture: Option<PictureRule>,
    pub price: Option<Price>,
    pub price_source: Option<S>,
    /// Other ids of the same model at the same price.
    #[serde(default)]
    pub priced_alike: Vec<String>,
    /// The only Regions that offer it under this id; empty where that is not known.
    #[serde(default)]
    pub regions: Vec<String>,
    /// The id of a cheaper model.
    pub fallback: Option<String>,
}

/// Where the price is in the AWS Price List.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PriceSource {
    /// The offer's code.
    pub offer: String,
    /// What the offer calls the model.
    pub product: String,
    /// `regional` or `global`.
    pub scope: PriceScope,
    /// The day of the list that the price is from; absent where it was never looked up.
    pub published: Option<String>,
}

/// Which of a product's two rates.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum PriceScope {
    /// For the model's own id and the profiles of a Region group.
    Regional,
    /// For `global.…`.
    Global,
}

/// Parameters that a request need not give, in an entry.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnDefaults {
    pub max_tokens: Option<u32>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u32>,
}

impl OwnDefaults {
    /// With `max_tokens` filled in.
    pub fn parameters(self, max_tokens: u32) -> Parameters {
        Parameters {
            max_tokens: Some(max_tokens),
            temperature: self.temperature,
            top_p: self.top_p,
            top_k: self.top_k,
            stop_sequences: Vec::new(),
        }
    }

    fn wrong(&self) -> Option<(&'static str, &'static str)> {
        let fraction = |value: Option<f64>| value.is_none_or(|value| (0.0..=1.0).contains(&value));
        match self {
            Self { max_tokens: Some(0), .. } => Some(("defaults.max_tokens", "0 allows no answer")),
            own if !fraction(own.temperature) => Some(("defaults.temperature", "must be from 0 to 1")),
            own if !fraction(own.top_p) => Some(("defaults.top_p", "must be from 0 to 1")),
            _ => None,
        }
    }
}

impl<S> ModelEntry<S> {
    /// Finds what no type can tell.
    pub fn check(&self) -> Result<(), InvalidEntry> {
        let wrong = |field: &str, problem: &str| Err(InvalidEntry::new(&self.model_id, field, problem));
        if let Some((field, problem)) = self.defaults.wrong() {
            return wrong(field, problem);
        }
        if self.output_limit == Some(0) {
            return wrong("outputLimit", "0 allows no answer");
        }
        if self.context_window.is_some_and(|window| window < self.output_limit.unwrap_or(1)) {
            return wrong("contextWindow", "is smaller than outputLimit, or 0");
        }
        if self.defaults.max_tokens > self.output_limit && self.output_limit.is_some() {
            return wrong("defaults.max_tokens", "is more than outputLimit");
        }
        if self.price.is_some_and(|price| price.discount_percent.is_some()) {
            return wrong(
                "price.discountPercent",
                "does not belong here: the stack's parameter DiscountPercent has it",
            );
        }
        if self.price.is_some() && self.price_source.is_none() {
            return wrong("priceSource", "is missing: where is the price from, and of which day?");
        }
        match self.regions.iter().find(|region| !is_region_pattern(region)) {
            Some(region) => wrong("regions", &format!("{region:?} is no Region, nor the beginning of one with a *")),
            None => Ok(()),
        }
    }
}

/// Whether `text` is a Region, or the beginning of one and a `*`.
pub fn is_region_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Whether `text` is a day such as `2026-08-31`.
pub fn is_day(text: &str) -> bool {
    text.len() == 10
        && text.bytes().enumerate().all(|(at, b)| if matches!(at, 4 | 7) { b == b'-' } else { b.is_ascii_digit() })
}

/// Reads `value`; what is wrong is told as a field of `entry`.
pub fn read<T: DeserializeOwned>(entry: &str, value: Value) -> Result<T, InvalidEntry> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner().to_string();
        // A field that is missing or unknown has no path of its own, but its name is in the problem.
        let field = match (path.as_str(), quoted(&problem)) {
            (".", Some(name)) => name,
            (path, Some(name)) if problem.starts_with("missing field") => format!("{path}.{name}"),
            _ => path,
        };
        InvalidEntry { entry: entry.to_owned(), field, problem }
    })
}

/// What stands between the first backticks of `text`.
fn quoted(text: &str) -> Option<String> {
    text.split('`').nth(1).map(str::to_owned)
}

/// The name of an entry of the list `section`: what it says under `key`, else its position.
pub fn name(section: &str, key: &str, at: usize, value: &Value) -> String {
    value.get(key).and_then(Value::as_str).map_or_else(|| format!("{section}[{at}]"), str::to_owned)
}

/// An item of the live additions that stands for an alias.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddedAlias {
    #[serde(rename = "entry")]
    pub _entry: IgnoredAny,
    pub model_id: String,
}
