//! The names by which clients can call models.

use std::collections::BTreeMap;

use chrono::NaiveDate;
use sentry_lambda::Failure;
use sentry_models::ResolveError;

use crate::resolve::Resolver;

/// A name of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelName {
    /// The name, as a client writes it.
    pub name: String,
    /// The id or ARN that Bedrock gets.
    pub model_id: String,
    /// The id of the foundation model. `None` if the catalogue does not know it.
    pub foundation: Option<String>,
}

impl Resolver {
    /// Every alias of the catalogue and of the catalogue table that can be called on the day `today` (UTC), by name.
    ///
    /// # Errors
    /// `LedgerUnavailable` if the catalogue table cannot be read.
    pub async fn names(&self, today: NaiveDate) -> Result<Vec<ModelName>, Failure> {
        let (catalogue, region) = (&self.catalogue, self.region.as_str());
        let mut names = BTreeMap::new();
        for name in catalogue.names() {
            if let Ok(resolved) = catalogue.resolve(name, region, today) {
                let model = resolved.model;
                let found = ModelName { name: name.to_owned(), model_id: model.model_id, foundation: model.foundation };
                names.insert(name.to_owned(), found);
            }
        }
        for (name, target) in self.additions.aliases().await? {
            // An alias of a model keeps its meaning, as in `resolve`.
            let is_taken = !catalogue.gives_way(&name)
                && !matches!(catalogue.resolve(&name, region, today), Err(ResolveError::Unknown));
            if is_taken {
                continue;
            }
            let resolved = catalogue.resolve_id(&name, &target, region, today).ok();
            let foundation = resolved.as_ref().and_then(|resolved| resolved.model.foundation.clone());
            let model_id = resolved.map_or(target, |resolved| resolved.model.model_id);
            names.insert(name.clone(), ModelName { name, model_id, foundation });
        }
        Ok(names.into_values().collect())
    }
}
