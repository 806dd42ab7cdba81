//! Items of the catalogue table, and a reader whose errors name the entry and the field.

use chrono::NaiveDate;
use sentry_contract::request::{Family, Parameters};
use sentry_domain::Price;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;

use super::error::InvalidEntry;
use super::file::Entry;
use super::pictures::PictureRule;
use super::takes::TakesPatch;
use crate::ids;

/// An item that describes a model. A missing field keeps the catalogue's value.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ModelItem {
    #[serde(rename = "entry")]
    pub id: String,
    /// Required if no pattern of the catalogue matches the id, as for a provisioned model.
    pub family: Option<Family>,
    /// Accepted because older items have it. Converse serves every model, so the value has no effect.
    #[serde(rename = "transport", default)]
    pub _transport: Option<OnlyConverse>,
    #[serde(default)]
    pub defaults: OwnDefaults,
    /// Limit for the sum of the tokens read and written.
    pub context_window: Option<u32>,
    /// Upper limit of the tokens written.
    pub output_limit: Option<u32>,
    pub picture: Option<PictureRule>,
    pub price: Option<Price>,
    /// The source of the price, for administrators. The sentry does not use it.
    #[serde(rename = "priceSource", default)]
    pub _price_source: Option<String>,
    /// The only Regions that offer the model under this id. Empty if they are not known.
    #[serde(default)]
    pub regions: Vec<String>,
    /// The id of a cheaper model.
    pub fallback: Option<String>,
    #[serde(default)]
    pub takes: TakesPatch,
    /// The first day on which the model cannot be called.
    pub ends: Option<NaiveDate>,
    /// The model to use after that day.
    pub successor: Option<String>,
}

/// The only transport of a model.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnlyConverse {
    Converse,
}

/// The item's defaults for parameters that a request does not set.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OwnDefaults {
    pub max_tokens: Option<u32>,
    pub temperature: Option<f64>,
    pub top_p: Option<f64>,
    pub top_k: Option<u32>,
}

impl OwnDefaults {
    /// Returns the defaults, with `max_tokens` filled in.
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

impl ModelItem {
    /// Checks the values that the types do not constrain.
    pub fn check(&self) -> Result<(), InvalidEntry> {
        let wrong = |field: &str, problem: &str| Err(InvalidEntry::new(&self.id, field, problem));
        if let Some((field, problem)) = self.defaults.wrong() {
            return wrong(field, problem);
        }
        if let Some((field, problem)) = wrong_limits(self.context_window, self.output_limit) {
            return wrong(field, problem);
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
        if self.fallback.as_ref() == Some(&self.id) {
            return wrong("fallback", "must be the id of another model");
        }
        match self.regions.iter().find(|region| !is_region_pattern(region)) {
            Some(region) => wrong("regions", &format!("{region:?} is no Region, nor the beginning of one with a *")),
            None => Ok(()),
        }
    }
}

impl Entry {
    /// Checks the values that the types do not constrain. References to other entries are checked later.
    pub(super) fn check(&self) -> Result<(), InvalidEntry> {
        let wrong = |field: &str, problem: &str| Err(InvalidEntry::new(&self.model, field, problem));
        if let Some((field, problem)) = wrong_limits(self.context_window, self.output_limit) {
            return wrong(field, problem);
        }
        if self.max_tokens == Some(0) || self.max_tokens > self.output_limit && self.output_limit.is_some() {
            return wrong("maxTokens", "is 0, or more than outputLimit");
        }
        if self.ends.is_some() && self.successor.is_none() {
            return wrong("successor", "is missing: what is to be used after the end?");
        }
        if let Some(form) = self.forms.iter().find(|form| !is_form(form)) {
            return wrong("forms", &format!("{form:?} is neither bare nor a Region group"));
        }
        for row in &self.prices {
            if row.r#for.is_empty() || row.r#for.iter().any(|form| !is_form(form)) {
                return wrong("prices.for", "must be bare or Region groups");
            }
            if let Some(region) = row.regions.iter().find(|region| !is_region_pattern(region)) {
                return wrong("prices.regions", &format!("{region:?} is no Region"));
            }
            if !["aws", "litellm"].contains(&row.source.as_str()) {
                return wrong("prices.source", "must be aws or litellm");
            }
            if row.price.discount_percent.is_some() {
                return wrong("prices.price.discountPercent", "does not belong here: prices are the list's");
            }
        }
        Ok(())
    }
}

fn is_form(text: &str) -> bool {
    text == ids::BARE || ids::REGION_GROUPS.contains(&text)
}

fn wrong_limits(context_window: Option<u32>, output_limit: Option<u32>) -> Option<(&'static str, &'static str)> {
    if output_limit == Some(0) {
        return Some(("outputLimit", "0 allows no answer"));
    }
    let too_small = context_window.is_some_and(|window| window < output_limit.unwrap_or(1));
    too_small.then_some(("contextWindow", "is smaller than outputLimit, or 0"))
}

/// `true` if `text` is a Region, or a prefix of a Region followed by `*`.
pub fn is_region_pattern(text: &str) -> bool {
    let name = text.strip_suffix('*').unwrap_or(text);
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

/// Deserializes `value`. An error names `entry` and the field.
pub fn read<T: DeserializeOwned>(entry: &str, value: Value) -> Result<T, InvalidEntry> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let problem = error.into_inner().to_string();
        // A missing or unknown field has no path of its own, but the message contains its name.
        let field = match (path.as_str(), quoted(&problem)) {
            (".", Some(name)) => name,
            (path, Some(name)) if problem.starts_with("missing field") => format!("{path}.{name}"),
            _ => path,
        };
        InvalidEntry { entry: entry.to_owned(), field, problem }
    })
}

/// The text between the first pair of backticks.
fn quoted(text: &str) -> Option<String> {
    text.split('`').nth(1).map(str::to_owned)
}

/// An item that stands for an alias.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AddedAlias {
    #[serde(rename = "entry")]
    pub _entry: IgnoredAny,
    pub model_id: String,
}
