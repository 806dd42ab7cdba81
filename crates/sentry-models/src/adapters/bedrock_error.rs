//! An error with which Bedrock answered a call by the SDK or by Step Functions.

use sentry_contract::ErrorCode;

use super::meaning::{Meaning, USE_CASE_FORM, answered};
use super::{Effect, ModelFailure};

/// The parts of Bedrock's error, as far as they are known.
#[derive(Clone, Copy, Default)]
pub struct BedrockError<'e> {
    /// The name of the exception, such as `ThrottlingException`.
    pub name: Option<&'e str>,
    pub status: Option<u16>,
    /// The id by which AWS can identify the call.
    pub request_id: Option<&'e str>,
    /// Bedrock's own message. It may quote the prompt.
    pub message: Option<&'e str>,
}

impl BedrockError<'_> {
    /// The failure that the client receives. A well-known message determines its code and message, before the error's
    /// name does. The effect depends only on the name and the status.
    pub fn failure(self) -> ModelFailure {
        let generic = answered(self.name, self.status);
        let known = self.known();
        let meaning = known.map_or(generic, |known| Meaning { effect: generic.effect, ..known.meaning });
        let mut failure = meaning.failure(self.name, self.request_id);
        if known.is_some_and(|known| known.retired) {
            failure.error.details.insert("retired".to_owned(), true.into());
        }
        failure.with_bedrock_message(self.message)
    }

    /// The well-known message of this error, if it is one. Only two errors are searched, because they never quote the
    /// request. So words of a prompt cannot pass for words of Bedrock.
    fn known(&self) -> Option<&'static Known> {
        let about_the_model = match self.name {
            Some("AccessDeniedException" | "ResourceNotFoundException") => true,
            Some(_) => false,
            None => matches!(self.status, Some(403 | 404)),
        };
        let message = self.message.filter(|_| about_the_model)?.to_lowercase();
        KNOWN.iter().find(|known| known.parts.iter().any(|part| message.contains(part)))
    }
}

/// A message of Bedrock that has a well-known meaning.
struct Known {
    /// Fragments in lower case. A message matches if it contains one of them. They are short because Bedrock changes
    /// the words around them.
    parts: &'static [&'static str],
    meaning: Meaning,
    /// `true` if the message says that the model has ended.
    retired: bool,
}

/// Sources: public reports of 2024 to 2026 that quote Bedrock ("This model version has reached the end of its life.",
/// "Access denied. This Model is marked by provider as Legacy and you have not been actively using the model in the
/// last 30 days.", "Model use case details have not been submitted for this account.", "You have not filled out the
/// required use-case form for this model.", "Your AWS Marketplace subscription for this model cannot be completed at
/// this time."); Amazon Bedrock User Guide, "Troubleshooting Amazon Bedrock API Error Codes" (`FTUFormNotFilled`) and
/// "Access Amazon Bedrock foundation models".
const KNOWN: [Known; 3] = [
    Known { parts: &["end of its life", "marked by provider as legacy"], meaning: RETIRED, retired: true },
    Known { parts: &["ftuformnotfilled", "use case details", "use-case form"], meaning: USE_CASE_FORM, retired: false },
    Known { parts: &["aws-marketplace:", "aws marketplace"], meaning: NOT_SUBSCRIBED, retired: false },
];

const RETIRED: Meaning = Meaning {
    code: ErrorCode::ModelRejectedRequest,
    effect: Effect::Nothing,
    message: "The model has ended: Bedrock does not serve it to this account any more. Choose another model.",
};
const NOT_SUBSCRIBED: Meaning = Meaning {
    code: ErrorCode::ModelAccessDenied,
    effect: Effect::Nothing,
    message: "This account has no AWS Marketplace subscription to the model. An administrator with the permission aws-marketplace:Subscribe calls the model once, which subscribes the account; then wait 15 minutes.",
};
