//! The application inference profiles of an account and Region, from Bedrock and from the Resource Groups Tagging API.

use std::collections::{BTreeMap, HashMap};

use aws_config::SdkConfig;
use aws_sdk_bedrock::error::SdkError as BedrockError;
use aws_sdk_bedrock::operation::list_inference_profiles::ListInferenceProfilesError;
use aws_sdk_bedrock::types::InferenceProfileType;
use aws_sdk_resourcegroupstagging::error::SdkError as TaggingError;
use aws_sdk_resourcegroupstagging::operation::get_resources::GetResourcesError;
use chrono::{DateTime, Utc};
use sentry_models::source_of_profile;

use crate::parameters::{ParameterStore, ParametersError};
use crate::snapshot::{KEYS, TaggedProfile};

/// Profiles on one page of `ListInferenceProfiles`, and resources on one page of `GetResources`: the most that the
/// services return.
///
/// Sources: Amazon Bedrock API Reference, `ListInferenceProfiles`; Resource Groups Tagging API Reference,
/// `GetResources`.
const PROFILES_OF_A_PAGE: i32 = 1_000;
const RESOURCES_OF_A_PAGE: i32 = 100;
const RESOURCE_TYPE: &str = "bedrock:application-inference-profile";

/// The tags of a resource by key.
pub type Tags = BTreeMap<String, String>;

/// An application inference profile, as Bedrock lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    /// Name that its creator gave it.
    pub name: String,
    /// ARN of the profile.
    pub arn: String,
    /// Id at the end of the ARN.
    pub id: String,
    /// Id of the model or system-defined profile behind it. `None` if it is not for one model of a Region or Region
    /// group.
    pub model: Option<String>,
    /// Status, such as `ACTIVE`.
    pub status: String,
    /// Time of its creation.
    pub created: Option<DateTime<Utc>>,
}

/// The profiles or their tags cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum SweepError {
    /// The call `ListInferenceProfiles` failed.
    #[error("the inference profiles cannot be listed")]
    Profiles(#[source] Box<BedrockError<ListInferenceProfilesError>>),
    /// The call `GetResources` failed.
    #[error("the tags of the inference profiles cannot be listed")]
    Tags(#[source] Box<TaggingError<GetResourcesError>>),
    /// The fixed list cannot be read.
    #[error(transparent)]
    Parameters(#[from] ParametersError),
}

/// Where the profiles and their tags come from.
#[derive(Clone, Debug)]
pub enum Listing {
    /// The tags of the profiles in AWS.
    Tags(Directory),
    /// A fixed list in Parameter Store.
    Parameters(Box<ParameterStore>),
}

impl Listing {
    /// The fixed list of the path `map` if there is one (`ProfileMapParameter`), otherwise the tags in `directory`.
    /// `config` is for calls of Parameter Store.
    #[must_use]
    pub fn new(directory: Directory, map: Option<String>, config: &SdkConfig) -> Self {
        match map.filter(|path| !path.is_empty()) {
            Some(path) => Self::Parameters(Box::new(ParameterStore::new(config.clone(), path))),
            None => Self::Tags(directory),
        }
    }

    /// All profiles of one model that have a tag of [`KEYS`].
    ///
    /// # Errors
    /// [`SweepError`].
    pub async fn tagged(&self) -> Result<Vec<TaggedProfile>, SweepError> {
        match self {
            Self::Tags(directory) => directory.tagged().await,
            Self::Parameters(parameters) => Ok(parameters.profiles().await?),
        }
    }
}

/// Lists the profiles of an account and Region.
#[derive(Clone, Debug)]
pub struct Directory {
    bedrock: aws_sdk_bedrock::Client,
    tagging: aws_sdk_resourcegroupstagging::Client,
}

impl Directory {
    /// The profiles in the account and Region of both clients.
    #[must_use]
    pub const fn new(bedrock: aws_sdk_bedrock::Client, tagging: aws_sdk_resourcegroupstagging::Client) -> Self {
        Self { bedrock, tagging }
    }

    /// All profiles of one model that have a tag of [`KEYS`]. A profile that one of both services does not know, for
    /// example because it was just deleted, is left out.
    ///
    /// # Errors
    /// [`SweepError`].
    pub async fn tagged(&self) -> Result<Vec<TaggedProfile>, SweepError> {
        let (profiles, mut tags) = tokio::try_join!(profiles(&self.bedrock), all_tags(&self.tagging))?;
        let tagged = profiles.into_iter().filter_map(|profile| {
            let mut tags = tags.remove(&profile.arn)?;
            let values = KEYS.map(|key| tags.remove(key));
            let model = profile.model.filter(|_| values.iter().any(Option::is_some))?;
            Some(TaggedProfile { arn: profile.arn, model, values })
        });
        Ok(tagged.collect())
    }
}

/// All profiles, from every page, sorted by name.
///
/// # Errors
/// [`SweepError::Profiles`].
pub async fn profiles(bedrock: &aws_sdk_bedrock::Client) -> Result<Vec<Profile>, SweepError> {
    let mut profiles = Vec::new();
    let mut token = None;
    loop {
        let call = bedrock.list_inference_profiles().type_equals(InferenceProfileType::Application);
        let page = call.max_results(PROFILES_OF_A_PAGE).set_next_token(token).send().await;
        let page = page.map_err(|error| SweepError::Profiles(Box::new(error)))?;
        profiles.extend(page.inference_profile_summaries().iter().map(|summary| Profile {
            name: summary.inference_profile_name().to_owned(),
            arn: summary.inference_profile_arn().to_owned(),
            id: summary.inference_profile_id().to_owned(),
            model: source_of_profile(summary.models().iter().filter_map(|model| model.model_arn())),
            status: summary.status().to_string(),
            created: summary.created_at().and_then(|at| DateTime::from_timestamp(at.secs(), 0)),
        }));
        token = page.next_token.filter(|token| !token.is_empty());
        if token.is_none() {
            profiles.sort_by(|a, b| (&a.name, &a.arn).cmp(&(&b.name, &b.arn)));
            return Ok(profiles);
        }
    }
}

/// The tags of all profiles by ARN, from every page. A page may be short or empty before the last one. A profile
/// that once had tags can have none.
///
/// # Errors
/// [`SweepError::Tags`].
pub async fn all_tags(tagging: &aws_sdk_resourcegroupstagging::Client) -> Result<HashMap<String, Tags>, SweepError> {
    let mut found = HashMap::new();
    let mut token = None;
    loop {
        let call = tagging.get_resources().resource_type_filters(RESOURCE_TYPE);
        let page = call.resources_per_page(RESOURCES_OF_A_PAGE).set_pagination_token(token).send().await;
        let page = page.map_err(|error| SweepError::Tags(Box::new(error)))?;
        for resource in page.resource_tag_mapping_list() {
            let tags = resource.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned()));
            if let Some(arn) = resource.resource_arn() {
                found.insert(arn.to_owned(), tags.collect());
            }
        }
        token = page.pagination_token.filter(|token| !token.is_empty());
        if token.is_none() {
            return Ok(found);
        }
    }
}
