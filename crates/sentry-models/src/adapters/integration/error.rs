//! What the errors of the integration mean: `<service>.<name of the exception>`, and as the cause the message of the SDK for Java.
//!
//! The message ends with `(Service: BedrockRuntime, Status Code: 400, Request ID: …)` where Bedrock answered, in newer versions of the SDK
//! followed by `(SDK Attempt Count: 1)`. What stands before that is Bedrock's own message, which may quote the prompt.

use super::super::bedrock_error::BedrockError;
use super::super::meaning::{LOST, UNREADABLE};
use super::super::{Effect, ModelFailure};

/// The error of a state that ran out of time.
pub const TIMEOUT: &str = "States.Timeout";
/// The SDK's own error: no answer, or none that it can read.
const CLIENT: &str = "SdkClientException";
/// How the SDK begins its message where an answer came that it cannot read.
const NOT_UNDERSTOOD: &str = "Unable to unmarshall response";
/// Where newer versions of the SDK say how often they tried, and how they go on after one attempt. The state `Repeat Call?` reads it
/// by the same rule: the last one in the cause counts, for one before it may be quoted.
const ATTEMPTS: &str = "SDK Attempt Count";
const ONE: &str = ": 1)";

/// What `error` with `cause` means. Every error that is not Bedrock's own may have come after the model had worked.
#[must_use]
pub fn failure(error: &str, cause: &str) -> ModelFailure {
    match error.split_once('.') {
        Some(("BedrockRuntime", CLIENT)) if cause.starts_with(NOT_UNDERSTOOD) => unreadable(),
        Some(("BedrockRuntime", name)) if name != CLIENT => {
            let told = Told::of(cause);
            let Told { status, request_id, message, .. } = told;
            let failure = BedrockError { name: Some(name), status, request_id, message }.failure();
            // The error is the last attempt's; an earlier one may have reached the model.
            if told.several_attempts { ModelFailure { effect: Effect::Unknown, ..failure } } else { failure }
        }
        _ => LOST.failure(None, None),
    }
}

/// The answer is not in Converse's form.
pub fn unreadable() -> ModelFailure {
    UNREADABLE.failure(None, None)
}

/// What the SDK tells of Bedrock's answer: its message, and what AWS itself writes at the end of it.
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
            // A number that is not understood is not one.
            several_attempts: cause.rsplit_once(ATTEMPTS).is_some_and(|(_, count)| !count.starts_with(ONE)),
        }
    }
}
