//! The model call: `Invoke Model`, or `Prepare Call` and `Read Answer` around a call by Step Functions.

use std::fmt;

use sentry_domain::{Charges, Price};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::answer::{Cost, Output, Usage};
use crate::error::ErrorBody;
use crate::request::{Family, Model, Prompt, ReasoningStyle, Tags};
use crate::sealed::Sealed;

/// Input of the model router, of `Invoke Model` and of `Prepare Call`. Other fields are ignored.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InvokeModelEvent {
    /// The model to call.
    pub model: Target,
    /// The prompt: an object, or sealed in a string.
    pub prompt: Box<RawValue>,
    /// Maximum number of output tokens. If it is absent, the prompt's `max_tokens` applies, or else the catalogue's.
    #[serde(default)]
    pub max_tokens: Option<u32>,
    /// Tags for Bedrock's invocation log.
    #[serde(default)]
    pub tags: Tags,
}

/// A request to a model, with its prompt unpacked.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct InvokeModelInput {
    /// The model to call.
    pub model: Target,
    /// The prompt, not sealed.
    pub prompt: Prompt,
    /// Tags for Bedrock's invocation log.
    #[serde(default)]
    pub tags: Tags,
}

/// The form in which the prompt arrived. The answer is returned in the same form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carried {
    /// As an object, from a caller of the model router.
    Open,
    /// Sealed, from the rate limiter.
    Sealed,
}

/// The properties of a model that its call needs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Model id, cross-Region profile id or ARN.
    pub model_id: String,
    /// The family, which decides the adapter.
    pub family: Family,
    /// The price. If it is absent, the catalogue's price applies.
    #[serde(default)]
    pub price: Option<Price>,
    /// The form in which the model expects the amount of reasoning. Absent if the model accepts none.
    #[serde(default)]
    pub reasoning: Option<ReasoningStyle>,
}

impl From<&Model> for Target {
    fn from(Model { model_id, family, price, reasoning, .. }: &Model) -> Self {
        Self { model_id: model_id.clone(), family: *family, price: *price, reasoning: *reasoning }
    }
}

/// The model's answer, in one format for all families.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ModelAnswer {
    /// The message, and the reason why the model stopped.
    pub output: Output,
    /// The tokens that the model read and wrote.
    pub usage: Usage,
    /// The cost of these tokens.
    pub cost: Cost,
}

/// A sealed answer. Only its usage is readable.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SealedAnswer {
    /// The [`ModelAnswer`] in sealed form.
    pub answer: Sealed,
    /// The same usage as in the answer.
    pub usage: Usage,
}

/// A call that ended without an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallFailure {
    /// The HTTP status of the error's code.
    pub status_code: u16,
    /// The error, as the client sees it.
    pub error: ErrorBody,
    /// Tokens that were spent although there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// `true` if the call certainly spent nothing. If it is `false` and `usage` is absent, the spent amount is unknown.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nothing_spent: bool,
    /// Bedrock's own message as a sealed string. It may quote the prompt. It becomes `details.bedrockMessage` of the
    /// final answer.
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
    /// The answer to an open prompt.
    Answer(Box<ModelAnswer>),
    /// The answer to a sealed prompt.
    Sealed(Box<SealedAnswer>),
    /// The call has no answer.
    Failure(Box<CallFailure>),
}

/// Output of `Prepare Call`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PreparedCall {
    /// Step Functions can make the call.
    Native(NativeCall),
    /// Step Functions cannot make the call, so `Invoke Model` makes it.
    Function {
        /// Always `true` in this variant.
        function: bool,
    },
    /// The request cannot be sent at all.
    Failure {
        /// The reason, as the error of a call.
        failure: Box<CallFailure>,
    },
}

/// A call that Step Functions makes.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NativeCall {
    /// The parameters of `aws-sdk:bedrockruntime:converse`.
    pub converse: Value,
    /// Properties that `Read Answer` needs.
    pub terms: AnswerTerms,
}

/// The properties of a request that are needed to read its answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerTerms {
    /// `true` if the answer is a list of content blocks.
    pub rich: bool,
    /// The properties that decide the rates, if the answer does not contain them.
    #[serde(default)]
    pub charges: Charges,
}

/// Keeps the prompt out of logs.
impl fmt::Debug for NativeCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NativeCall({:?})", self.terms)
    }
}

/// Input of `Read Answer` in the model router: the end of a call by Step Functions.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadAnswerInput {
    /// The model that was called, for its price.
    pub model: Target,
    /// The answer's properties, from `Prepare Call`.
    pub terms: AnswerTerms,
    /// Bedrock's answer; absent after an error.
    #[serde(default)]
    pub result: Option<Value>,
    /// The name of the error; absent after an answer.
    #[serde(default)]
    pub error: Option<String>,
    /// The error's message. It may quote the prompt.
    #[serde(default)]
    pub cause: Option<String>,
}

/// Keeps the answer and the error's message out of logs.
impl fmt::Debug for ReadAnswerInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReadAnswerInput({:?}, {:?})", self.model.model_id, self.error)
    }
}
