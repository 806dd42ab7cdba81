//! Input and output of every function, as the state machines pass them.

use std::fmt;

use chrono::{DateTime, SecondsFormat, Utc};
use sentry_domain::{Amount, Limits, Price, TokenUsage, Unit, Window};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::answer::{BudgetEntry, Cost, Degraded, EarlyAnswer, Output, Usage};
use crate::error::{ErrorBody, ErrorCode, Outcome};
use crate::request::{Estimate, Fallback, Family, Model, Prompt, Request, Tags, Transport};

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
    /// Not acceptable, or not to be judged for now.
    Refused {
        /// `false`
        valid: bool,
        /// The answer that ends the execution.
        answer: Box<EarlyAnswer>,
    },
}

impl From<Request> for Validated {
    fn from(request: Request) -> Self {
        Self::Valid { valid: true, request: Box::new(request) }
    }
}

impl From<EarlyAnswer> for Validated {
    fn from(answer: EarlyAnswer) -> Self {
        Self::Refused { valid: false, answer: Box::new(answer) }
    }
}

/// Input of `Lookup Limit`.
#[derive(Clone, Debug, Deserialize)]
pub struct LookupLimitInput {
    /// Whose limits.
    pub model: Model,
    /// `applicationId`, `costCenter`, `environment` have limits too.
    pub tags: Tags,
    /// A model that may answer in its place.
    #[serde(default)]
    pub fallback: Option<Fallback>,
}

/// The window of a limit that a request falls into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitWindow {
    /// `2026-11-21T13`, `2026-11-21`, `2026-W47`, `2026-11`.
    pub name: String,
    /// What the ledger keeps it under.
    pub key: String,
    /// Its first instant.
    pub start: DateTime<Utc>,
    /// The first instant of the next one.
    pub resets_at: DateTime<Utc>,
}

impl From<&Window> for LimitWindow {
    fn from(window: &Window) -> Self {
        Self { name: window.name().to_owned(), key: window.key(), start: window.start(), resets_at: window.resets_at() }
    }
}

/// A limit that applies to a request: a limits item, understood, and the window that the request falls into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeLimit {
    /// Whose budget: `model#…`, `costCenter#support`, `application#helper+environment#production`.
    pub scope: String,
    /// `default` for a fallback item, otherwise what kind of scope it is: `model`, `costCenter`, `application+environment`.
    pub source: String,
    /// The key of the limits item.
    pub item: String,
    /// Where the request falls.
    pub window: LimitWindow,
    /// What is allowed in it; at least one unit is limited.
    pub limits: Limits,
    /// Percentages of a limit, ascending, at which an alert is sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alert_at: Vec<u8>,
    /// Over how many items the ledger spreads the scope; 1 is not spread.
    pub shards: u8,
    /// What may be done to a request that does not fit, first choice first; without any it is denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when_exceeded: Vec<Remedy>,
}

impl ScopeLimit {
    /// Whether a request that does not fit may be treated so.
    #[must_use]
    pub fn allows(&self, remedy: Remedy) -> bool {
        self.when_exceeded.contains(&remedy)
    }
}

/// What may be done to a request so that it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Remedy {
    /// The model may write fewer tokens than the client allows it.
    Clamp,
    /// The model's fallback answers.
    Fallback,
}

impl Remedy {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Clamp, Self::Fallback];

    /// The name, as limits items write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clamp => "clamp",
            Self::Fallback => "fallback",
        }
    }
}

/// What `Lookup Limit` finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LimitsFound {
    /// There are limits, and all can be understood.
    Found {
        /// Every limit that applies; the model's comes first.
        limits: Vec<ScopeLimit>,
        /// The limit of the fallback model, where one of `limits` lets it step in; those of the tags are the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fallback: Option<Box<ScopeLimit>>,
    },
    /// The model has none, or one that applies cannot be understood.
    Refused {
        /// Which.
        refusal: Box<ErrorBody>,
    },
}

/// Input of `Fetch Usage`.
#[derive(Clone, Debug, Deserialize)]
pub struct FetchUsageInput {
    /// What is asked for.
    #[serde(flatten)]
    pub model: UsageQuery,
    /// The same for the fallback model, where it may be needed.
    #[serde(default)]
    pub fallback: Option<UsageQuery>,
}

/// A model and a window.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageQuery {
    /// `ModelId` dimension in `AWS/Bedrock`.
    pub model_metric: String,
    /// The window of the model's limit.
    pub window: LimitWindow,
}

/// What `Fetch Usage` finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct UsageFound {
    /// The model's.
    #[serde(flatten)]
    pub model: UsageFigure,
    /// The fallback model's; absent where it was not asked for, or cannot be known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<UsageFigure>,
}

/// A model's tokens of a window, as CloudWatch knows them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct UsageFigure {
    /// The window's key.
    pub window: String,
    /// The four counts.
    #[serde(flatten)]
    pub tokens: TokenUsage,
}

/// Input of `Count Tokens`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CountTokensInput {
    /// The foundation model under whose id Bedrock counts.
    pub counted_as: String,
    /// What is counted.
    pub prompt: Prompt,
}

/// What `Count Tokens` finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenCount {
    /// The prompt's tokens as the model will bill them; absent where Bedrock does not count for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
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

/// Input of `Reserve`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReserveInput {
    /// The idempotency key.
    pub request_id: String,
    /// The execution that asks: the same one may ask again, another one with the same `request_id` is a duplicate.
    pub execution_id: String,
    /// For the price.
    pub model: Model,
    /// The most that the request can take.
    pub estimate: Estimate,
    /// From `Lookup Limit`.
    pub limits: Gathered<LimitsFound>,
    /// From `Fetch Usage`.
    pub usage: Gathered<UsageFound>,
    /// From `Count Tokens`.
    pub count: Gathered<TokenCount>,
    /// A model that may answer in its place.
    #[serde(default)]
    pub fallback: Option<Fallback>,
}

/// What `Reserve` ends with.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Decision {
    /// The hold is taken and the model may be called.
    Approved {
        /// `true`
        approved: bool,
        /// What `Settle` needs.
        reservation: Box<Reservation>,
        /// `{"degraded": …}` for the answer if the request had to be degraded, otherwise empty.
        notes: Notes,
        /// The model to call, where it is not the one that was asked for.
        #[serde(skip_serializing_if = "Option::is_none")]
        model: Option<Box<Model>>,
    },
    /// The model may not be called.
    Denied {
        /// `false`
        approved: bool,
        /// Why not.
        denial: Box<Refused>,
        /// The scopes that applied, as far as they are known.
        budget: Vec<BudgetEntry>,
    },
}

/// What the answer says beside the usual.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notes {
    /// What was done to the request so that it fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Degraded>,
}

/// A hold that the ledger has taken for a request, on every scope that applies to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// The hold's name.
    pub request_id: String,
    /// Whose it is.
    pub execution_id: String,
    /// Most tokens that the model may write.
    pub max_tokens: u32,
    /// What is held on every scope.
    pub hold: Amount,
    /// When it was taken.
    pub held_at: DateTime<Utc>,
    /// When it is settled in full if nobody has settled it.
    pub expires_at: DateTime<Utc>,
    /// The scopes.
    pub scopes: Vec<ReservedScope>,
}

/// A scope of a [`Reservation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservedScope {
    /// The limit that it was reserved under.
    #[serde(flatten)]
    pub limit: ScopeLimit,
    /// What CloudWatch had seen.
    pub seen: Amount,
    /// The shard that the hold is in; absent for the scope's own item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u8>,
}

/// Input of `Settle`: how a reservation ended.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SettleInput {
    /// For the price.
    pub model: Model,
    /// From `Reserve`.
    pub reservation: Reservation,
    /// What the model used; absent where there is no answer.
    #[serde(default)]
    pub usage: Option<TokenUsage>,
    /// Whether the model certainly used nothing. Without `usage` and without this, the hold stays.
    #[serde(default)]
    pub nothing_spent: bool,
}

/// Input of `Settle` where `Reserve` gave no answer: whatever it took is given back, for the model is not called.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelInput {
    /// The hold's name.
    pub request_id: String,
    /// Whose it would be.
    pub execution_id: String,
    /// Where it would be, also if the fallback had been taken.
    pub limits: Vec<ScopeLimit>,
}

/// Either input of `Settle`.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum SettleEvent {
    /// The reservation is known.
    Settle(Box<SettleInput>),
    /// It is not.
    Cancel(CancelInput),
}

/// What `Settle` ends with.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settled {
    /// Every scope that applied, after the request.
    pub budget: Vec<BudgetEntry>,
    /// Alerts that are due.
    pub alerts: Vec<Alert>,
}

/// A threshold of `alertAt` that a scope has reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Whose budget.
    pub scope: String,
    /// The window's name.
    pub window: String,
    /// The window's key in the ledger.
    pub window_key: String,
    /// When it ends.
    pub resets_at: DateTime<Utc>,
    /// The percentage that was reached.
    pub threshold: u8,
    /// The unit that reached it.
    pub unit: Unit,
    /// Its limit, as answers write it.
    pub limit: String,
    /// What is spent of it, as answers write it.
    pub used: String,
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
    /// Whether certainly nothing was spent; without this and without `usage`, nobody knows.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub nothing_spent: bool,
}

impl From<ErrorBody> for Refused {
    fn from(error: ErrorBody) -> Self {
        Self { status_code: error.code.status(), error, usage: None, nothing_spent: false }
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
    /// How it is called; where it is not said, the family's own way.
    #[serde(default)]
    pub transport: Option<Transport>,
    /// What it costs, if that was found out before; the router's own callers need not say, then it is the catalogue's price.
    #[serde(default)]
    pub price: Option<Price>,
}

impl From<&Model> for Target {
    fn from(Model { model_id, family, transport, price, .. }: &Model) -> Self {
        Self { model_id: model_id.clone(), family: *family, transport: *transport, price: *price }
    }
}

impl Target {
    /// How it is called.
    #[must_use]
    pub fn transport(&self) -> Transport {
        self.transport.unwrap_or(self.family.transport())
    }
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

/// What `Prepare Call` ends with.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum PreparedCall {
    /// Step Functions can make the call.
    Native(NativeCall),
    /// It cannot: the request goes to `Invoke Model`.
    Function {
        /// `true`
        function: bool,
    },
    /// The request cannot be sent at all.
    Failure {
        /// Why not.
        failure: Box<Refused>,
    },
}

/// A call that Step Functions makes.
#[derive(Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NativeCall {
    /// The parameters of `aws-sdk:bedrockruntime:converse`.
    pub converse: Value,
    /// For `Read Answer`.
    pub terms: AnswerTerms,
}

/// What of a request its answer depends on, beside what the model says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerTerms {
    /// Whether the answer is a list of content blocks.
    pub rich: bool,
    /// Whether it is processed at another rate than the catalogue's.
    pub other_rate: bool,
    /// The room that the router's input takes in a document that it travels in, in bytes.
    pub request_bytes: usize,
}

/// The prompt stays out of logs.
impl fmt::Debug for NativeCall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NativeCall({:?})", self.terms)
    }
}

/// Input of `Read Answer`: how a call by Step Functions ended.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReadAnswerInput {
    /// For the price.
    pub model: Target,
    /// From `Prepare Call`.
    pub terms: AnswerTerms,
    /// What Bedrock answered.
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
    /// What it held, if it held anything.
    #[serde(default)]
    pub hold: Option<Amount>,
    /// What was done to it so that it fits.
    #[serde(default)]
    pub degraded: Option<Degraded>,
    /// Whether its hold could not be settled and is left to expire.
    #[serde(default)]
    pub unsettled: bool,
    /// Alerts that are due after it.
    #[serde(default)]
    pub alerts: Vec<Alert>,
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
