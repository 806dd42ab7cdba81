//! Models and aliases that an admin adds or corrects while the sentry runs, as items of a table.

use serde_json::{Map, Value};

use super::entry::{self, AddedAlias, ModelItem};
use super::error::{InvalidEntry, Unresolved};
use super::load;

/// What the key of an alias begins with.
const ALIAS: &str = "alias#";
/// The key attribute of an item.
const KEY: &str = "entry";

/// An item, understood.
#[derive(Debug)]
pub struct Addition(Added);

#[derive(Debug)]
enum Added {
    /// The id or ARN that an alias means.
    Alias(String),
    Model(Box<ModelItem>),
}

impl Addition {
    /// The key of the item for the alias `name`; `None` where it cannot be one.
    #[must_use]
    pub fn alias_key(name: &str) -> Option<String> {
        load::is_alias(name).then(|| format!("{ALIAS}{name}"))
    }

    /// Reads the item that was found under `key`.
    ///
    /// # Errors
    /// When anything in it is not understood; the error names the item and the field.
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

    /// What it means, if it is an alias.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        match &self.0 {
            Added::Alias(target) => Some(target),
            Added::Model(_) => None,
        }
    }

    /// What it says of a model, if it is of one.
    pub(super) fn model(&self) -> Option<&ModelItem> {
        match &self.0 {
            Added::Alias(_) => None,
            Added::Model(item) => Some(item),
        }
    }
}

/// Why an added model cannot be called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unusable {
    /// The item makes no sense.
    Entry(InvalidEntry),
    /// The model is retired, or not offered here.
    Unresolved(Unresolved),
}

impl From<Unresolved> for Unusable {
    fn from(unresolved: Unresolved) -> Self {
        Self::Unresolved(unresolved)
    }
}
