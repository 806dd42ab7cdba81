//! The meaning of Bedrock's errors for a client and for its budget.

use sentry_contract::{ErrorBody, ErrorCode};

use super::{Effect, ModelFailure};

/// The code, effect and message for one kind of failure.
#[derive(Clone, Copy)]
pub(super) struct Meaning {
    pub(super) code: ErrorCode,
    pub(super) effect: Effect,
    pub(super) message: &'static str,
}

impl Meaning {
    /// Converts to a failure, with the name of Bedrock's error and the id by which AWS can identify the call.
    pub(super) fn failure(self, name: Option<&str>, request_id: Option<&str>) -> ModelFailure {
        let mut body = ErrorBody::new(self.code, self.message);
        if let Some(name) = name {
            body = body.with("bedrockError", name);
        }
        if let Some(id) = request_id {
            body = body.with("bedrockRequestId", id);
        }
        ModelFailure::of(body, self.effect)
    }
}

/// The meaning of an error with which Bedrock answered. Its name decides, or its HTTP status if the name is unknown.
pub(super) fn answered(name: Option<&str>, status: Option<u16>) -> Meaning {
    by_name(name).or_else(|| by_status(status)).unwrap_or(UNKNOWN)
}

const UNKNOWN: Meaning = Meaning {
    code: ErrorCode::ModelError,
    effect: Effect::Unknown,
    message: "Bedrock failed in a way that it does not document.",
};
const FAILED: Meaning = Meaning {
    code: ErrorCode::ModelError,
    effect: Effect::Unknown,
    message: "The model failed while it worked on the request.",
};
pub(super) const TIMED_OUT: Meaning = Meaning {
    code: ErrorCode::ModelTimeout,
    effect: Effect::Unknown,
    message: "The model did not answer in time. Ask for less, or try again.",
};
pub(super) const UNREADABLE: Meaning = Meaning {
    code: ErrorCode::ModelError,
    effect: Effect::Unknown,
    message: "The model's answer cannot be read. Its tokens may have been billed.",
};
pub(super) const LOST: Meaning = Meaning {
    code: ErrorCode::ModelUnavailable,
    effect: Effect::Unknown,
    message: "The connection to Bedrock was lost. Try again.",
};
pub(super) const UNWRITABLE: Meaning = Meaning {
    code: ErrorCode::ModelRejectedRequest,
    effect: Effect::Nothing,
    message: "The request cannot be written in the model's format.",
};
const THROTTLED: Meaning = Meaning {
    code: ErrorCode::ModelThrottled,
    effect: Effect::NothingYet,
    message: "Bedrock throttles this account's calls to the model. Try again later.",
};
const OVER_QUOTA: Meaning = Meaning {
    code: ErrorCode::ModelThrottled,
    effect: Effect::Nothing,
    message: "A Bedrock quota of this account is used up. Wait, or ask AWS to raise it.",
};
const UNAVAILABLE: Meaning = Meaning {
    code: ErrorCode::ModelUnavailable,
    effect: Effect::NothingYet,
    message: "Bedrock is not available for this model right now. Try again.",
};
const INTERNAL: Meaning = Meaning { effect: Effect::Unknown, ..UNAVAILABLE };
const DENIED: Meaning = Meaning {
    code: ErrorCode::ModelAccessDenied,
    effect: Effect::Nothing,
    message: "The account or the function's role has no access to the model. Enable it in Bedrock.",
};
pub(super) const USE_CASE_FORM: Meaning = Meaning {
    code: ErrorCode::ModelAccessDenied,
    effect: Effect::Nothing,
    message: "This account has not sent the form about its use of Anthropic's models. An administrator submits it once, in Bedrock's model catalog. Then wait 15 minutes.",
};
const REJECTED: Meaning = Meaning {
    code: ErrorCode::ModelRejectedRequest,
    effect: Effect::Nothing,
    message: "Bedrock refuses the request: the model does not exist in this Region, or does not accept these messages or parameters.",
};

/// Sources: Amazon Bedrock API Reference, "Errors" of Converse and `InvokeModel`; Amazon Bedrock User Guide,
/// "Troubleshooting Amazon Bedrock API Error Codes".
fn by_name(name: Option<&str>) -> Option<Meaning> {
    Some(match name? {
        "ThrottlingException" => THROTTLED,
        "ServiceQuotaExceededException" => OVER_QUOTA,
        "ModelNotReadyException" | "ServiceUnavailableException" => UNAVAILABLE,
        "InternalServerException" => INTERNAL,
        "ModelTimeoutException" => TIMED_OUT,
        "ModelErrorException" => FAILED,
        "AccessDeniedException" => DENIED,
        "FTUFormNotFilled" => USE_CASE_FORM,
        "ValidationException" | "ResourceNotFoundException" => REJECTED,
        _ => return None,
    })
}

pub(super) fn by_status(status: Option<u16>) -> Option<Meaning> {
    Some(match status? {
        // A success, but the answer is not in Bedrock's format.
        200..=299 => UNREADABLE,
        408 => TIMED_OUT,
        424 => FAILED,
        429 => THROTTLED,
        401 | 403 => DENIED,
        // Bedrock does not document this error, so the model may have worked before it.
        400..=499 => Meaning { effect: Effect::Unknown, ..REJECTED },
        500..=599 => INTERNAL,
        _ => return None,
    })
}
