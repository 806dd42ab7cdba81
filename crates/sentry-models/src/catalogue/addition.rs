//! Items of the catalogue table: models and aliases that an administrator adds or corrects at run time.

use serde_json::{Map, Value};

use super::entry::{self, AddedAlias, ModelItem};
use super::error::{InvalidEntry, ResolveError};
use super::load;

/// Prefix of the key of an alias.
const ALIAS: &str = "alias#";
/// The key attribute of an item.
const KEY: &str = "entry";

/// An item of the catalogue table that was read and checked.
#[derive(Debug)]
pub struct Addition(Added);

#[derive(Debug)]
enum Added {
    /// The id or ARN that the alias stands for.
    Alias(String),
    Model(Box<ModelItem>),
}

impl Addition {
    /// The key of the item for the alias `name`. `None` if `name` cannot be an alias.
    #[must_use]
    pub fn alias_key(name: &str) -> Option<String> {
        load::is_alias(name).then(|| format!("{ALIAS}{name}"))
    }

    /// The name of the alias whose item has the key `key`. `None` if it is the key of a model.
    #[must_use]
    pub fn name_of_alias(key: &str) -> Option<&str> {
        key.strip_prefix(ALIAS)
    }

    /// Reads the item that has the key `key`.
    ///
    /// # Errors
    /// If the item is invalid. The error names the item and the field.
    pub fn read(key: &str, mut item: Map<String, Value>) -> Result<Self, InvalidEntry> {
        item.retain(|_, value| !value.is_null());
        if key.starts_with(ALIAS) {
            let alias: AddedAlias = entry::read(key, Value::Object(item))?;
            return Ok(Self(Added::Alias(alias.model_id)));
        }
        let misplaced = [
            ("modelId", "does not belong here: the item's key is the model's id"),
            ("aliases", "does not belong here: an alias is an item of its own, alias#NAME"),
            ("pricedAlike", "does not belong here: give every id an item of its own"),
        ];
        if let Some((field, problem)) = misplaced.into_iter().find(|(field, _)| item.contains_key(*field)) {
            return Err(InvalidEntry::new(key, field, problem));
        }
        item.entry(KEY).or_insert_with(|| key.into());
        let model: ModelItem = entry::read(key, Value::Object(item))?;
        model.check()?;
        Ok(Self(Added::Model(Box::new(model))))
    }

    /// The id or ARN that the alias stands for. `None` if the item is not an alias.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        match &self.0 {
            Added::Alias(target) => Some(target),
            Added::Model(_) => None,
        }
    }

    /// The model that the item describes. `None` if the item is an alias.
    pub(super) fn model(&self) -> Option<&ModelItem> {
        match &self.0 {
            Added::Alias(_) => None,
            Added::Model(item) => Some(item),
        }
    }
}

/// The reason why a model of the catalogue table cannot be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AdditionError {
    /// The item is invalid or incomplete.
    Entry(InvalidEntry),
    /// The model is retired, is not offered in the Region, or lacks a description.
    Resolve(ResolveError),
}

impl From<ResolveError> for AdditionError {
    fn from(unresolved: ResolveError) -> Self {
        Self::Resolve(unresolved)
    }
}
