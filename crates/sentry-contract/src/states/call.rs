//! The call of the model: `Invoke Model`, or `Prepare Call` and `Read Answer` around a call by Step Functions.

use std::fmt;

use sentry_domain::{Charges, Price};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::answer::{Cost, Output, Usage};
use crate::error::ErrorBody;
use crate::request::{Family, Model, Prompt, ReasoningStyle, Tags};
use crate::sealed::Sealed;

/// Input of the model router, of `Invoke Model` and of `Prepare Call`. Further fields are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvokeModelEvent {
    /// The model to call.
    pub model: Target,
    /// The prompt: an object, or sealed in a string.
    pub prompt: Box<RawValue>,
    /// Most tokens to write; without it the prompt's `max_tokens`, or else the catalogue's.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// Tags for Bedrock's invocation log.
    #[serde(default)]
    pub tags: Tags,
}

/// A request to a model.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct InvokeModelInput {
    /// The model to call.
    pub model: Target,
    /// The prompt.
    pub prompt: Prompt,
    /// Tags for Bedrock's invocation log.
    #[serde(default)]
    pub tags: Tags,
}

/// The way in which a prompt came. The answer goes back the same way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// As an object, from a caller of the model router.
    Open,
    /// Sealed, from the rate limiter.
    Sealed,
}

/// The model as the router needs it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Id, cross-Region profile id or ARN.
    pub model_id: String,
    /// Whose words it needs.
    pub family: Family,
    /// What it costs, if that was found out before; the router's own callers need not say, then it is the catalogue's price.
    #[serde(default)]
    pub price: Option<Price>,
    /// How it is told how much to think; absent where it cannot be told.
    #[serde(default)]
    pub reasoning: Option<ReasoningStyle>,
}

impl From<&Model> for Target {
    fn from(Model { model_id, family, price, reasoning, .. }: &Model) -> Self {
        Self { model_id: model_id.clone(), family: *family, price: *price, reasoning: *reasoning }
    }
}

/// The model's answer, in the one format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelAnswer {
    /// What it said.
    pub output: Output,
    /// What it read and wrote.
    pub usage: Usage,
    /// What that costs.
    pub cost: Cost,
}

/// An answer of which only the usage can be seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SealedAnswer {
    /// The [`ModelAnswer`].
    pub answer: Sealed,
    /// The same usage as in the answer.
    pub usage: Usage,
}

/// A call without an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallFailure {
    /// The HTTP status of the code.
    pub status_code: u16,
    /// The error as the client sees it.
    pub error: ErrorBody,
    /// Tokens that were spent although there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// Whether certainly nothing was spent; without this and without `usage`, nobody knows.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nothing_spent: bool,
    /// Bedrock's own message, a string, which may quote the prompt. It becomes `details.bedrockMessage` of the final answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bedrock_message: Option<Sealed>,
}

impl From<ErrorBody> for CallFailure {
    fn from(error: ErrorBody) -> Self {
        let status_code = error.code.status();
        Self { status_code, error, usage: None, nothing_spent: false, bedrock_message: None }
    }
}

/// Output of `Invoke Model`, and of `Read Answer` in the model router.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Invoked {
    /// The answer, for an open prompt.
    Answer(Box<ModelAnswer>),
    /// The answer, for a sealed prompt.
    Sealed(Box<SealedAnswer>),
    /// There is no answer.
    Failure(Box<CallFailure>),
}

/// Output of `Prepare Call`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PreparedCall {
    /// Step Functions can make the call.
    Native(NativeCall),
    /// It cannot: the request goes to `Invoke Model`.
    Function {
        /// Always `true`.
        function: bool,
    },
    /// The request cannot be sent at all.
    Failure {
        /// The reason.
        failure: Box<CallFailure>,
    },
}

/// A call that Step Functions makes.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NativeCall {
    /// The parameters of `aws-sdk:bedrockruntime:converse`.
    pub converse: Value,
    /// For the reading of the answer.
    pub terms: AnswerTerms,
}

/// The properties of a request that its answer depends on, beside the model's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerTerms {
    /// Whether the answer is a list of content blocks.
    pub rich: bool,
    /// The rates that apply where the answer does not tell.
    #[serde(default)]
    pub charges: Charges,
}

/// The prompt stays out of logs.
impl fmt::Debug for NativeCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NativeCall({:?})", self.terms)
    }
}

/// Input of `Read Answer` in the model router: the end of a call by Step Functions.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadAnswerInput {
    /// For the price.
    pub model: Target,
    /// From `Prepare Call`.
    pub terms: AnswerTerms,
    /// Bedrock's answer.
    #[serde(default)]
    pub result: Option<Value>,
    /// The name of the error, where there is no answer.
    #[serde(default)]
    pub error: Option<String>,
    /// The error's message, which may quote the prompt.
    #[serde(default)]
    pub cause: Option<String>,
}

/// The answer and the message stay out of logs.
impl fmt::Debug for ReadAnswerInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadAnswerInput({:?}, {:?})", self.model.model_id, self.error)
    }
}
