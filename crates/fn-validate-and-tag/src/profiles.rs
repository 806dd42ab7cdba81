//! The models behind application inference profiles, from Bedrock's control plane.

use std::time::{Duration, Instant};

use aws_sdk_bedrock::Client;
use aws_sdk_bedrock::error::SdkError;
use aws_sdk_bedrock::operation::get_inference_profile::GetInferenceProfileError;
use sentry_contract::ErrorCode;
use sentry_lambda::{Failure, cause};
use sentry_models::source_of_profile;

use crate::cache::Cache;

/// Lifetime of a cached answer. A profile never changes. It can only be deleted, and then Bedrock rejects the call
/// itself.
const MAX_AGE: Duration = Duration::from_secs(300);

/// The reason why an ARN cannot be resolved: an error of Bedrock, or a check of the sentry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProfileRefusal {
    /// The name of Bedrock's error. `None` if the check is the sentry's.
    pub bedrock_error: Option<&'static str>,
    /// The rest of the sentence after the ARN.
    pub problem: &'static str,
}

impl ProfileRefusal {
    /// The reason if Bedrock was not asked, or if it answered without an error.
    pub const fn because(problem: &'static str) -> Self {
        Self { bedrock_error: None, problem }
    }

    const fn refused(name: &'static str, problem: &'static str) -> Self {
        Self { bedrock_error: Some(name), problem }
    }
}

/// Bedrock's inference profiles, with a cache of the answers.
#[derive(Debug)]
pub struct Profiles {
    client: Client,
    cache: Cache<Result<String, ProfileRefusal>>,
}

impl Profiles {
    /// The profiles in the account and Region of `client`.
    pub fn new(client: Client) -> Self {
        Self { client, cache: Cache::new(MAX_AGE) }
    }

    /// The id of the model or cross-Region profile from which the profile `arn` was made.
    ///
    /// # Errors
    /// `LedgerUnavailable` if Bedrock's control plane cannot be reached, throttles the call, or fails.
    pub async fn source(&self, arn: &str, at: Instant) -> Result<Result<String, ProfileRefusal>, Failure> {
        if let Some(known) = self.cache.get(arn, at) {
            return Ok(known);
        }
        let answer = self.client.get_inference_profile().inference_profile_identifier(arn).send().await;
        let source = match answer {
            Ok(profile) => source_of_profile(profile.models().iter().filter_map(|model| model.model_arn()))
                .ok_or(ProfileRefusal::because("is not for one model of a Region or of a Region group")),
            Err(error) => Err(refusal(&error)?),
        };
        self.cache.put(arn, source.clone(), at);
        Ok(source)
    }
}

/// The refusal for a permanent error of Bedrock. Any other error may be temporary, so it is a failure.
fn refusal(error: &SdkError<GetInferenceProfileError>) -> Result<ProfileRefusal, Failure> {
    match error.as_service_error() {
        Some(GetInferenceProfileError::ResourceNotFoundException(_)) => {
            Ok(ProfileRefusal::refused("ResourceNotFoundException", "does not exist in this account and Region"))
        }
        Some(GetInferenceProfileError::AccessDeniedException(_)) => {
            Ok(ProfileRefusal::refused("AccessDeniedException", "may not be read by the sentry"))
        }
        Some(GetInferenceProfileError::ValidationException(_)) => {
            Ok(ProfileRefusal::refused("ValidationException", "is refused by Bedrock as an identifier"))
        }
        _ => Err(Failure::new(
            ErrorCode::LedgerUnavailable,
            format!("the model behind an inference profile cannot be looked up: {}", cause(error)),
        )),
    }
}
