//! What Bedrock's errors mean to a client.

use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::operation::RequestId;
use aws_smithy_runtime_api::http::Response;
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::TokenUsage;

/// Why there is no reply. It never carries Bedrock's own message, which may quote the prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFailure {
    /// What the client is told.
    pub error: Box<ErrorBody>,
    /// Tokens that were spent all the same.
    pub usage: Option<TokenUsage>,
    /// Whether the model certainly did nothing, so that asking again costs nothing extra and may help.
    pub repeatable: bool,
}

impl ModelFailure {
    /// A failure that is final for this request.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { error: Box::new(ErrorBody::new(code, message)), usage: None, repeatable: false }
    }

    /// The model answered something that cannot be understood.
    #[must_use]
    pub fn malformed(problem: &str) -> Self {
        Self::new(
            ErrorCode::ModelError,
            format!("The model's answer cannot be used: {problem}. Its tokens may have been billed."),
        )
    }

    /// The failure, with what was spent.
    #[must_use]
    pub fn spent(self, usage: TokenUsage) -> Self {
        Self { usage: Some(usage), ..self }
    }
}

impl<E> From<SdkError<E, Response>> for ModelFailure
where
    E: ProvideErrorMetadata,
    SdkError<E, Response>: RequestId,
{
    fn from(error: SdkError<E, Response>) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let name = match &error {
            SdkError::ServiceError(service) => service.err().code(),
            _ => None,
        };
        let (code, message) = match &error {
            SdkError::ServiceError(_) => by_name(name).or_else(|| by_status(status)).unwrap_or(UNKNOWN),
            SdkError::TimeoutError(_) => {
                (ErrorCode::ModelTimeout, "The model did not answer in time. Ask for less, or try again.")
            }
            SdkError::DispatchFailure(_) => {
                (ErrorCode::ModelUnavailable, "The connection to Bedrock was lost. Try again.")
            }
            SdkError::ConstructionFailure(_) => {
                (ErrorCode::ModelRejectedRequest, "The request cannot be written in the model's format.")
            }
            _ => by_status(status).unwrap_or(UNREADABLE),
        };
        let mut body = ErrorBody::new(code, message);
        if let Some(name) = name {
            body = body.with("bedrockError", name);
        }
        if let Some(id) = error.request_id() {
            body = body.with("bedrockRequestId", id);
        }
        let never_connected = matches!(&error, SdkError::DispatchFailure(dispatch) if dispatch.is_timeout());
        let refused_at_the_door =
            matches!(name, Some("ThrottlingException" | "ServiceUnavailableException" | "ModelNotReadyException"));
        let repeatable = never_connected || refused_at_the_door;
        Self { error: Box::new(body), usage: None, repeatable }
    }
}

type Meaning = (ErrorCode, &'static str);

const UNKNOWN: Meaning = (ErrorCode::ModelError, "Bedrock failed in a way that it does not document.");
const FAILED: Meaning = (ErrorCode::ModelError, "The model failed while it worked on the request.");
const TIMED_OUT: Meaning = (ErrorCode::ModelTimeout, "The model took too long. Ask for less, or try again.");
const UNREADABLE: Meaning =
    (ErrorCode::ModelError, "The model's answer cannot be read. Its tokens may have been billed.");
const THROTTLED: Meaning =
    (ErrorCode::ModelThrottled, "Bedrock throttles this account's calls to the model. Try again later.");
const UNAVAILABLE: Meaning =
    (ErrorCode::ModelUnavailable, "Bedrock is not available for this model right now. Try again.");
const DENIED: Meaning = (
    ErrorCode::ModelAccessDenied,
    "The account or the function's role has no access to the model. Enable it in Bedrock.",
);
const REJECTED: Meaning = (
    ErrorCode::ModelRejectedRequest,
    "Bedrock refuses the request: the model does not exist in this Region, or does not accept these messages or parameters.",
);

/// Source: Amazon Bedrock API Reference, "Common errors" of Converse and InvokeModel.
fn by_name(name: Option<&str>) -> Option<Meaning> {
    Some(match name? {
        "ThrottlingException" => THROTTLED,
        "ServiceQuotaExceededException" => {
            (ErrorCode::ModelThrottled, "A Bedrock quota of this account is used up. Wait, or ask AWS to raise it.")
        }
        "ModelNotReadyException" | "ServiceUnavailableException" | "InternalServerException" => UNAVAILABLE,
        "ModelTimeoutException" => TIMED_OUT,
        "ModelErrorException" => FAILED,
        "AccessDeniedException" => DENIED,
        "ValidationException" | "ResourceNotFoundException" => REJECTED,
        _ => return None,
    })
}

fn by_status(status: Option<u16>) -> Option<Meaning> {
    Some(match status? {
        408 => TIMED_OUT,
        424 => FAILED,
        429 => THROTTLED,
        401 | 403 => DENIED,
        400..=499 => REJECTED,
        500..=599 => UNAVAILABLE,
        _ => return None,
    })
}
