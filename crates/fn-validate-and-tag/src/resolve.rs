//! What a client's name for a model means: the bundled catalogue first, then what had to be looked up.
//!
//! An entry of the bundled catalogue decides without any read. The table of additions is asked for names that the catalogue
//! does not know, and for ids that it knows only by their family's pattern or under another Region group. Bedrock is asked
//! what is behind an application inference profile that has no entry.

use std::time::Instant;

use sentry_contract::ErrorCode;
use sentry_lambda::Failure;
use sentry_models::{Addition, Catalogue, InvalidEntry, Resolved, Unresolved, Unusable, home_of_profile};
use serde_json::{Value, json};
use tracing::warn;

use crate::additions::Additions;
use crate::field::Offence;
use crate::profiles::{Profiles, Unresolvable};

/// Why a name is refused: the end of a sentence, and facts for a machine.
#[derive(Clone, Debug, PartialEq)]
pub struct Refusal {
    problem: String,
    details: Vec<(&'static str, Value)>,
}

impl Refusal {
    /// The offence of the field at `path` that names the model.
    pub fn at(self, path: String) -> Offence {
        let problem = format!("names no model that can be called: {}", self.problem);
        Offence { code: ErrorCode::UnknownModel, path, problem, details: self.details }
    }
}

impl From<Unresolved> for Refusal {
    fn from(unresolved: Unresolved) -> Self {
        Self { problem: unresolved.to_string(), details: unresolved.details() }
    }
}

impl From<InvalidEntry> for Refusal {
    fn from(InvalidEntry { entry, field, problem }: InvalidEntry) -> Self {
        let text = format!(
            "its entry {entry} in the catalogue table cannot be understood ({field}: {problem}). An admin has to correct the entry, \
             which takes up to a minute to be seen"
        );
        Self { problem: text, details: vec![("entry", json!(entry)), ("field", json!(field))] }
    }
}

impl From<Unusable> for Refusal {
    fn from(unusable: Unusable) -> Self {
        match unusable {
            Unusable::Entry(invalid) => invalid.into(),
            Unusable::Unresolved(unresolved) => unresolved.into(),
        }
    }
}

/// A model, or why there is none.
pub type Answer = Result<Resolved, Refusal>;

/// Everything that knows models.
#[derive(Debug)]
pub struct Resolver {
    catalogue: Catalogue,
    additions: Additions,
    profiles: Profiles,
    region: String,
}

impl Resolver {
    /// Resolves names as clients in `region` mean them.
    #[must_use]
    pub fn new(
        catalogue: Catalogue,
        dynamodb: aws_sdk_dynamodb::Client,
        catalogue_table: String,
        bedrock: aws_sdk_bedrock::Client,
        region: String,
    ) -> Self {
        let additions = Additions::new(dynamodb, catalogue_table);
        Self { catalogue, additions, profiles: Profiles::new(bedrock), region }
    }

    /// What `requested` means at `at`.
    ///
    /// # Errors
    /// `LedgerUnavailable` when something had to be looked up and could not be: the price would not be known.
    pub async fn resolve(&self, requested: &str, at: Instant) -> Result<Answer, Failure> {
        let found = self.catalogue.resolve(requested, &self.region);
        let id = found.as_ref().map_or(requested, |found| found.model.model_id.as_str()).to_owned();
        match (&found, Addition::alias_key(requested)) {
            (Err(Unresolved::Unknown), Some(alias)) => match self.additions.find(&alias, at).await? {
                Ok(Some(alias)) => {
                    let target = alias.target().unwrap_or(requested);
                    let found = self.catalogue.resolve_id(requested, target, &self.region);
                    self.model_or_profile(requested, target, found, at).await
                }
                Ok(None) => self.model_or_profile(requested, &id, found, at).await,
                Err(invalid) => Ok(Err(invalid.into())),
            },
            _ => self.model_or_profile(requested, &id, found, at).await,
        }
    }

    /// The cheaper model that can answer in the place of `resolved`, if there is one that can be called at `at`.
    ///
    /// It may not be needed, so nobody is refused where it cannot be found out.
    pub async fn fallback(&self, resolved: &Resolved, at: Instant) -> Option<Resolved> {
        let id = resolved.fallback.as_deref()?;
        let name = self.catalogue.name_of(id);
        let found = self.catalogue.resolve_id(name, id, &self.region);
        let fallback = match self.model(name, id, found, at).await {
            Ok(Ok(fallback)) => fallback,
            Ok(Err(Refusal { problem, .. })) => {
                warn!(
                    model_id = resolved.model.model_id,
                    fallback = id,
                    cause = problem,
                    "the fallback cannot be called"
                );
                return None;
            }
            Err(failure) => {
                warn!(model_id = resolved.model.model_id, fallback = id, cause = %failure, "the fallback cannot be looked up");
                return None;
            }
        };
        // Both would draw on one budget.
        (fallback.model.model_metric != resolved.model.model_metric).then_some(fallback)
    }

    /// The id under which Bedrock counts the tokens of prompts to `model_id`, if it counts them.
    #[must_use]
    pub fn counted_as(&self, model_id: &str) -> Option<String> {
        self.catalogue.counted_as(model_id).map(str::to_owned)
    }

    async fn model_or_profile(
        &self,
        requested: &str,
        id: &str,
        found: Result<Resolved, Unresolved>,
        at: Instant,
    ) -> Result<Answer, Failure> {
        let Err(Unresolved::Profile(arn)) = found else { return self.model(requested, id, found, at).await };
        let unresolvable = |Unresolvable { bedrock_error, problem }| {
            let mut details = vec![("modelId", json!(arn))];
            details.extend(bedrock_error.map(|name| ("bedrockError", json!(name))));
            Refusal { problem: format!("the application inference profile {arn} {problem}"), details }
        };
        if home_of_profile(&arn).is_none_or(|(region, _)| region != self.region) {
            let elsewhere = Unresolvable::because("belongs to another Region than the sentry's");
            return Ok(Err(unresolvable(elsewhere)));
        }
        let source = match self.profiles.source(&arn, at).await? {
            Ok(source) => source,
            Err(reason) => return Ok(Err(unresolvable(reason))),
        };
        let behind = self.catalogue.resolve_id(requested, &source, &self.region);
        let behind = self.model(requested, &source, behind, at).await?;
        Ok(behind.map(|model| model.called_through(&arn)))
    }

    /// What the catalogue found, or what was added for `id`, which says more than a pattern does.
    async fn model(
        &self,
        requested: &str,
        id: &str,
        found: Result<Resolved, Unresolved>,
        at: Instant,
    ) -> Result<Answer, Failure> {
        let open = match &found {
            Ok(resolved) => !resolved.listed,
            Err(unresolved) => *unresolved == Unresolved::Unknown,
        };
        if !open || !self.catalogue.may_be_added(id) {
            return Ok(found.map_err(Refusal::from));
        }
        let added = match self.additions.find(id, at).await? {
            Ok(Some(addition)) => self.catalogue.resolve_added(requested, &addition, &self.region),
            Ok(None) => Ok(None),
            Err(invalid) => return Ok(Err(invalid.into())),
        };
        Ok(match added {
            Ok(Some(resolved)) => Ok(resolved),
            Ok(None) => found.map_err(Refusal::from),
            Err(unusable) => Err(unusable.into()),
        })
    }
}

#[cfg(test)]
pub mod tests;
