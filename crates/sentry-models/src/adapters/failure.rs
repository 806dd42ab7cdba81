//! What Bedrock's errors mean to a client and to its budget.

use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::TokenUsage;

/// What a failed call can have done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Nobody knows: the model may have worked, and its tokens may be billed.
    Unknown,
    /// Bedrock certainly did nothing, and asking again at once does not help.
    Nothing,
    /// Bedrock certainly did nothing, and may answer if it is asked again at once.
    NothingYet,
}

/// Why there is no reply. It never carries Bedrock's own message, which may quote the prompt.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelFailure {
    /// What the client is told.
    pub error: Box<ErrorBody>,
    /// Tokens that were spent all the same.
    pub usage: Option<TokenUsage>,
    /// What the call can have done.
    pub effect: Effect,
    /// Bedrock's own message.
    pub bedrock_message: Option<String>,
}

impl ModelFailure {
    /// A failure after which nobody knows what was spent.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { error: Box::new(ErrorBody::new(code, message)), usage: None, effect: Effect::Unknown, bedrock_message: None }
    }

    /// A failure before anything was sent to Bedrock.
    #[must_use]
    pub fn never_sent(error: ErrorBody) -> Self {
        Self { error: Box::new(error), usage: None, effect: Effect::Nothing, bedrock_message: None }
    }

    /// The model answered something that cannot be understood.
    #[must_use]
    pub fn malformed(problem: &str) -> Self {
        Self::new(
            ErrorCode::ModelError,
            format!("The model's answer cannot be used: {problem}. Its tokens may have been billed."),
        )
    }

    /// The answer does not say what was used: what cannot be known is not zero.
    pub(super) fn without_usage() -> Self {
        Self::malformed("it does not say how many tokens were used")
    }

    /// The answer ends for a reason that is not known.
    pub(super) fn unknown_stop() -> Self {
        Self::malformed("it gives an unknown reason for its end")
    }

    /// The answer is not in the format of the model's family.
    pub(super) fn without_message() -> Self {
        Self::malformed("it has no message")
    }

    /// The request has no form that Bedrock takes.
    pub(super) fn unwritable() -> Self {
        Self::never_sent(ErrorBody::new(UNWRITABLE.code, UNWRITABLE.message))
    }

    /// The failure, with what was spent.
    #[must_use]
    pub fn spent(self, usage: TokenUsage) -> Self {
        Self { usage: Some(usage), effect: Effect::Unknown, ..self }
    }

    /// Whether the call certainly cost nothing.
    #[must_use]
    pub fn nothing_spent(&self) -> bool {
        self.effect != Effect::Unknown
    }

    /// Whether the call cost nothing and asking again at once may help.
    #[must_use]
    pub fn repeatable(&self) -> bool {
        self.effect == Effect::NothingYet
    }
}

/// What a kind of failure means.
#[derive(Clone, Copy)]
pub(super) struct Meaning {
    pub(super) code: ErrorCode,
    pub(super) effect: Effect,
    pub(super) message: &'static str,
}

impl Meaning {
    /// The failure, with the name that Bedrock gave it and the id under which AWS knows the call.
    pub(super) fn failure(self, name: Option<&str>, request_id: Option<&str>) -> ModelFailure {
        let mut body = ErrorBody::new(self.code, self.message);
        if let Some(name) = name {
            body = body.with("bedrockError", name);
        }
        if let Some(id) = request_id {
            body = body.with("bedrockRequestId", id);
        }
        ModelFailure { error: Box::new(body), usage: None, effect: self.effect, bedrock_message: None }
    }
}

/// What an error that Bedrock itself answered means, by its name, or where that is not known by its HTTP status.
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
const REJECTED: Meaning = Meaning {
    code: ErrorCode::ModelRejectedRequest,
    effect: Effect::Nothing,
    message: "Bedrock refuses the request: the model does not exist in this Region, or does not accept these messages or parameters.",
};

/// Source: Amazon Bedrock API Reference, "Common errors" of Converse and InvokeModel.
fn by_name(name: Option<&str>) -> Option<Meaning> {
    Some(match name? {
        "ThrottlingException" => THROTTLED,
        "ServiceQuotaExceededException" => OVER_QUOTA,
        "ModelNotReadyException" | "ServiceUnavailableException" => UNAVAILABLE,
        "InternalServerException" => INTERNAL,
        "ModelTimeoutException" => TIMED_OUT,
        "ModelErrorException" => FAILED,
        "AccessDeniedException" => DENIED,
        "ValidationException" | "ResourceNotFoundException" => REJECTED,
        _ => return None,
    })
}

pub(super) fn by_status(status: Option<u16>) -> Option<Meaning> {
    Some(match status? {
        // An answer, but none of Bedrock's.
        200..=299 => UNREADABLE,
        408 => TIMED_OUT,
        424 => FAILED,
        429 => THROTTLED,
        401 | 403 => DENIED,
        // A refusal that Bedrock does not document: whether the model had worked by then is not known.
        400..=499 => Meaning { effect: Effect::Unknown, ..REJECTED },
        500..=599 => INTERNAL,
        _ => return None,
    })
}
