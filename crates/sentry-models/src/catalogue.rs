//! The catalogue file, and what a client's name for a model means.

mod addition;
mod entry;
mod error;
mod load;
mod pictures;

use std::collections::{BTreeMap, HashMap};

use sentry_contract::request::{Family, Model, Parameters};
use sentry_domain::{Discount, Price};

pub use self::addition::{Addition, Unusable};
use self::entry::{FamilyEntry, OwnDefaults, PicturesEntry, RetiredEntry};
pub use self::error::{InvalidCatalogue, InvalidEntry, Unresolved};
pub use self::pictures::{Patches, PictureRule};
use crate::ids;

/// The models that the sentry knows.
#[derive(Debug)]
pub struct Catalogue {
    max_tokens: u32,
    price_region: String,
    /// The account's, off every price.
    discount: Discount,
    region_groups: BTreeMap<String, Vec<String>>,
    families: Vec<FamilyEntry>,
    count_tokens: Vec<String>,
    pictures: Vec<PicturesEntry>,
    /// By the id of their entry.
    models: HashMap<String, Known>,
    /// Ids that an entry under another id speaks for, the price included.
    alike: HashMap<String, String>,
    /// The first entry of each model, under its id without the Region group.
    bare: HashMap<String, String>,
    aliases: HashMap<String, String>,
    retired: BTreeMap<String, RetiredEntry>,
}

/// What an entry says of its model.
#[derive(Clone, Debug, Default)]
struct Known {
    family: Option<Family>,
    defaults: OwnDefaults,
    limits: TokenLimits,
    price: Option<Price>,
    regions: Vec<String>,
    fallback: Option<String>,
}

/// How many tokens a model can take; a limit that is not known is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenLimits {
    /// Read and written, together.
    pub context_window: Option<u32>,
    /// Written.
    pub output: Option<u32>,
    /// Read, of one picture.
    pub picture: Option<PictureRule>,
}

/// What a client's name for a model means.
#[derive(Clone, Debug, PartialEq)]
pub struct Resolved {
    /// For the states that follow.
    pub model: Model,
    /// What a request need not say; `max_tokens` is filled in.
    pub defaults: Parameters,
    /// What the model can take.
    pub limits: TokenLimits,
    /// Whether an entry speaks for exactly this id; otherwise a pattern, or the entry of the same model under another id.
    pub listed: bool,
    /// The id of a cheaper model that can stand in for it.
    pub fallback: Option<String>,
}

impl Resolved {
    /// The same model, called through the application inference profile `arn`. The foundation model stays the one behind it.
    #[must_use]
    pub fn called_through(mut self, arn: &str) -> Self {
        self.model.model_metric = ids::application_profile_id(arn).unwrap_or(arn).to_owned();
        self.model.model_id = arn.to_owned();
        self
    }
}

impl Catalogue {
    /// The same catalogue for an account that has `discount` on the price list: every price that it gives is net of it.
    #[must_use]
    pub fn with_discount(self, discount: Discount) -> Self {
        Self { discount, ..self }
    }

    /// The model that a client in `region` means by `requested`.
    ///
    /// # Errors
    /// When it means none that can be called, or [`Unresolved::Profile`] when Bedrock has to be asked.
    pub fn resolve(&self, requested: &str, region: &str) -> Result<Resolved, Unresolved> {
        self.not_retired(requested)?;
        let model_id = self.aliases.get(requested).map_or(requested, String::as_str);
        self.resolve_id(requested, model_id, region)
    }

    /// The model with the id or profile ARN `model_id`, which a client in `region` calls `requested`.
    ///
    /// # Errors
    /// As for [`Self::resolve`].
    pub fn resolve_id(&self, requested: &str, model_id: &str, region: &str) -> Result<Resolved, Unresolved> {
        self.not_retired(model_id)?;
        let Some(family) = self.family_of(model_id) else {
            return Err(match ids::application_profile_id(model_id) {
                Some(_) => Unresolved::Profile(model_id.to_owned()),
                None if model_id.starts_with("arn:") => Unresolved::OtherArn,
                None => Unresolved::Unknown,
            });
        };
        let listed = self.entry_for(model_id).is_some();
        let regions = self.models.get(model_id).map_or([].as_slice(), |own| &own.regions);
        self.offered(model_id, regions, region)?;
        let model = Model {
            requested: requested.to_owned(),
            model_id: model_id.to_owned(),
            model_metric: ids::application_profile_id(model_id).unwrap_or(model_id).to_owned(),
            foundation: ids::foundation_of(model_id),
            family,
            price: self.price(model_id, region),
            reasoning: None,
        };
        let limits = self.limits(model_id);
        let (defaults, fallback) = (self.defaults(model_id), self.fallback(model_id));
        Ok(Resolved { model, defaults, limits, listed, fallback })
    }

    /// What `model_id` costs when it is called from `region`, net of the account's discount; `None` when no price is known there.
    #[must_use]
    pub fn price(&self, model_id: &str, region: &str) -> Option<Price> {
        let listed = self.entry_for(model_id).and_then(|known| known.price);
        listed.filter(|_| self.price_region == region).map(|price| price.less(self.discount))
    }

    /// What a request to `model_id` need not say; `max_tokens` is filled in.
    #[must_use]
    pub fn defaults(&self, model_id: &str) -> Parameters {
        let own = self.known(model_id).map(|known| known.defaults).unwrap_or_default();
        own.parameters(self.max_tokens(model_id))
    }

    /// Most tokens that `model_id` may write where a request does not say.
    #[must_use]
    pub fn max_tokens(&self, model_id: &str) -> u32 {
        let known = self.known(model_id);
        let own = known.and_then(|known| known.defaults.max_tokens).unwrap_or(self.max_tokens);
        known.and_then(|known| known.limits.output).map_or(own, |limit| own.min(limit))
    }

    /// A cheaper model that can stand in for `model_id`, through the Region group that `model_id` is called through: where that is
    /// needed for the one, the other may not be called without it.
    #[must_use]
    pub fn fallback(&self, model_id: &str) -> Option<String> {
        let named = self.known(model_id)?.fallback.as_deref()?;
        let through = |group| format!("{group}.{}", ids::without_region_group(named));
        Some(ids::region_group(model_id).map_or_else(|| named.to_owned(), through))
    }

    /// The name that clients have for `model_id`, of several the first by the alphabet; its id where they have none.
    #[must_use]
    pub fn name_of<'s>(&'s self, model_id: &'s str) -> &'s str {
        let names = self.aliases.iter().filter(|(_, id)| *id == model_id).map(|(name, _)| name.as_str());
        names.min().unwrap_or(model_id)
    }

    /// The foundation model under whose id Bedrock counts the tokens of a prompt to `model_id`; `None` when it counts none for it.
    ///
    /// CountTokens refuses the ids of cross-Region profiles and knows nothing of application inference profiles.
    #[must_use]
    pub fn counted_as<'m>(&self, model_id: &'m str) -> Option<&'m str> {
        let bare = ids::without_region_group(model_id);
        self.count_tokens.iter().any(|pattern| fits(pattern, bare)).then_some(bare)
    }

    /// What `model_id` can take: what its entry says, and for pictures otherwise the first pattern that fits the id without its Region
    /// group.
    fn limits(&self, model_id: &str) -> TokenLimits {
        let limits = self.known(model_id).map(|known| known.limits).unwrap_or_default();
        let bare = ids::without_region_group(model_id);
        let pattern = self.pictures.iter().find(|entry| entry.patterns.iter().any(|pattern| fits(pattern, bare)));
        TokenLimits { picture: limits.picture.or_else(|| pattern.map(|entry| entry.rule)), ..limits }
    }

    /// The entry that speaks for exactly this id.
    fn entry_for(&self, id: &str) -> Option<&Known> {
        self.models.get(id).or_else(|| self.models.get(self.alike.get(id)?))
    }

    /// What is known of the model with this id, be it under another Region group: what it costs may differ, what it is does not.
    fn known(&self, id: &str) -> Option<&Known> {
        self.entry_for(id).or_else(|| self.models.get(self.bare.get(ids::without_region_group(id))?))
    }

    /// The family of an id: its own entry's, else that of the first pattern that fits the id without its Region group.
    ///
    /// What stands behind an application inference profile is not in its name: without an entry it has none.
    fn family_of(&self, id: &str) -> Option<Family> {
        if !ids::is_well_formed(id) {
            return None;
        }
        let bare = ids::without_region_group(id);
        let own = self.known(id).and_then(|known| known.family);
        own.or_else(|| self.families.iter().find(|entry| fits(&entry.pattern, bare)).map(|entry| entry.family))
    }

    fn not_retired(&self, name: &str) -> Result<(), Unresolved> {
        match self.retired.get(name).or_else(|| self.retired.get(ids::without_region_group(name))) {
            Some(RetiredEntry { since, r#use }) => {
                Err(Unresolved::Retired { name: name.to_owned(), since: since.clone(), replacement: r#use.clone() })
            }
            None => Ok(()),
        }
    }

    /// Whether `model_id` can be called from `region`, as far as that is known: by its entry's `regions`, and by its Region group.
    fn offered(&self, model_id: &str, regions: &[String], region: &str) -> Result<(), Unresolved> {
        let group = ids::region_group(model_id).and_then(|group| self.region_groups.get(group));
        let known = [regions, group.map_or([].as_slice(), Vec::as_slice)];
        match known.into_iter().find(|offered| !offered.is_empty() && !offered.iter().any(|at| fits(at, region))) {
            Some(offered) => Err(Unresolved::Elsewhere {
                model_id: model_id.to_owned(),
                region: region.to_owned(),
                offered: offered.to_vec(),
            }),
            None => Ok(()),
        }
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
