//! Converts the errors of the AWS SDK to failures.

use std::error::Error;

use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::operation::RequestId;
use aws_smithy_runtime_api::client::result::DispatchFailure;
use aws_smithy_runtime_api::http::Response;

use sentry_contract::ErrorCode;

use super::bedrock_error::BedrockError;
use super::meaning::{LOST, Meaning, TIMED_OUT, UNREADABLE, UNWRITABLE, by_status};
use super::{Effect, ModelFailure};

const UNREACHABLE: Meaning = Meaning {
    code: ErrorCode::ModelUnavailable,
    effect: Effect::NothingYet,
    message: "Bedrock cannot be reached. Try again.",
};

impl<E> From<SdkError<E, Response>> for ModelFailure
where
    E: ProvideErrorMetadata,
    SdkError<E, Response>: RequestId,
{
    fn from(error: SdkError<E, Response>) -> Self {
        let status = error.raw_response().map(|response| response.status().as_u16());
        let request_id = error.request_id();
        let meaning = match &error {
            SdkError::ServiceError(service) => {
                let (name, message) = (service.err().code(), service.err().message());
                return BedrockError { name, status, request_id, message }.failure();
            }
            SdkError::TimeoutError(_) => TIMED_OUT,
            SdkError::DispatchFailure(failure) if never_connected(failure) => UNREACHABLE,
            SdkError::DispatchFailure(_) => LOST,
            SdkError::ConstructionFailure(_) => UNWRITABLE,
            _ => by_status(status).unwrap_or(UNREADABLE),
        };
        meaning.failure(None, request_id)
    }
}

/// `true` if no connection was established: a connection time-out, a refused connection, an unknown host, or a failed
/// TLS handshake.
///
/// Bedrock may have received the request before any other error.
fn never_connected(failure: &DispatchFailure) -> bool {
    let error: Option<&dyn Error> = failure.as_connector_error().map(|error| error as _);
    std::iter::successors(error, |&error| error.source())
        .filter_map(|error| error.downcast_ref::<hyper_util::client::legacy::Error>())
        .any(hyper_util::client::legacy::Error::is_connect)
}
