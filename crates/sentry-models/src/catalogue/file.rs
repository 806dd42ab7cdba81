//! The catalogue's files as they are written. `common.json` has what holds for all models; each provider has a file of its own.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sentry_contract::request::Family;
use sentry_domain::Price;
use serde::{Deserialize, Serialize};

use super::pictures::PictureRule;
use super::takes::TakesPatch;

/// `common.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Common {
    /// What holds where nothing else is said.
    pub defaults: Defaults,
    /// For each Region group of cross-Region profile ids, the Regions that its profiles can be called from: names, or their beginnings
    /// and a `*`.
    pub region_groups: BTreeMap<String, Vec<String>>,
    /// The family of an id is that of the first pattern that fits.
    pub families: Vec<FamilyEntry>,
    /// The models whose prompts Bedrock's CountTokens counts.
    #[serde(default)]
    pub count_tokens: Vec<Sourced>,
    /// How many tokens a picture takes, where it is published.
    #[serde(default)]
    pub pictures: Vec<PicturesEntry>,
    /// Names for any alias, id or ARN.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
    /// Aliases that lead on to the successor once their model has ended.
    #[serde(default)]
    pub lasting: Vec<String>,
    /// Ids that data sets have and that no entry is made of.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// Other spellings of model ids in data sets, with the right one.
    #[serde(default)]
    pub spellings: BTreeMap<String, String>,
}

/// Default parameters.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Defaults {
    /// Most tokens to write.
    pub max_tokens: u32,
    /// Most tokens to write for a model that thinks: what it thinks counts.
    pub thinking_max_tokens: u32,
}

/// The family of all ids that fit a pattern.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyEntry {
    /// An id, or the beginning of ids and a `*`.
    pub pattern: String,
    /// The family.
    pub family: Family,
}

/// A fact about the models that fit one of the patterns.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sourced {
    /// Patterns of ids without a Region group.
    pub models: Vec<String>,
    /// Where the fact is from.
    pub source: String,
}

/// What a picture takes with all models whose ids fit a pattern.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PicturesEntry {
    /// Patterns of ids without a Region group.
    pub patterns: Vec<String>,
    /// The rule.
    pub rule: PictureRule,
    /// The page that the rule is from.
    pub source: String,
    /// The day on which the page was read.
    pub read: NaiveDate,
}

/// Ids of a data set that no entry is made of.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Keys of the data set, or their beginnings and a `*`.
    pub keys: Vec<String>,
    /// Why.
    pub why: String,
}

/// A provider's file; `M` is how its entries are kept.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderFile<M> {
    /// What the ids of its models begin with, without the point.
    pub provider: String,
    /// What its models take, in layers: a later one changes an earlier one, and the first one changes what the entry says.
    #[serde(default)]
    pub takes: Vec<TakesRule>,
    /// Models that cannot be called by their own id in commercial Regions, only through an inference profile.
    #[serde(default)]
    pub profile_only: Vec<Sourced>,
    /// The models.
    pub models: Vec<M>,
}

/// What the models that fit one of the patterns take.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakesRule {
    /// Patterns of ids without a Region group.
    pub models: Vec<String>,
    /// What they take.
    pub takes: TakesPatch,
    /// Where that is from.
    pub source: String,
}

/// A foundation model.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// Its id, without a Region group.
    pub model: String,
    /// Names that clients have for it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Tokens read and written, together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u32>,
    /// Most tokens that it writes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_limit: Option<u32>,
    /// Most tokens to write where a request does not say, if it is not the common default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// What it takes, as far as a data set says it; the rules of the provider's file win.
    #[serde(default, skip_serializing_if = "TakesPatch::is_empty")]
    pub takes: TakesPatch,
    /// The first day on which it cannot be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<NaiveDate>,
    /// The model to use after that: an alias, or the id of another entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// A cheaper model that can stand in for it: an alias, or the id of another entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// Where the AWS Price List has its price.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<OfferName>,
    /// Forms that it can be called in though their price is not known: `bare`, or a Region group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forms: Vec<String>,
    /// Fields that no import may change, with the source of each.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<String, String>,
    /// What it costs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<PriceRow>,
}

/// What the AWS Price List calls a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferName {
    /// The offer's code.
    pub code: String,
    /// The model's name in it.
    pub product: String,
}

/// What a model costs in some of its forms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceRow {
    /// `bare`, or Region groups.
    pub r#for: Vec<String>,
    /// The only Regions that it holds in; without them it holds in every Region that the forms can be called from.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// Dollars per million tokens.
    pub price: Price,
    /// `aws`, the AWS Price List, or `litellm`, LiteLLM's model map.
    pub source: String,
    /// For a row of `aws` that does not tell every kind of token, the source of the other rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<String>,
    /// The page that the source itself names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The day on which the source was read, or that of the price list.
    pub read: NaiveDate,
    /// Whether genai-prices has the same rates for input and output: `agrees`, or `differs: INPUT/OUTPUT` with its own rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<String>,
}

/// Whether `id` is `pattern`, whose last character may be a `*` for any rest that is not empty.
#[must_use]
pub fn fits(pattern: &str, id: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => id.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
        None => pattern == id,
    }
}

impl Sourced {
    /// Whether `model` fits one of the patterns.
    #[must_use]
    pub fn fits(&self, model: &str) -> bool {
        self.models.iter().any(|pattern| fits(pattern, model))
    }
}
