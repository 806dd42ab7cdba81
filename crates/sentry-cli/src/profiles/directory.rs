//! The application inference profiles of the account and Region, with their tags.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_bedrock::Client;
use aws_sdk_bedrock::types::InferenceProfileType;
use chrono::{DateTime, Utc};
use sentry_models::source_of_profile;

use crate::failure::Failure;

/// Profiles on one page of `ListInferenceProfiles`, and resources on one page of `GetResources`.
///
/// Sources: Amazon Bedrock API Reference, `ListInferenceProfiles`, at most 1,000; Resource Groups Tagging API Reference,
/// `GetResources`, at most 100.
const PROFILES_OF_A_PAGE: i32 = 200;
const RESOURCES_OF_A_PAGE: i32 = 100;
const RESOURCE_TYPE: &str = "bedrock:application-inference-profile";

/// A profile.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profile {
    pub name: String,
    pub arn: String,
    pub id: String,
    /// Id of the model or system-defined profile behind it. `None` if it is not for one model of a Region or Region group.
    pub model: Option<String>,
    pub status: String,
    pub created: Option<DateTime<Utc>>,
}

/// All application inference profiles, from every page.
///
/// # Errors
/// If Bedrock cannot be reached or refuses.
pub async fn profiles(bedrock: &Client) -> Result<Vec<Profile>, Failure> {
    let mut profiles = Vec::new();
    let mut token = None;
    loop {
        let call = bedrock.list_inference_profiles().type_equals(InferenceProfileType::Application);
        let page = call.max_results(PROFILES_OF_A_PAGE).set_next_token(token).send().await;
        let page = page.map_err(|error| Failure::of_call("the profiles cannot be listed", &error))?;
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

/// The tags of all profiles by ARN, in one sweep over every page. A page may be short or empty before the last one.
///
/// # Errors
/// If the tagging API cannot be reached or refuses.
pub async fn all_tags(
    tagging: &aws_sdk_resourcegroupstagging::Client,
) -> Result<HashMap<String, BTreeMap<String, String>>, Failure> {
    let mut found = HashMap::new();
    let mut token = None;
    loop {
        let call = tagging.get_resources().resource_type_filters(RESOURCE_TYPE);
        let page = call.resources_per_page(RESOURCES_OF_A_PAGE).set_pagination_token(token).send().await;
        let page = page.map_err(|error| Failure::of_call("the tags of the profiles cannot be listed", &error))?;
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

/// The tags of the profile `arn`, as Bedrock has them now.
///
/// # Errors
/// If Bedrock cannot be reached or refuses.
pub async fn tags_of(bedrock: &Client, arn: &str) -> Result<BTreeMap<String, String>, Failure> {
    let answer = bedrock.list_tags_for_resource().resource_arn(arn).send().await;
    let answer = answer.map_err(|error| Failure::of_call(&format!("the tags of {arn} cannot be read"), &error))?;
    Ok(answer.tags().iter().map(|tag| (tag.key().to_owned(), tag.value().to_owned())).collect())
}

/// Deletes the profile `arn`.
///
/// # Errors
/// If Bedrock cannot be reached or refuses.
pub async fn delete(bedrock: &Client, arn: &str) -> Result<(), Failure> {
    let answer = bedrock.delete_inference_profile().inference_profile_identifier(arn).send().await;
    answer.map(drop).map_err(|error| Failure::of_call(&format!("the profile {arn} cannot be deleted"), &error))
}
