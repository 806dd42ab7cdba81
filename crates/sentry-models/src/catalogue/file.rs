//! The format of the catalogue's files. `common.json` applies to all models. Each provider has its own file.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sentry_contract::request::Family;
use sentry_domain::Price;
use serde::{Deserialize, Serialize};

use super::pictures::PictureRule;
use super::takes::TakesPatch;

/// The content of `common.json`, which applies to all models.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Common {
    /// Defaults for models whose entry sets no value.
    pub defaults: Defaults,
    /// For each Region group of cross-Region profile ids, the Regions that can call its profiles. Each is a name, or a
    /// prefix followed by `*`.
    pub region_groups: BTreeMap<String, Vec<String>>,
    /// Families by pattern. The first pattern that matches an id decides.
    pub families: Vec<FamilyEntry>,
    /// The models whose prompts Bedrock's `CountTokens` counts.
    #[serde(default)]
    pub count_tokens: Vec<Sourced>,
    /// The models whose cache writes of five minutes cost their input rate if no price row has a rate for them.
    #[serde(default)]
    pub cache_write_at_input: Vec<Sourced>,
    /// Rules for the tokens of a picture, for models with a published rule.
    #[serde(default)]
    pub pictures: Vec<PicturesEntry>,
    /// Aliases that stand for any other alias, id or ARN.
    #[serde(default)]
    pub aliases: BTreeMap<String, String>,
    /// Aliases that move to the successor after their model has ended.
    #[serde(default)]
    pub lasting: Vec<String>,
    /// Ids in the data sets that get no entry.
    #[serde(default)]
    pub left_out: Vec<LeftOut>,
    /// Misspelled model ids of the data sets, each with the correct id.
    #[serde(default)]
    pub spellings: BTreeMap<String, String>,
}

/// Default parameters for models whose entry has none.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Defaults {
    /// Default of `max_tokens`, in tokens.
    pub max_tokens: u32,
    /// Default of `max_tokens` for a model that thinks, in tokens. Thinking uses these tokens too.
    pub thinking_max_tokens: u32,
}

/// The family of all ids that match a pattern.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FamilyEntry {
    /// An id, or a prefix of ids followed by `*`.
    pub pattern: String,
    /// The family of the matching ids.
    pub family: Family,
}

/// A fact that is true for all models that match one of the patterns.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sourced {
    /// Patterns of ids without a Region group.
    pub models: Vec<String>,
    /// The source of the fact.
    pub source: String,
}

/// The rule for pictures of all models whose ids match a pattern.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PicturesEntry {
    /// Patterns of ids without a Region group.
    pub patterns: Vec<String>,
    /// The vendor's rule for one picture.
    pub rule: PictureRule,
    /// The page that publishes the rule.
    pub source: String,
    /// The day on which the page was read.
    pub read: NaiveDate,
}

/// Ids of a data set that get no entry.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LeftOut {
    /// Keys of the data set, or prefixes of keys followed by `*`.
    pub keys: Vec<String>,
    /// The reason for leaving them out.
    pub why: String,
}

/// The file of one provider. `M` is the type of its entries.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProviderFile<M> {
    /// Prefix of the ids of the provider's models, without the dot.
    pub provider: String,
    /// Rules for the models' capabilities, in layers. The first rule overrides the entry. A later rule overrides an
    /// earlier one.
    #[serde(default)]
    pub takes: Vec<TakesRule>,
    /// Models that have no on-demand throughput under their own id in commercial Regions. They need an inference
    /// profile.
    #[serde(default)]
    pub profile_only: Vec<Sourced>,
    /// The entries of the provider's models.
    pub models: Vec<M>,
}

/// A rule for the capabilities of all models that match one of the patterns.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TakesRule {
    /// Patterns of ids without a Region group.
    pub models: Vec<String>,
    /// The capabilities that the rule sets.
    pub takes: TakesPatch,
    /// The source of the rule.
    pub source: String,
}

/// The entry of one foundation model.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// The model id, without a Region group.
    pub model: String,
    /// Names that clients can use for the model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub aliases: Vec<String>,
    /// Limit for the sum of the tokens read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub context_window: Option<u32>,
    /// Upper limit of the tokens written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_limit: Option<u32>,
    /// Default of `max_tokens`, in tokens. If it is absent, the common default applies.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// The capabilities, as far as a data set has them. The rules of the provider's file override them.
    #[serde(default, skip_serializing_if = "TakesPatch::is_empty")]
    pub takes: TakesPatch,
    /// The first day on which the model cannot be called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends: Option<NaiveDate>,
    /// The model to use after that day: an alias, or the id of another entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub successor: Option<String>,
    /// A cheaper model that can answer instead: an alias, or the id of another entry.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fallback: Option<String>,
    /// The model's name in the AWS Price List.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub offer: Option<OfferName>,
    /// Forms in which the model can be called although their price is unknown: `bare`, or a Region group.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub forms: Vec<String>,
    /// Fields that an import must not change, each with its source.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub kept: BTreeMap<String, String>,
    /// The prices of the model's forms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub prices: Vec<PriceRow>,
}

/// The name of a model in the AWS Price List.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OfferName {
    /// The code of the offer.
    pub code: String,
    /// The model's name in the offer.
    pub product: String,
}

/// The price of a model in some of its forms.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PriceRow {
    /// The forms: `bare`, or Region groups.
    pub r#for: Vec<String>,
    /// The only Regions in which the price applies. If empty, it applies in every Region that can call the forms.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<String>,
    /// The rates in dollars per million tokens.
    pub price: Price,
    /// `aws` (the AWS Price List) or `litellm` (LiteLLM's model map).
    pub source: String,
    /// The source of the rates that are missing in a row of `aws`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<String>,
    /// The page that the source itself cites.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// The day on which the source was read, or the date of the price list.
    pub read: NaiveDate,
    /// The comparison with the input and output rates of genai-prices: `agrees`, or `differs: INPUT/OUTPUT` with its
    /// rates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub second: Option<String>,
}

/// `true` if `id` matches `pattern`. If the pattern ends with `*`, the `*` stands for one or more characters.
#[must_use]
pub fn fits(pattern: &str, id: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => id.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
        None => pattern == id,
    }
}

impl Sourced {
    /// `true` if `model` matches one of the patterns.
    #[must_use]
    pub fn fits(&self, model: &str) -> bool {
        self.models.iter().any(|pattern| fits(pattern, model))
    }
}
