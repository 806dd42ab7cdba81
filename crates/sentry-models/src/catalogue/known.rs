//! The contents of the catalogue, for lists.

use std::collections::BTreeSet;

use chrono::NaiveDate;

use super::Catalogue;
use crate::ids;

/// A model of the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Known {
    /// The id without a Region group.
    pub model: String,
    /// The names that mean the model, in alphabetical order.
    pub aliases: Vec<String>,
}

/// Where a price of the catalogue is from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PriceOrigin<'c> {
    /// A sentence with the source.
    pub source: &'c str,
    /// The day on which the price was read.
    pub read: NaiveDate,
}

impl Catalogue {
    /// Every model of the catalogue, by id.
    #[must_use]
    pub fn known(&self) -> Vec<Known> {
        let known = self.models.values().map(|entry| {
            let mut aliases = entry.aliases.clone();
            aliases.sort();
            Known { model: entry.model.clone(), aliases }
        });
        let mut known: Vec<Known> = known.collect();
        known.sort_by(|a, b| a.model.cmp(&b.model));
        known
    }

    /// Every name that the catalogue has for a model or for a purpose, in alphabetical order.
    #[must_use]
    pub fn names(&self) -> BTreeSet<&str> {
        let of_models = self.models.values().flat_map(|entry| &entry.aliases);
        of_models.chain(self.common.aliases.keys()).map(String::as_str).collect()
    }

    /// `true` if an alias of this name in the catalogue table is used instead of the catalogue's. These are the names that
    /// stand for a purpose, such as `sales`, and not for a model.
    #[must_use]
    pub fn gives_way(&self, name: &str) -> bool {
        self.common.aliases.contains_key(name)
    }

    /// Where the price of `model_id` in `region` is from. `None` if the catalogue has no price there.
    #[must_use]
    pub fn price_origin(&self, model_id: &str, region: &str) -> Option<PriceOrigin<'_>> {
        let (_, row) = self.price_row(ids::id_of(model_id), region)?;
        Some(PriceOrigin { source: &row.source, read: row.read })
    }
}
