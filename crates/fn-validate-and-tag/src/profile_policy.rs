//! Application inference profiles that a request is called through because of its tags (`ProfilePolicy`).

use std::str::FromStr;

use chrono::{DateTime, Utc};
use sentry_contract::ErrorCode;
use sentry_contract::request::Tags;
use sentry_lambda::Failure;
use sentry_models::{Resolved, home_of_profile};
use sentry_profiles::{Ambiguous, KEYS, ProfileIndex, Snapshot, TaggedProfile, Values};
use serde_json::json;

use crate::field::Refusal;
use crate::model_refusal::ModelRefusal;

/// The parameter `ProfilePolicy` of a stack that finds profiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProfilePolicy {
    /// A request goes through the profile of its model and tags, if there is one.
    Preferred,
    /// A request without such a profile is refused, unless it names a profile itself.
    Required,
}

/// The values of the parameter. `None` is `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PolicyParameter(pub Option<ProfilePolicy>);

impl FromStr for PolicyParameter {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        match text {
            "off" => Ok(Self(None)),
            "preferred" => Ok(Self(Some(ProfilePolicy::Preferred))),
            "required" => Ok(Self(Some(ProfilePolicy::Required))),
            _ => Err(()),
        }
    }
}

/// The profiles of the account, and the policy for requests.
#[derive(Debug)]
pub struct ProfilesByTags {
    policy: ProfilePolicy,
    index: ProfileIndex,
}

/// The profile that a request is called through.
pub enum Through {
    /// The request names the profile itself.
    Named,
    /// The profile with this ARN has the model and the tags of the request.
    Found(String),
    /// No profile has them, and none is needed.
    Nothing,
}

impl ProfilesByTags {
    /// Finds the profiles in `index`.
    #[must_use]
    pub const fn new(policy: ProfilePolicy, index: ProfileIndex) -> Self {
        Self { policy, index }
    }

    /// The profile for `resolved` and `tags`. If the request names a profile, its tags that the request does not have
    /// are added to `tags`. `model_path` is the path of the field that names the model.
    ///
    /// # Errors
    /// `LedgerUnavailable` if the profiles are not known. The request must not be called without its profile then,
    /// because its cost would be without tags on the bill.
    pub async fn profile(
        &self,
        resolved: &Resolved,
        tags: &mut Tags,
        model_path: &str,
        now: DateTime<Utc>,
    ) -> Result<Result<Through, Refusal>, Failure> {
        let snapshot = self.index.snapshot(now).await;
        let snapshot = snapshot.map_err(|error| Failure::caused(ErrorCode::LedgerUnavailable, &error))?;
        if home_of_profile(&resolved.model.model_id).is_some() {
            let named = snapshot.by_arn(&resolved.model.model_id);
            return Ok(named.map_or(Ok(()), |profile| complete(tags, profile)).map(|()| Through::Named));
        }
        let found = self.find(&snapshot, resolved, tags);
        Ok(found.map_err(|refusal| refusal.at(model_path.to_owned())))
    }

    fn find(&self, snapshot: &Snapshot, resolved: &Resolved, tags: &Tags) -> Result<Through, ModelRefusal> {
        let model = &resolved.model.model_id;
        match snapshot.find(model, values(tags)) {
            Ok(Some(profile)) => Ok(Through::Found(profile.arn.clone())),
            Ok(None) if self.policy == ProfilePolicy::Preferred => Ok(Through::Nothing),
            Ok(None) => Err(none_fits(model)),
            Err(several) => Err(several_fit(model, several)),
        }
    }
}

fn values(tags: &Tags) -> Values<&str> {
    KEYS.map(|key| tags.get(key))
}

/// Adds the tags of `profile` that the request does not have. Refuses a request whose tags contradict them, because its
/// cost would be on the bill of another cost center than its budget.
fn complete(tags: &mut Tags, profile: &TaggedProfile) -> Result<(), Refusal> {
    if let Some((key, value)) = profile.contradiction(values(tags)) {
        let problem = format!("contradicts the inference profile {}, whose tag {key} is `{value}`", profile.arn);
        let details = vec![("profile", json!(profile.arn)), ("expected", json!(value))];
        return Err(Refusal { details, ..Refusal::new(format!("tags.{key}"), problem) });
    }
    for (key, value) in KEYS.into_iter().zip(&profile.values) {
        if let (None, Some(value)) = (tags.get(key), value) {
            tags.set(key, value);
        }
    }
    Ok(())
}

fn none_fits(model: &str) -> ModelRefusal {
    let problem = format!(
        "{model} is called only through an application inference profile (ProfilePolicy is required), and no profile of it has \
         the tags of the request. An admin can create one with `sentry profiles create`, which is seen after about a minute"
    );
    ModelRefusal::new(problem, vec![("modelId", json!(model))])
}

fn several_fit(model: &str, several: Ambiguous) -> ModelRefusal {
    let problem = format!(
        "{several}, and {model} can be called through one of them only. An admin has to change the tags of the others"
    );
    ModelRefusal::new(problem, vec![("modelId", json!(model)), ("profiles", json!(several.arns))])
}

#[cfg(test)]
mod tests;
