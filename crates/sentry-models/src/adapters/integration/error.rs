//! Converts the errors of the integration to failures. An error is `<service>.<name of the exception>`. Its cause is
//! the message of the AWS SDK for Java.
//!
//! If Bedrock answered, the message ends with `(Service: BedrockRuntime, Status Code: 400, Request ID: …)`. Newer
//! versions of the SDK add `(SDK Attempt Count: 1)`. The text before this ending is Bedrock's own message, which may
//! quote the prompt.

use super::super::bedrock_error::BedrockError;
use super::super::meaning::{LOST, UNREADABLE};
use super::super::{Effect, ModelFailure};

/// The error of a state that timed out.
pub const TIMEOUT: &str = "States.Timeout";
/// The SDK's own error: it received no answer, or none that it can read.
const CLIENT: &str = "SdkClientException";
/// Start of the SDK's message if it received an answer that it cannot read.
const NOT_UNDERSTOOD: &str = "Unable to unmarshall response";
/// Start of the attempt count that newer versions of the SDK append, followed by [`ONE`] after a single attempt. The
/// state `Repeat Call?` applies the same rule. The last count in the cause is used, because an earlier one may be a
/// quotation.
const ATTEMPTS: &str = "SDK Attempt Count";
const ONE: &str = ": 1)";

/// Converts `error` with `cause` to a failure. If the error is not Bedrock's own, the model may have worked before it.
#[must_use]
pub fn failure(error: &str, cause: &str) -> ModelFailure {
    match error.split_once('.') {
        Some(("BedrockRuntime", CLIENT)) if cause.starts_with(NOT_UNDERSTOOD) => unreadable(),
        Some(("BedrockRuntime", name)) if name != CLIENT => {
            let told = Told::of(cause);
            let Told { status, request_id, message, .. } = told;
            let failure = BedrockError { name: Some(name), status, request_id, message }.failure();
            // The error is that of the last attempt. An earlier attempt may have reached the model.
            if told.several_attempts { ModelFailure { effect: Effect::Unknown, ..failure } } else { failure }
        }
        _ => LOST.failure(None, None),
    }
}

/// The failure for an answer that is not in Converse's format.
pub fn unreadable() -> ModelFailure {
    UNREADABLE.failure(None, None)
}

/// The parts of the SDK's message: Bedrock's own message, and the fields that the SDK appends.
struct Told<'c> {
    message: Option<&'c str>,
    status: Option<u16>,
    request_id: Option<&'c str>,
    several_attempts: bool,
}

impl<'c> Told<'c> {
    fn of(cause: &'c str) -> Self {
        let (message, ending) = cause.rsplit_once("(Service: ").unzip();
        let told = ending.and_then(|ending| ending.split_once(')')).map(|(told, _)| told);
        let field = |name: &str| told?.split(", ").find_map(|field| field.strip_prefix(name));
        let is_id = |id: &&str| id.len() <= 64 && id.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        Self {
            message,
            status: field("Status Code: ").and_then(|code| code.parse().ok()),
            request_id: field("Request ID: ").filter(is_id),
            // Any other text than a count of 1 counts as several attempts.
            several_attempts: cause.rsplit_once(ATTEMPTS).is_some_and(|(_, count)| !count.starts_with(ONE)),
        }
    }
}
