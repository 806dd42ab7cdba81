//! Reading the catalogue file, and finding what is wrong with it.

use serde_json::Value;

use super::entry::{self, FamilyEntry, File, ModelEntry, PicturesEntry, PriceScope, PriceSource, RetiredEntry};
use super::error::{InvalidCatalogue, InvalidEntry};
use super::{Catalogue, Known, TokenLimits};
use crate::ids;

/// The file as it is deployed.
const BUNDLED: &str = include_str!("../../catalogue.json");
/// What an error calls the file where it is about no single entry.
const THE_FILE: &str = "catalogue.json";
/// Names that the limits table uses itself and that therefore cannot be aliases.
const RESERVED_ALIASES: [&str; 1] = ["default"];
/// The offers of the AWS Price List that have Bedrock's models.
const OFFERS: [&str; 2] = ["AmazonBedrock", "AmazonBedrockFoundationModels"];
/// The Region group whose profiles have a rate of their own.
const GLOBAL: &str = "global";

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
    /// When the text is not such a file, or an entry makes no sense; the error names the entry and the field.
    pub fn parse(text: &str) -> Result<Self, InvalidCatalogue> {
        let file: File = entry::read(THE_FILE, serde_json::from_str(text)?)?;
        let mut catalogue = Self {
            max_tokens: file.defaults.max_tokens,
            price_region: file.price_region,
            discount: sentry_domain::Discount::default(),
            region_groups: file.region_groups,
            families: families(file.families)?,
            count_tokens: file.count_tokens,
            pictures: pictures(file.pictures)?,
            models: std::collections::HashMap::new(),
            alike: std::collections::HashMap::new(),
            bare: std::collections::HashMap::new(),
            aliases: std::collections::HashMap::new(),
            retired: std::collections::BTreeMap::new(),
        };
        catalogue.check_groups()?;
        for pattern in &catalogue.count_tokens {
            catalogue.check_pattern("countTokens", pattern)?;
        }
        for pattern in catalogue.pictures.iter().flat_map(|entry| &entry.patterns) {
            catalogue.check_pattern("pictures", pattern)?;
        }
        for (at, value) in file.models.into_iter().enumerate() {
            let name = entry::name("models", "modelId", at, &value);
            catalogue.add_model(entry::read(&name, value)?)?;
        }
        for (alias, target) in file.aliases {
            let target: String = entry::read(&alias, target)?;
            catalogue.add_alias(&alias, &target)?;
        }
        for (name, value) in file.retired {
            let retired = entry::read(&name, value)?;
            catalogue.add_retired(name, retired)?;
        }
        catalogue.check_fallbacks()?;
        Ok(catalogue)
    }

    fn check_groups(&self) -> Result<(), InvalidEntry> {
        for (group, regions) in &self.region_groups {
            if !ids::REGION_GROUPS.contains(&group.as_str()) {
                return Err(InvalidEntry::new(group, "regionGroups", "is no Region group of cross-Region profile ids"));
            }
            if let Some(region) = regions.iter().find(|region| !entry::is_region_pattern(region)) {
                let problem = format!("{region:?} is no Region, nor the beginning of one with a *");
                return Err(InvalidEntry::new(group, "regionGroups", problem));
            }
        }
        Ok(())
    }

    fn check_pattern(&self, section: &str, pattern: &str) -> Result<(), InvalidEntry> {
        let example = pattern.replace('*', "x");
        if self.family_of(&example).is_some() && ids::without_region_group(pattern) == pattern {
            return Ok(());
        }
        let problem = "is no pattern of model ids, without a Region group, of a known family";
        Err(InvalidEntry::new(pattern, section, problem))
    }

    fn add_model(&mut self, entry: ModelEntry<PriceSource>) -> Result<(), InvalidEntry> {
        entry.check()?;
        let id = entry.model_id;
        let wrong = |field: &str, problem: &str| Err(InvalidEntry::new(&id, field, problem));
        if let Some(problem) =
            entry.price_source.as_ref().and_then(|source| wrong_source(&id, source, entry.price.is_some()))
        {
            return wrong("priceSource", problem);
        }
        let bare = ids::without_region_group(&id).to_owned();
        for other in &entry.priced_alike {
            if ids::without_region_group(other) != bare || *other == id {
                return wrong("pricedAlike", "must be other ids of the same model");
            }
            if self.models.contains_key(other) || self.alike.insert(other.clone(), id.clone()).is_some() {
                return wrong("pricedAlike", "names an id that has an entry");
            }
        }
        let known = Known {
            family: entry.family,
            defaults: entry.defaults,
            limits: TokenLimits {
                context_window: entry.context_window,
                output: entry.output_limit,
                picture: entry.picture,
            },
            price: entry.price,
            regions: entry.regions,
            fallback: entry.fallback,
        };
        if self.alike.contains_key(&id) || self.models.insert(id.clone(), known).is_some() {
            return wrong("modelId", "is there twice");
        }
        self.bare.entry(bare).or_insert_with(|| id.clone());
        if self.family_of(&id).is_none() {
            return wrong("modelId", "is no model id of a known family; another id needs a family of its own");
        }
        entry.aliases.iter().try_for_each(|alias| self.add_alias(alias, &id))
    }

    fn add_alias(&mut self, alias: &str, target: &str) -> Result<(), InvalidEntry> {
        let wrong = |problem: &str| Err(InvalidEntry::new(alias, "aliases", problem));
        if !is_alias(alias) {
            return wrong(
                "cannot be an alias: `default` is the fallback limit's name; use letters, digits and . : / _ -",
            );
        }
        if self.family_of(alias).is_some() || ids::application_profile_id(alias).is_some() {
            return wrong("cannot be an alias: it is the id of a model");
        }
        if self.family_of(target).is_none() && ids::application_profile_id(target).is_none() {
            return wrong("maps to no model id or application inference profile ARN of a known family");
        }
        if self.aliases.insert(alias.to_owned(), target.to_owned()).is_some() {
            return wrong("is an alias twice");
        }
        Ok(())
    }

    fn add_retired(&mut self, name: String, retired: RetiredEntry) -> Result<(), InvalidEntry> {
        let wrong = |field: &str, problem: &str| Err(InvalidEntry::new(&name, field, problem));
        if !entry::is_day(&retired.since) {
            return wrong("since", "must be a day such as 2026-04-28");
        }
        if !ids::is_well_formed(&name) || self.aliases.contains_key(&name) || self.entry_for(&name).is_some() {
            return wrong("retired", "must be the name of a model that is neither an alias nor has an entry");
        }
        if !self.aliases.contains_key(&retired.r#use) && self.family_of(&retired.r#use).is_none() {
            return wrong("use", "names no model");
        }
        self.retired.insert(name, retired);
        Ok(())
    }

    fn check_fallbacks(&self) -> Result<(), InvalidEntry> {
        let wrong = |(id, known): (&String, &Known)| {
            let fallback = known.fallback.as_deref()?;
            (fallback == id || self.entry_for(fallback).is_none()).then(|| id.clone())
        };
        match self.models.iter().find_map(wrong) {
            Some(id) => Err(InvalidEntry::new(&id, "fallback", "must be the id of another model that has an entry")),
            None => Ok(()),
        }
    }
}

/// Whether `name` can be an alias.
pub fn is_alias(name: &str) -> bool {
    !RESERVED_ALIASES.contains(&name) && ids::is_well_formed(name)
}

fn families(values: Vec<Value>) -> Result<Vec<FamilyEntry>, InvalidEntry> {
    let read = |(at, value)| entry::read(&entry::name("families", "pattern", at, &value), value);
    values.into_iter().enumerate().map(read).collect()
}

fn pictures(values: Vec<Value>) -> Result<Vec<PicturesEntry>, InvalidEntry> {
    let read = |(at, value)| {
        let name = entry::name("pictures", "source", at, &value);
        let entry: PicturesEntry = entry::read(&name, value)?;
        if entry.source.is_empty() {
            return Err(InvalidEntry::new(&name, "source", "must be the page that the rule is from"));
        }
        if !entry::is_day(&entry.read) {
            return Err(InvalidEntry::new(&name, "read", "must be a day such as 2026-08-31"));
        }
        Ok(entry)
    };
    values.into_iter().enumerate().map(read).collect()
}

/// What is wrong with where a price is said to be from.
fn wrong_source(id: &str, source: &PriceSource, priced: bool) -> Option<&'static str> {
    let global = ids::region_group(id) == Some(GLOBAL);
    if !OFFERS.contains(&source.offer.as_str()) {
        Some("offer must be AmazonBedrock or AmazonBedrockFoundationModels")
    } else if source.product.is_empty() {
        Some("product must be what the offer calls the model")
    } else if global != (source.scope == PriceScope::Global) {
        Some("scope must be global for the id of a global profile, and regional for every other")
    } else if source.published.is_some() != priced {
        Some("published must be there with a price, and only then")
    } else if source.published.as_deref().is_some_and(|day| !entry::is_day(day)) {
        Some("published must be a day such as 2026-08-31")
    } else {
        None
    }
}
