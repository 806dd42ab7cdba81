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
            models: HashMap::new(),
            aliases: HashMap::new(),
        };
        for entry in file.models {
            catalogue.add_model(entry)?;
        }
        for (alias, target) in file.aliases {
            catalogue.add_alias(alias, target)?;
        }
        Ok(catalogue)
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
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn bundled() -> Catalogue {
        Catalogue::bundled().unwrap()
    }

    #[test]
    fn the_promised_aliases_mean_the_promised_models() {
        let promised = [
            ("nova-lite", "amazon.nova-lite-v1:0", Family::Nova),
            ("nova-micro", "amazon.nova-micro-v1:0", Family::Nova),
            ("claude-2", "anthropic.claude-v2:0", Family::AnthropicText),
            ("claude-3-haiku", "anthropic.claude-3-haiku-20240307-v1:0", Family::Anthropic),
            ("claude-3-5-sonnet-v2", "us.anthropic.claude-3-5-sonnet-20241022-v2:0", Family::Anthropic),
            ("claude-3-5-haiku", "us.anthropic.claude-3-5-haiku-20241022-v1:0", Family::Anthropic),
        ];
        for (alias, model_id, family) in promised {
            let model = bundled().resolve(alias).unwrap();
            let expected = Model {
                requested: alias.to_owned(),
                model_id: model_id.to_owned(),
                model_metric: model_id.to_owned(),
                family,
            };
            assert_eq!(model, expected);
        }
    }

    #[test]
    fn ids_profile_ids_and_profile_arns_need_no_entry() {
        let family = |name| bundled().resolve(name).map(|model| (model.family, model.model_metric));
        let profile = "arn:aws:bedrock:eu-west-1:111122223333:application-inference-profile/ab12cd34";
        assert_eq!(
            family("eu.anthropic.claude-opus-4-5-20251101-v1:0"),
            Ok((Family::Anthropic, "eu.anthropic.claude-opus-4-5-20251101-v1:0".to_owned()))
        );
        assert_eq!(family("meta.llama3-3-70b-instruct-v1:0").unwrap().0, Family::Converse);
        assert_eq!(family("anthropic.claude-v2:1").unwrap().0, Family::AnthropicText);
        assert_eq!(family(profile), Ok((Family::Converse, "ab12cd34".to_owned())));
    }

    #[test]
    fn what_is_no_model_is_told_apart() {
        let refusal = |name| bundled().resolve(name).unwrap_err();
        for name in
            ["", "gpt-4", "anthropic.", "us.", "anthropic.claude v2", "anthropic.clаude", "default", "vendor.model"]
        {
            assert_eq!(refusal(name), Unresolved::Unknown, "{name:?}");
        }
        assert_eq!(refusal("arn:aws:bedrock:us-east-1::foundation-model/amazon.nova-lite-v1:0"), Unresolved::OtherArn);
        assert_eq!(refusal(&format!("anthropic.{}", "a".repeat(300))), Unresolved::Unknown);
    }

    fn with(models: &str, aliases: &str) -> Result<Catalogue, InvalidCatalogue> {
        Catalogue::parse(&format!(
            r#"{{"defaults": {{"max_tokens": 7}}, "priceRegion": "us-east-1", "families": [{{"pattern": "amazon.nova-*", "family": "nova"}}],
                "models": [{models}], "aliases": {{{aliases}}}}}"#
        ))
    }

    #[test]
    fn a_business_alias_may_map_to_a_profile_whose_family_and_price_are_listed() {
        let arn = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/p1";
        let entry = format!(
            r#"{{"modelId": "{arn}", "family": "nova", "defaults": {{"max_tokens": 9}},
                "price": {{"input": "1", "output": "2"}}, "priceSource": "test"}}"#
        );
        let catalogue = with(&entry, &format!(r#""sales": "{arn}""#)).unwrap();
        let model = catalogue.resolve("sales").unwrap();
        assert_eq!((model.model_id.as_str(), model.model_metric.as_str(), model.family), (arn, "p1", Family::Nova));
        assert_eq!(catalogue.defaults(&model.model_id).max_tokens, Some(9));
        assert!(catalogue.price(arn, "us-east-1").is_some());
        assert!(catalogue.price(arn, "eu-west-1").is_none());
        let other = catalogue.resolve("amazon.nova-pro-v1:0").unwrap();
        assert_eq!(catalogue.defaults(&other.model_id).max_tokens, Some(7));
    }

    #[test]
    fn a_wrong_entry_is_named() {
        let nova = r#"{"modelId": "amazon.nova-x"}"#;
        let cases = [
            (with(r#"{"modelId": "acme.model"}"#, ""), "acme.model"),
            (with(&format!("{nova}, {nova}"), ""), "amazon.nova-x"),
            (with(r#"{"modelId": "amazon.nova-x", "defaults": {"max_tokens": 0}}"#, ""), "amazon.nova-x"),
            (with(r#"{"modelId": "amazon.nova-x", "price": {"input": "1", "output": "1"}}"#, ""), "amazon.nova-x"),
            (with(nova, r#""default": "amazon.nova-x""#), "default"),
            (with(nova, r#""amazon.nova-y": "amazon.nova-x""#), "amazon.nova-y"),
            (with(nova, r#""sales": "acme.model""#), "sales"),
            (with(r#"{"modelId": "amazon.nova-x", "alias": "y"}"#, ""), "alias"),
            (with(r#"{"modelId": "amazon.nova-x", "price": {"input": "-1", "output": "1"}}"#, ""), "-1"),
        ];
        for (result, name) in cases {
            let error = result.unwrap_err().to_string();
            assert!(error.contains(name), "{error} should name {name}");
        }
    }

    proptest! {
        #[test]
        fn no_name_panics_and_what_is_resolved_fits_a_metric(name in "\\PC{0,300}|[a-z.:/-]{0,80}") {
            if let Ok(model) = bundled().resolve(&name) {
                prop_assert!((1..=255).contains(&model.model_metric.len()) && model.model_metric.is_ascii());
            }
        }
    }
}
