//! Input and output of `Settle` and `Cancel Reservation`.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Admitted, AnswerTerms, CallFailure, RequestLimits, SealedAnswer, StepTimes};

/// Input of `Settle`, and of `Read Answer` after a `Settle` that failed.
#[derive(Clone, Debug, Deserialize)]
pub struct SettleInput {
    /// The admitted request, from `Reserve`.
    pub admitted: Admitted,
    /// The end of the model call.
    pub ended: Ended,
    /// The times of the request so far. Absent from versions without the audit record v1.
    #[serde(default)]
    pub times: StepTimes,
}

/// The end of a model call. It has one of `sealed`, `failure` and, after a call by Step Functions, `result` or `error`.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// The answer of `Invoke Model`.
    pub sealed: Option<SealedAnswer>,
    /// The failure that the function returned, or that the state machine wrote for it.
    pub failure: Option<CallFailure>,
    /// The answer's properties, from `Prepare Call`.
    pub terms: Option<AnswerTerms>,
    /// Bedrock's answer, with field names in `PascalCase`.
    pub result: Option<Value>,
    /// The name of Bedrock's error.
    pub error: Option<String>,
    /// The error's message. It may quote the prompt.
    pub cause: Option<String>,
}

/// Keeps the answer and the error's message out of logs.
impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ended({:?}, {:?}, {:?})", self.sealed, self.failure, self.error)
    }
}

/// Input of `Settle` after `Reserve` failed. Any hold is released, because the model is not called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelInput {
    /// The name of the hold.
    pub request_key: String,
    /// The execution that may have taken the hold.
    pub execution_id: String,
    /// The limits on which the hold may exist.
    #[serde(default)]
    pub limits: RequestLimits,
}

/// Input of `Settle` for a request that was settled before. Its first answer may be kept.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct RepeatInput {
    /// The answer `DuplicateRequest`, which `Settle` returns if it finds no other.
    pub repeated: Value,
    /// The `digest` of the request.
    #[serde(default)]
    pub digest: Option<String>,
}

/// Every input of `Settle`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum SettleEvent {
    /// The reservation is known, and the request is settled.
    Settle(Box<SettleInput>),
    /// The reservation is unknown, and any hold is released.
    Cancel(CancelInput),
    /// The request was settled before, and its first answer is looked for.
    Repeat(RepeatInput),
}
