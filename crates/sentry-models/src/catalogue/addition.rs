//! Models and aliases that are added while the sentry runs, as items of a table.

use serde_json::{Map, Value};

use super::entry::{self, AddedAlias, ModelEntry};
use super::error::{InvalidEntry, Unresolved};
use super::{Catalogue, Resolved, TokenLimits, load};
use crate::ids;

/// What the key of an alias begins with.
const ALIAS: &str = "alias#";
/// The key attribute of an item; in the file it is the model's id.
const KEY: &str = "entry";
const MODEL_ID: &str = "modelId";
const TRANSPORT: &str = "transport";

/// An item, understood.
#[derive(Debug)]
pub struct Addition(Added);

#[derive(Debug)]
enum Added {
    /// The id or ARN that an alias means.
    Alias(String),
    Model(Box<ModelEntry<String>>),
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
        if key.starts_with(ALIAS) {
            let alias: AddedAlias = entry::read(key, Value::Object(item))?;
            return Ok(Self(Added::Alias(alias.model_id)));
        }
        if item.contains_key(MODEL_ID) {
            return Err(InvalidEntry::new(key, MODEL_ID, "does not belong here: the item's key is the model's id"));
        }
        // Items of older versions may say how the model is called.
        if item.remove(TRANSPORT).is_some_and(|way| way != "converse" && !way.is_null()) {
            return Err(InvalidEntry::new(key, TRANSPORT, "is gone: every model is called through Converse"));
        }
        if let Some(id) = item.remove(KEY) {
            item.insert(MODEL_ID.to_owned(), id);
        }
        let model: ModelEntry<String> = entry::read(key, Value::Object(item))?;
        model.check()?;
        let own = [
            ("aliases", model.aliases.is_empty(), "does not belong here: an alias is an item of its own, alias#NAME"),
            ("pricedAlike", model.priced_alike.is_empty(), "does not belong here: give every id an item of its own"),
        ];
        if model.fallback.as_ref() == Some(&model.model_id) {
            return Err(InvalidEntry::new(key, "fallback", "must be the id of another model"));
        }
        match own.into_iter().find(|(_, absent, _)| !absent) {
            Some((field, _, problem)) => Err(InvalidEntry::new(key, field, problem)),
            None => Ok(Self(Added::Model(Box::new(model)))),
        }
    }

    /// What it means, if it is an alias.
    #[must_use]
    pub fn target(&self) -> Option<&str> {
        match &self.0 {
            Added::Alias(target) => Some(target),
            Added::Model(_) => None,
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

impl Catalogue {
    /// The model that `addition` describes, which a client in `region` calls `requested`; what the item leaves open is as the
    /// catalogue says. `None` if the item is an alias.
    ///
    /// The price is that of the Region of the table, net of the account's discount.
    ///
    /// # Errors
    /// When the model has no family, is retired, or is not offered in `region`.
    pub fn resolve_added(
        &self,
        requested: &str,
        addition: &Addition,
        region: &str,
    ) -> Result<Option<Resolved>, Unusable> {
        let Added::Model(entry) = &addition.0 else { return Ok(None) };
        let id = entry.model_id.as_str();
        self.not_retired(id).map_err(Unusable::Unresolved)?;
        self.offered(id, &entry.regions, region).map_err(Unusable::Unresolved)?;
        let Some(family) = entry.family.or_else(|| self.family_of(id)) else {
            let problem = "is required: no pattern of the catalogue fits the id";
            return Err(Unusable::Entry(InvalidEntry::new(id, "family", problem)));
        };
        let limits = self.limits(id);
        let limits = TokenLimits {
            context_window: entry.context_window.or(limits.context_window),
            output: entry.output_limit.or(limits.output),
            picture: entry.picture.or(limits.picture),
        };
        let max_tokens = entry.defaults.max_tokens.unwrap_or_else(|| self.max_tokens(id));
        let max_tokens = limits.output.map_or(max_tokens, |limit| max_tokens.min(limit));
        Ok(Some(Resolved {
            model: sentry_contract::request::Model {
                requested: requested.to_owned(),
                model_id: id.to_owned(),
                model_metric: ids::application_profile_id(id).unwrap_or(id).to_owned(),
                foundation: ids::foundation_of(id),
                family,
                price: entry.price.map(|price| price.less(self.discount)),
                reasoning: None,
            },
            defaults: entry.defaults.parameters(max_tokens),
            limits,
            listed: true,
            fallback: entry.fallback.clone().or_else(|| self.fallback(id)),
        }))
    }

    /// Whether an item for `id` could say more than the catalogue does: it is well formed, and no entry speaks for it.
    #[must_use]
    pub fn may_be_added(&self, id: &str) -> bool {
        ids::is_well_formed(id) && self.entry_for(id).is_none() && !id.starts_with("arn:")
    }
}
