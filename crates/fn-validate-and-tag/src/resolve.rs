//! Resolves a client's name for a model. An administrator's item in the catalogue table takes precedence over the
//! bundled catalogue.
//!
//! If neither knows an application inference profile, Bedrock is asked for the model behind it.

use std::time::Instant;

use chrono::{DateTime, NaiveDate, Utc};
use sentry_contract::request::{Model, Tags};
use sentry_lambda::Failure;
use sentry_models::{Addition, Catalogue, ResolveError, Resolved, home_of_profile};
use serde_json::json;
use tracing::warn;

use crate::additions::Additions;
use crate::field::Refusal;
use crate::model_refusal::ModelRefusal;
use crate::profile_policy::{ProfilesByTags, Through};
use crate::profiles::{ProfileRefusal, Profiles};

/// A model, or the reason why the name is refused.
pub type Answer = Result<Resolved, ModelRefusal>;

/// Resolves names with the bundled catalogue, the catalogue table and Bedrock's inference profiles.
#[derive(Debug)]
pub struct Resolver {
    pub(crate) catalogue: Catalogue,
    pub(crate) additions: Additions,
    profiles: Profiles,
    pub(crate) region: String,
    by_tags: Option<ProfilesByTags>,
}

impl Resolver {
    /// Creates a resolver for clients in `region`.
    #[must_use]
    pub fn new(
        catalogue: Catalogue,
        dynamodb: aws_sdk_dynamodb::Client,
        catalogue_table: String,
        bedrock: aws_sdk_bedrock::Client,
        region: String,
    ) -> Self {
        let additions = Additions::new(dynamodb, catalogue_table);
        Self { catalogue, additions, profiles: Profiles::new(bedrock), region, by_tags: None }
    }

    /// The same resolver, but a request goes through the inference profile of its model and tags.
    #[must_use]
    pub fn with_profiles(self, by_tags: ProfilesByTags) -> Self {
        Self { by_tags: Some(by_tags), ..self }
    }

    /// `resolved`, called through the inference profile of its model and `tags` if the policy wants it. A request that
    /// names a profile gets the tags of the profile that it does not have. `model_path` is the path of the field that
    /// names the model. `now` is the same moment as `at`, on the clock of the caches.
    ///
    /// # Errors
    /// `LedgerUnavailable` if the profiles, or the catalogue table's item of the profile, cannot be read.
    pub async fn through_profile(
        &self,
        resolved: Resolved,
        tags: &mut Tags,
        model_path: &str,
        now: DateTime<Utc>,
        at: Instant,
    ) -> Result<Result<Resolved, Refusal>, Failure> {
        let Some(by_tags) = &self.by_tags else { return Ok(Ok(resolved)) };
        let arn = match by_tags.profile(&resolved, tags, model_path, now).await? {
            Ok(Through::Found(arn)) => arn,
            Ok(Through::Named | Through::Nothing) => return Ok(Ok(resolved)),
            Err(refusal) => return Ok(Err(refusal)),
        };
        let item = match self.additions.find(&arn, at).await? {
            Ok(item) => item,
            Err(invalid) => return Ok(Err(ModelRefusal::from(invalid).at(model_path.to_owned()))),
        };
        Ok(Ok(self.called_through(resolved, &arn, item.as_deref())))
    }

    /// `model`, called through the profile `arn`, which has `item` in the catalogue table.
    fn called_through(&self, model: Resolved, arn: &str, item: Option<&Addition>) -> Resolved {
        let model = model.called_through(arn);
        match item {
            Some(item) => self.catalogue.overlaid(model, item),
            None => model,
        }
    }

    /// Resolves `requested` on the day `today` (UTC). `at` is the same moment on the clock of the caches.
    ///
    /// # Errors
    /// `LedgerUnavailable` if a look-up that the request needs fails. Then the price would not be known.
    pub async fn resolve(&self, requested: &str, today: NaiveDate, at: Instant) -> Result<Answer, Failure> {
        let name = Name { requested, today, at };
        let found = self.catalogue.resolve(requested, &self.region, today);
        let of_table = matches!(found, Err(ResolveError::Unknown)) || self.catalogue.gives_way(requested);
        match Addition::alias_key(requested).filter(|_| of_table) {
            Some(alias) => match self.additions.find(&alias, at).await? {
                Ok(Some(alias)) => {
                    let target = alias.target().unwrap_or(requested);
                    let found = self.catalogue.resolve_id(requested, target, &self.region, today);
                    self.model_or_profile(&name, target, found).await
                }
                Ok(None) => self.model_or_profile(&name, requested, found).await,
                Err(invalid) => Ok(Err(invalid.into())),
            },
            None => self.model_or_profile(&name, requested, found).await,
        }
    }

    /// The cheaper model that can answer instead of `resolved`. `None` if there is none, or if it cannot be called.
    ///
    /// A fallback that cannot be resolved does not fail the request.
    pub async fn fallback(&self, resolved: &Resolved, today: NaiveDate, at: Instant) -> Option<Resolved> {
        let id = resolved.fallback.as_deref()?;
        let name = Name { requested: self.catalogue.name_of(id), today, at };
        let found = self.catalogue.resolve_id(name.requested, id, &self.region, today);
        let fallback = match self.model(&name, id, found).await {
            Ok(Ok(fallback)) => fallback,
            Ok(Err(ModelRefusal { problem, .. })) => {
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
        // They would share one budget.
        (fallback.model.model_metric != resolved.model.model_metric).then_some(fallback)
    }

    /// The id under which Bedrock counts the tokens of prompts to `model`: for an application inference profile, the
    /// foundation model behind it. `None` if Bedrock does not count them.
    #[must_use]
    pub fn counted_as(&self, model: &Model) -> Option<String> {
        let profile = home_of_profile(&model.model_id);
        let id = profile.and(model.foundation.as_deref()).unwrap_or(&model.model_id);
        self.catalogue.counted_as(id).map(str::to_owned)
    }

    /// Resolves the name, id or ARN `id`, for which the catalogue has `found`. For an application inference profile,
    /// this is the model from which the profile was made.
    async fn model_or_profile(
        &self,
        name: &Name<'_>,
        id: &str,
        found: Result<Resolved, ResolveError>,
    ) -> Result<Answer, Failure> {
        let Err(ResolveError::Profile(arn)) = found else { return self.model(name, id, found).await };
        let item = match self.additions.find(&arn, name.at).await? {
            Ok(item) => item,
            Err(invalid) => return Ok(Err(invalid.into())),
        };
        let resolve_added = |item| self.catalogue.resolve_added(name.requested, item, &self.region, name.today);
        if let Some(Ok(Some(resolved))) = item.as_deref().map(resolve_added) {
            return Ok(Ok(resolved));
        }
        let behind = self.behind_profile(name, &arn).await?;
        Ok(behind.map(|model| self.called_through(model, &arn, item.as_deref())))
    }

    /// The model from which the application inference profile `arn` was made.
    async fn behind_profile(&self, name: &Name<'_>, arn: &str) -> Result<Answer, Failure> {
        let profile_refusal = |ProfileRefusal { bedrock_error, problem }| {
            let mut details = vec![("modelId", json!(arn))];
            details.extend(bedrock_error.map(|name| ("bedrockError", json!(name))));
            ModelRefusal { problem: format!("the application inference profile {arn} {problem}"), details }
        };
        if home_of_profile(arn).is_none_or(|(region, _)| region != self.region) {
            let elsewhere = ProfileRefusal::because("belongs to another Region than the sentry's");
            return Ok(Err(profile_refusal(elsewhere)));
        }
        let source = match self.profiles.source(arn, name.at).await? {
            Ok(source) => source,
            Err(reason) => return Ok(Err(profile_refusal(reason))),
        };
        let behind = self.catalogue.resolve_id(name.requested, &source, &self.region, name.today);
        self.model(name, &source, behind).await
    }

    /// Applies the item of the catalogue table to `found`, the catalogue's model for `id`.
    async fn model(&self, name: &Name<'_>, id: &str, found: Result<Resolved, ResolveError>) -> Result<Answer, Failure> {
        let Some(key) = self.catalogue.item_key(id, &self.region, name.today) else {
            return Ok(found.map_err(ModelRefusal::from));
        };
        let item = match self.additions.find(&key, name.at).await? {
            Ok(Some(item)) => item,
            Ok(None) => return Ok(found.map_err(ModelRefusal::from)),
            Err(invalid) => return Ok(Err(invalid.into())),
        };
        Ok(match self.catalogue.resolve_added(name.requested, &item, &self.region, name.today) {
            Ok(Some(resolved)) => Ok(resolved),
            Ok(None) => found.map_err(ModelRefusal::from),
            Err(unusable) => Err(unusable.into()),
        })
    }
}

/// A client's name for a model, and the time of the request.
struct Name<'a> {
    requested: &'a str,
    /// The day of the request, in UTC.
    today: NaiveDate,
    /// The same moment, on the clock of the caches.
    at: Instant,
}

#[cfg(test)]
pub mod tests;
