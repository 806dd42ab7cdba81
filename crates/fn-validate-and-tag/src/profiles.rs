//! What is behind an application inference profile, as Bedrock's control plane knows it.

use std::time::{Duration, Instant};

use aws_sdk_bedrock::Client;
use aws_sdk_bedrock::error::SdkError;
use aws_sdk_bedrock::operation::get_inference_profile::GetInferenceProfileError;
use sentry_contract::ErrorCode;
use sentry_lambda::{Failure, cause};
use sentry_models::source_of_profile;

use crate::cache::Cache;

/// How long an answer is used again. A profile is never changed, only deleted, and then Bedrock itself refuses it.
const MAX_AGE: Duration = Duration::from_secs(300);

/// Why an ARN cannot be resolved, by the name of Bedrock's error or of the check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolvable {
    /// Bedrock's error, if it was one.
    pub bedrock_error: Option<&'static str>,
    /// Reads on from the ARN.
    pub problem: &'static str,
}

impl Unresolvable {
    /// Bedrock was not asked, or answered something else.
    pub const fn because(problem: &'static str) -> Self {
        Self { bedrock_error: None, problem }
    }

    const fn refused(name: &'static str, problem: &'static str) -> Self {
        Self { bedrock_error: Some(name), problem }
    }
}

/// Bedrock's inference profiles.
#[derive(Debug)]
pub struct Profiles {
    client: Client,
    cache: Cache<Result<String, Unresolvable>>,
}

impl Profiles {
    /// The profiles of `client`'s account and Region.
    pub fn new(client: Client) -> Self {
        Self { client, cache: Cache::new(MAX_AGE) }
    }

    /// The id of the model, or of the cross-Region profile, that the profile `arn` was made from.
    ///
    /// # Errors
    /// `LedgerUnavailable` when Bedrock's control plane cannot be reached, is throttled or fails.
    pub async fn source(&self, arn: &str, at: Instant) -> Result<Result<String, Unresolvable>, Failure> {
        if let Some(known) = self.cache.get(arn, at) {
            return Ok(known);
        }
        let answer = self.client.get_inference_profile().inference_profile_identifier(arn).send().await;
        let source = match answer {
            Ok(profile) => source_of_profile(profile.models().iter().filter_map(|model| model.model_arn()))
                .ok_or(Unresolvable::because("is not for one model of a Region or of a Region group")),
            Err(error) => Err(refusal(&error)?),
        };
        self.cache.put(arn, source.clone(), at);
        Ok(source)
    }
}

/// What Bedrock says for good; everything else may be different in a moment.
fn refusal(error: &SdkError<GetInferenceProfileError>) -> Result<Unresolvable, Failure> {
    match error.as_service_error() {
        Some(GetInferenceProfileError::ResourceNotFoundException(_)) => {
            Ok(Unresolvable::refused("ResourceNotFoundException", "does not exist in this account and Region"))
        }
        Some(GetInferenceProfileError::AccessDeniedException(_)) => {
            Ok(Unresolvable::refused("AccessDeniedException", "may not be read by the sentry"))
        }
        Some(GetInferenceProfileError::ValidationException(_)) => {
            Ok(Unresolvable::refused("ValidationException", "is refused by Bedrock as an identifier"))
        }
        _ => Err(Failure::new(
            ErrorCode::LedgerUnavailable,
            format!("the model behind an inference profile cannot be looked up: {}", cause(error)),
        )),
    }
}
