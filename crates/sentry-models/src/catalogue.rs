//! The catalogue file, and what a client's name for a model means.

use std::collections::{BTreeMap, HashMap};

use sentry_contract::request::{Family, Model, Parameters};
use sentry_domain::Price;
use serde::Deserialize;
use thiserror::Error;

use crate::ids;

/// The file as it is deployed.
const BUNDLED: &str = include_str!("../catalogue.json");

/// Names that the limits table uses itself and that therefore cannot be aliases.
const RESERVED_ALIASES: [&str; 1] = ["default"];

/// Why a catalogue cannot be used.
#[derive(Debug, Error)]
pub enum InvalidCatalogue {
    /// Not the JSON that is expected; the message gives the line.
    #[error("the model catalogue cannot be read: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// An entry that makes no sense.
    #[error("the model catalogue's entry {entry:?} {problem}")]
    Entry {
        /// The model id, alias or pattern.
        entry: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Why a name means no model.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unresolved {
    /// Neither an alias nor the id of a known family.
    #[error(
        "it is no alias of the catalogue and no id of a model family that the catalogue knows; \
         use an alias, a Bedrock model id, a cross-Region profile id or an application inference profile ARN"
    )]
    Unknown,
    /// An ARN of something else.
    #[error(
        "of ARNs, only application inference profiles are accepted \
         (arn:aws:bedrock:REGION:ACCOUNT:application-inference-profile/ID)"
    )]
    OtherArn,
}

/// Parameters that a request need not give, in an entry.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct OwnDefaults {
    max_tokens: Option<u32>,
    temperature: Option<f64>,
    top_p: Option<f64>,
    top_k: Option<u32>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct File {
    defaults: FileDefaults,
    /// The Region whose price list the prices are from.
    price_region: String,
    families: Vec<FamilyEntry>,
    /// Patterns of the models whose prompts Bedrock's CountTokens counts.
    #[serde(default)]
    count_tokens: Vec<String>,
    models: Vec<ModelEntry>,
    aliases: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileDefaults {
    max_tokens: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FamilyEntry {
    pattern: String,
    family: Family,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ModelEntry {
    model_id: String,
    /// For what no pattern tells: the family behind an application inference profile.
    family: Option<Family>,
    #[serde(default)]
    aliases: Vec<String>,
    #[serde(default)]
    defaults: OwnDefaults,
    price: Option<Price>,
    price_source: Option<String>,
}

/// The models that the sentry knows.
#[derive(Debug)]
pub struct Catalogue {
    max_tokens: u32,
    price_region: String,
    families: Vec<(String, Family)>,
    count_tokens: Vec<String>,
    models: HashMap<String, Known>,
    aliases: HashMap<String, String>,
}

#[derive(Clone, Copy, Debug)]
struct Known {
    family: Option<Family>,
    defaults: OwnDefaults,
    price: Option<Price>,
}

impl Catalogue {
    /// The catalogue that was deployed with the function.
    ///
    /// # Errors
    /// When the file is wrong; the tests check it, so a deployed one is right.
    pub fn bundled() -> Result<Self, InvalidCatalogue> {
        Self::parse(BUNDLED)
    }

    /// A catalogue from the text of a file such as `catalogue.json`.
    ///
    /// # Errors
    /// When the text is not such a file, or an entry makes no sense; the error names the entry.
    pub fn parse(text: &str) -> Result<Self, InvalidCatalogue> {
        let file: File = serde_json::from_str(text)?;
        let mut catalogue = Self {
            max_tokens: file.defaults.max_tokens,
            price_region: file.price_region,
            families: file.families.into_iter().map(|entry| (entry.pattern, entry.family)).collect(),
            count_tokens: file.count_tokens,
            models: HashMap::new(),
            aliases: HashMap::new(),
        };
        for pattern in &catalogue.count_tokens {
            catalogue.check_counted(pattern)?;
        }
        for entry in file.models {
            catalogue.add_model(entry)?;
        }
        for (alias, target) in file.aliases {
            catalogue.add_alias(alias, target)?;
        }
        Ok(catalogue)
    }

    fn check_counted(&self, pattern: &str) -> Result<(), InvalidCatalogue> {
        let example = pattern.replace('*', "x");
        if self.family_of(&example).is_some() && ids::without_region_group(pattern) == pattern {
            return Ok(());
        }
        let problem = "is no pattern of model ids, without a Region group, of a known family";
        Err(InvalidCatalogue::Entry { entry: pattern.to_owned(), problem })
    }

    fn add_model(&mut self, entry: ModelEntry) -> Result<(), InvalidCatalogue> {
        let id = entry.model_id;
        let wrong = |problem| Err(InvalidCatalogue::Entry { entry: id.clone(), problem });
        if entry.defaults.max_tokens == Some(0) {
            return wrong("has max_tokens 0, which allows no answer");
        }
        if entry.price.is_some() && entry.price_source.is_none() {
            return wrong("has a price without a priceSource (where it is from, and its date)");
        }
        let known = Known { family: entry.family, defaults: entry.defaults, price: entry.price };
        if self.models.insert(id.clone(), known).is_some() {
            return wrong("is there twice");
        }
        if self.family_of(&id).is_none() {
            return wrong("is no model id or application inference profile ARN of a known family");
        }
        entry.aliases.into_iter().try_for_each(|alias| self.add_alias(alias, id.clone()))
    }

    fn add_alias(&mut self, alias: String, target: String) -> Result<(), InvalidCatalogue> {
        let wrong = |problem| Err(InvalidCatalogue::Entry { entry: alias.clone(), problem });
        if RESERVED_ALIASES.contains(&alias.as_str()) || !ids::is_well_formed(&alias) {
            return wrong(
                "cannot be an alias: `default` is the fallback limit's name; use letters, digits and . : / _ -",
            );
        }
        if self.family_of(&alias).is_some() {
            return wrong("cannot be an alias: it is the id of a model");
        }
        if self.family_of(&target).is_none() {
            return wrong("maps to no model id or application inference profile ARN of a known family");
        }
        if self.aliases.insert(alias.clone(), target).is_some() {
            return wrong("is an alias twice");
        }
        Ok(())
    }

    /// The model that a client means by `requested`.
    ///
    /// # Errors
    /// When it means none.
    pub fn resolve(&self, requested: &str) -> Result<Model, Unresolved> {
        let model_id = self.aliases.get(requested).map_or(requested, String::as_str);
        if let Some(family) = self.family_of(model_id) {
            return Ok(Model {
                requested: requested.to_owned(),
                model_id: model_id.to_owned(),
                model_metric: ids::application_profile_id(model_id).unwrap_or(model_id).to_owned(),
                family,
            });
        }
        Err(if requested.starts_with("arn:") { Unresolved::OtherArn } else { Unresolved::Unknown })
    }

    /// The family of an id: its own entry's, else the first pattern that fits the id without its Region group.
    ///
    /// What stands behind an application inference profile is not in its name: without an entry it is served by plain Converse.
    fn family_of(&self, id: &str) -> Option<Family> {
        if !ids::is_well_formed(id) {
            return None;
        }
        if let Some(family) = self.models.get(id).and_then(|known| known.family) {
            return Some(family);
        }
        if ids::application_profile_id(id).is_some() {
            return Some(Family::Converse);
        }
        let bare = ids::without_region_group(id);
        self.families.iter().find(|(pattern, _)| fits(pattern, bare)).map(|(_, family)| *family)
    }

    /// The parameters of a request to `model_id` that gives none; `max_tokens` is always among them.
    #[must_use]
    pub fn defaults(&self, model_id: &str) -> Parameters {
        let own = self.models.get(model_id).map(|known| known.defaults).unwrap_or_default();
        Parameters {
            max_tokens: Some(self.max_tokens(model_id)),
            temperature: own.temperature,
            top_p: own.top_p,
            top_k: own.top_k,
            stop_sequences: Vec::new(),
        }
    }

    /// Most tokens that `model_id` may write where a request does not say.
    #[must_use]
    pub fn max_tokens(&self, model_id: &str) -> u32 {
        self.models.get(model_id).and_then(|known| known.defaults.max_tokens).unwrap_or(self.max_tokens)
    }

    /// The foundation model under whose id Bedrock counts the tokens of a prompt to `model_id`; `None` when it counts none for it.
    ///
    /// CountTokens refuses the ids of cross-Region profiles and knows nothing of application inference profiles.
    #[must_use]
    pub fn counted_as<'m>(&self, model_id: &'m str) -> Option<&'m str> {
        let bare = ids::without_region_group(model_id);
        self.count_tokens.iter().any(|pattern| fits(pattern, bare)).then_some(bare)
    }

    /// What `model_id` costs when it is called from `region`; `None` when no price is known there.
    #[must_use]
    pub fn price(&self, model_id: &str, region: &str) -> Option<Price> {
        self.models.get(model_id).and_then(|known| known.price).filter(|_| self.price_region == region)
    }
}

/// Whether `id` is `pattern`, whose last character may be a `*` for any rest that is not empty.
fn fits(pattern: &str, id: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(prefix) => id.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty()),
        None => pattern == id,
    }
}

#[cfg(test)]
mod tests;
