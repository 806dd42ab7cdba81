//! The reason why a model cannot be sent a request.

use sentry_contract::states::Target;
use sentry_contract::{ErrorBody, ErrorCode};

/// A part of the request that the model cannot honor, with the reason.
#[derive(Debug)]
pub struct Unsupported {
    /// One of `max_tokens`, `system`, `toolChoice`, `reasoning` and `additionalModelRequestFields`.
    pub parameter: &'static str,
    /// The reason, as the end of a sentence.
    pub because: &'static str,
}

impl Unsupported {
    /// The error for the client. Nothing was sent to Bedrock.
    pub fn error(&self, model: &Target) -> ErrorBody {
        let Self { parameter, because } = self;
        let family = model.family.name();
        let message = format!("`{parameter}` cannot be honored by this model (family {family}): {because}.");
        ErrorBody::new(ErrorCode::ModelRejectedRequest, message).with("parameter", *parameter)
    }
}
