//! The application inference profiles of the account and Region, with their tags.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_bedrock::Client;
pub use sentry_profiles::Profile;
use sentry_profiles::{SweepError, Tags};

use crate::failure::Failure;

/// All application inference profiles, from every page.
///
/// # Errors
/// If Bedrock cannot be reached or refuses.
pub async fn profiles(bedrock: &Client) -> Result<Vec<Profile>, Failure> {
    sentry_profiles::profiles(bedrock).await.map_err(|error| failure(&error))
}

/// The tags of all profiles by ARN, in one sweep over every page.
///
/// # Errors
/// If the tagging API cannot be reached or refuses.
pub async fn all_tags(tagging: &aws_sdk_resourcegroupstagging::Client) -> Result<HashMap<String, Tags>, Failure> {
    sentry_profiles::all_tags(tagging).await.map_err(|error| failure(&error))
}

fn failure(error: &SweepError) -> Failure {
    match error {
        SweepError::Profiles(error) => Failure::of_call("the profiles cannot be listed", error.as_ref()),
        SweepError::Parameters(error) => Failure::Refused(error.to_string()),
        SweepError::Tags(error) => Failure::of_call("the tags of the profiles cannot be listed", error.as_ref()),
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
