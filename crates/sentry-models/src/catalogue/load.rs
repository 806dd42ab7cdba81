//! Reads and checks the catalogue's files.

use std::collections::HashMap;

use sentry_domain::Discount;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::entry;
use super::error::{InvalidCatalogue, InvalidEntry};
use super::file::{Common, Entry, ProviderFile};
use super::{Catalogue, Meaning};
use crate::ids;

/// A file's name and its text.
pub type NamedText<'a> = (&'a str, &'a str);

macro_rules! provider_files {
    ($($name:literal,)+) => {
        /// The deployed files of the providers.
        pub const PROVIDERS: &[NamedText<'static>] =
            &[$((concat!($name, ".json"), include_str!(concat!("../../catalogue/", $name, ".json"))),)+];
    };
}

provider_files! {
    "ai21", "amazon", "anthropic", "cohere", "deepseek", "google", "meta", "minimax", "mistral", "moonshot", "nvidia", "openai", "qwen",
    "writer", "xai", "zai",
}

/// The deployed `common.json`, which applies to all models.
pub const COMMON: &str = include_str!("../../catalogue/common.json");
const COMMON_NAME: &str = "common.json";
/// Names that cannot be aliases because the limits table uses them itself.
const RESERVED_ALIASES: [&str; 1] = ["default"];

impl Catalogue {
    /// Reads the catalogue that is compiled into the program.
    ///
    /// # Errors
    /// If a file is invalid. The tests check the files, so this does not happen in a deployed function.
    pub fn bundled() -> Result<Self, InvalidCatalogue> {
        Self::parse(COMMON, PROVIDERS)
    }

    /// Reads a catalogue from the texts of a `common.json` and of the providers' files.
    ///
    /// # Errors
    /// If a text does not have the structure of such a file, or if an entry is invalid. The error names the entry and
    /// the field.
    pub fn parse(common: &str, providers: &[NamedText<'_>]) -> Result<Self, InvalidCatalogue> {
        let common: Common = from_text(COMMON_NAME, common)?;
        let mut catalogue = Self::of(common);
        catalogue.check_groups()?;
        for (name, text) in providers {
            let file: ProviderFile<&RawValue> = from_text(name, text)?;
            for raw in &file.models {
                catalogue.add_model(name, &file.provider, raw)?;
            }
            catalogue.takes.extend(file.takes);
            catalogue.profile_only.extend(file.profile_only);
        }
        catalogue.check_patterns()?;
        catalogue.add_aliases()?;
        catalogue.check_references()?;
        Ok(catalogue)
    }

    fn of(common: Common) -> Self {
        Self {
            common,
            discount: Discount::default(),
            takes: Vec::new(),
            profile_only: Vec::new(),
            models: HashMap::new(),
            aliases: HashMap::new(),
        }
    }

    fn check_groups(&self) -> Result<(), InvalidEntry> {
        for (group, regions) in &self.common.region_groups {
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

    fn check_patterns(&self) -> Result<(), InvalidEntry> {
        let counted = self.common.count_tokens.iter().flat_map(|fact| &fact.models).map(|it| ("countTokens", it));
        let writes = self.common.cache_write_at_input.iter().flat_map(|fact| &fact.models);
        let writes = writes.map(|it| ("cacheWriteAtInput", it));
        let pictures = self.common.pictures.iter().flat_map(|entry| &entry.patterns).map(|it| ("pictures", it));
        let takes = self.takes.iter().flat_map(|rule| &rule.models).map(|it| ("takes", it));
        let profiles = self.profile_only.iter().flat_map(|fact| &fact.models).map(|it| ("profileOnly", it));
        for (section, pattern) in counted.chain(writes).chain(pictures).chain(takes).chain(profiles) {
            let example = pattern.replace('*', "x");
            if self.family_of(&example).is_none() || ids::without_region_group(pattern) != pattern {
                let problem = "is no pattern of model ids, without a Region group, of a known family";
                return Err(InvalidEntry::new(pattern, section, problem));
            }
        }
        let pictures = self.common.pictures.iter().map(|entry| &entry.source);
        match pictures.chain(self.common.cache_write_at_input.iter().map(|fact| &fact.source)).find(|it| it.is_empty())
        {
            Some(_) => Err(InvalidEntry::new("", "source", "must be the page that the rule is from")),
            None => Ok(()),
        }
    }

    fn add_model(&mut self, file: &str, provider: &str, raw: &RawValue) -> Result<(), InvalidCatalogue> {
        let entry: Entry = match serde_json::from_str(raw.get()) {
            Ok(entry) => entry,
            Err(_) => return Err(wrong_field(file, raw)),
        };
        entry.check()?;
        let wrong = |problem: &str| Err(InvalidEntry::new(&entry.model, "model", problem).into());
        if self.family_of(&entry.model).is_none() || ids::region_group(&entry.model).is_some() {
            return wrong("is no model id, without a Region group, of a known family");
        }
        if entry.model.split('.').next() != Some(provider) && !entry.model.starts_with(provider) {
            return wrong("belongs into the file of another provider");
        }
        let model = entry.model.clone();
        for alias in &entry.aliases {
            self.add_alias(alias, Meaning::Model(model.clone()))?;
        }
        match self.models.insert(model.clone(), entry) {
            Some(_) => Err(InvalidEntry::new(&model, "model", "is there twice").into()),
            None => Ok(()),
        }
    }

    /// Adds the aliases of `common.json`, which belong to no entry.
    fn add_aliases(&mut self) -> Result<(), InvalidEntry> {
        let wrong = |alias: &str, problem: &str| Err(InvalidEntry::new(alias, "aliases", problem));
        for (alias, target) in self.common.aliases.clone() {
            let known = self.family_of(&target).is_some() || target.starts_with("arn:");
            match self.aliases.get(&target) {
                Some(meaning) => self.add_alias(&alias, meaning.clone())?,
                None if known => self.add_alias(&alias, Meaning::Id(target))?,
                None => return wrong(&alias, "maps to no alias of a model, no model id and no ARN"),
            }
        }
        match self.common.lasting.iter().find(|alias| !matches!(self.aliases.get(*alias), Some(Meaning::Model(_)))) {
            Some(alias) => Err(InvalidEntry::new(alias, "lasting", "is no alias of a model")),
            None => Ok(()),
        }
    }

    fn add_alias(&mut self, alias: &str, meaning: Meaning) -> Result<(), InvalidEntry> {
        let wrong = |problem: &str| Err(InvalidEntry::new(alias, "aliases", problem));
        if !is_alias(alias) {
            return wrong(
                "cannot be an alias: `default` is the fallback limit's name; use letters, digits and . : / _ -",
            );
        }
        if self.family_of(alias).is_some() || alias.starts_with("arn:") {
            return wrong("cannot be an alias: it is the id of a model");
        }
        match self.aliases.insert(alias.to_owned(), meaning) {
            Some(_) => wrong("is an alias twice"),
            None => Ok(()),
        }
    }

    /// Checks that each successor and each fallback has an entry and is a different model.
    fn check_references(&self) -> Result<(), InvalidEntry> {
        for entry in self.models.values() {
            for (field, named) in [("successor", &entry.successor), ("fallback", &entry.fallback)] {
                let Some(named) = named else { continue };
                let other = self.entry_named(named);
                if other.is_none_or(|other| other.model == entry.model) {
                    let problem =
                        format!("{named:?} is neither an alias nor the id of another model that has an entry");
                    return Err(InvalidEntry::new(&entry.model, field, problem));
                }
            }
        }
        Ok(())
    }
}

fn from_text<'t, T: Deserialize<'t>>(file: &str, text: &'t str) -> Result<T, InvalidCatalogue> {
    serde_json::from_str(text).map_err(|problem| InvalidCatalogue::Unreadable { file: file.to_owned(), problem })
}

/// Returns the error for an entry that cannot be read, with the entry's name and the field.
fn wrong_field(file: &str, raw: &RawValue) -> InvalidCatalogue {
    let value: serde_json::Value = match serde_json::from_str(raw.get()) {
        Ok(value) => value,
        Err(problem) => return InvalidCatalogue::Unreadable { file: file.to_owned(), problem },
    };
    let name = value.get("model").and_then(serde_json::Value::as_str).unwrap_or(file).to_owned();
    match entry::read::<Entry>(&name, value) {
        Ok(entry) => InvalidEntry::new(&entry.model, "model", "cannot be read").into(),
        Err(invalid) => invalid.into(),
    }
}

/// `true` if `name` can be an alias.
pub fn is_alias(name: &str) -> bool {
    !RESERVED_ALIASES.contains(&name) && ids::is_well_formed(name)
}
