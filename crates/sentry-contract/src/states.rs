//! Input and output of every function, as the state machines pass them.

use chrono::{DateTime, SecondsFormat, Utc};
use sentry_domain::TokenLimits;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::answer::{BudgetEntry, Cost, InvalidAnswer, LimitSource, Output, Usage};
use crate::error::{ErrorBody, ErrorCode, Outcome};
use crate::request::{Family, Model, Prompt, Request, Tags};

/// `Validate And Tag`: the execution's input, whatever it is.
#[derive(Debug, Deserialize)]
pub struct ValidateInput {
    /// Not parsed yet: it may be nested deeper than a parser goes.
    pub document: Box<RawValue>,
}

/// What `Validate And Tag` finds.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Validated {
    /// An acceptable request.
    Valid {
        /// `true`
        valid: bool,
        /// Tagged, its model resolved, its parameters filled in.
        request: Box<Request>,
    },
    /// Not acceptable.
    Invalid {
        /// `false`
        valid: bool,
        /// The answer that ends the execution.
        answer: Box<InvalidAnswer>,
    },
}

impl From<Request> for Validated {
    fn from(request: Request) -> Self {
        Self::Valid { valid: true, request: Box::new(request) }
    }
}

impl From<InvalidAnswer> for Validated {
    fn from(answer: InvalidAnswer) -> Self {
        Self::Invalid { valid: false, answer: Box::new(answer) }
    }
}

/// `Month Range`: the window that usage is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MonthRange {
    /// The month's name, `2026-11`.
    pub window: String,
    /// Its first instant, UTC.
    pub start: DateTime<Utc>,
    /// Now.
    pub end: DateTime<Utc>,
    /// The first instant of the next month.
    pub resets_at: DateTime<Utc>,
}

/// Input of `Fetch Usage`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FetchUsageInput {
    /// `ModelId` dimension in `AWS/Bedrock`.
    pub model_metric: String,
    /// Which month.
    pub range: MonthRange,
}

/// Month-to-date usage of a model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageFigure {
    /// The month's name.
    pub window: String,
    /// When it ends.
    pub resets_at: DateTime<Utc>,
    /// Tokens read, cached or not.
    pub input_tokens: u64,
    /// Tokens written.
    pub output_tokens: u64,
}

/// Input of `Lookup Limit`.
#[derive(Clone, Debug, Deserialize)]
pub struct LookupLimitInput {
    /// Whose limit.
    pub model: Model,
}

/// A limits item, understood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// The model's own item or `default`.
    pub source: LimitSource,
    /// What it allows in a window.
    #[serde(flatten)]
    pub tokens: TokenLimits,
}

/// What `Lookup Limit` finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LimitFound {
    /// An item that decides.
    Limit(Limit),
    /// None, or one that cannot be understood.
    Refusal(Box<ErrorBody>),
}

/// A value, or why a function could not give it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Gathered<T> {
    /// The function failed.
    Unavailable {
        /// The name of its error.
        unavailable: String,
    },
    /// Its answer.
    Available(T),
}

/// Input of `Check Budget`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CheckBudgetInput {
    /// The model's name in scopes and metrics.
    pub model_metric: String,
    /// From `Fetch Usage`.
    pub usage: Gathered<UsageFigure>,
    /// From `Lookup Limit`.
    pub limit: Gathered<LimitFound>,
}

/// The decision.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Decision {
    /// Whether the model may be called.
    pub approved: bool,
    /// Why not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub denial: Option<Refused>,
    /// The scopes that applied, as far as they are known.
    pub budget: Vec<BudgetEntry>,
}

/// An error with the status and, where tokens were spent all the same, the usage that goes with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Refused {
    /// By code.
    pub status_code: u16,
    /// What went wrong.
    pub error: ErrorBody,
    /// Tokens that were spent although there is no answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
}

impl From<ErrorBody> for Refused {
    fn from(error: ErrorBody) -> Self {
        Self { status_code: error.code.status(), error, usage: None }
    }
}

/// Input of the model router and of `Invoke Model`; what else the rate limiter passes is ignored.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct InvokeModelInput {
    /// Where to send it.
    pub model: Target,
    /// What is asked.
    pub prompt: Prompt,
    /// For Bedrock's invocation log.
    #[serde(default)]
    pub tags: Tags,
}

/// The model as the router needs it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Id, cross-Region profile id or ARN.
    pub model_id: String,
    /// Which adapter serves it.
    pub family: Family,
}

/// The model's answer, in the one format.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ModelAnswer {
    /// What it said.
    pub output: Output,
    /// What it read and wrote.
    pub usage: Usage,
    /// What that costs.
    pub cost: Cost,
}

/// What `Invoke Model` ends with.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Invoked {
    /// The model answered.
    Answer(Box<ModelAnswer>),
    /// It did not.
    Failure(Box<Refused>),
}

/// The message that `Emit Metrics` queues for every request that reached the budget decision.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct MetricsRecord {
    /// How the request ended.
    pub outcome: Outcome,
    /// For the dimensions and the timestamp.
    pub tags: Tags,
    /// For the dimensions.
    pub model: MetricsModel,
    /// Tokens that were spent.
    pub usage: Option<Usage>,
    /// Why it did not succeed.
    pub code: Option<ErrorCode>,
}

/// The model in a [`MetricsRecord`].
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsModel {
    /// As the client spelt it.
    pub requested: String,
    /// As it was sent to Bedrock.
    pub model_id: String,
}

/// An instant as answers write it: `2025-01-31T14:05:26.854682Z`.
#[must_use]
pub fn timestamp(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Micros, true)
}
