//! What a client gets back.

use chrono::{DateTime, Utc};
use sentry_domain::{CacheTtl, Discount, Price, ServiceTier, TokenUsage, Usd};
use serde::{Deserialize, Serialize, Serializer};

use crate::content::Content;
use crate::error::{ErrorBody, Outcome};
use crate::request::{Model, Role, Tags};
use crate::states::Enforcement;

/// The `usage` object: the counts and their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "UsageDocument", into = "UsageDocument")]
pub struct Usage {
    /// The counts.
    pub tokens: TokenUsage,
    /// Every token read or written.
    pub total_tokens: u64,
}

/// The usage as documents write it.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageDocument {
    #[serde(flatten)]
    tokens: TokenUsage,
    total_tokens: u64,
    /// What was written to the prompt cache, by its lifetime; absent where nothing was.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    cache_details: Vec<CacheDetail>,
    /// The tier that processed the call; absent for the standard one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service_tier: Option<ServiceTier>,
}

/// Tokens that were written to the prompt cache with one lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheDetail {
    /// The lifetime.
    pub ttl: CacheTtl,
    /// How many.
    pub input_tokens: u64,
}

impl From<UsageDocument> for Usage {
    fn from(document: UsageDocument) -> Self {
        let UsageDocument { tokens, total_tokens, cache_details, service_tier } = document;
        let for_an_hour = cache_details.iter().filter(|detail| detail.ttl == CacheTtl::OneHour);
        let cache_write_1h = for_an_hour.fold(0_u64, |sum, detail| sum.saturating_add(detail.input_tokens));
        let tier = service_tier.unwrap_or_default();
        Self { tokens: TokenUsage { cache_write_1h, tier, ..tokens }, total_tokens }
    }
}

impl From<Usage> for UsageDocument {
    fn from(Usage { tokens, total_tokens }: Usage) -> Self {
        let written = [(CacheTtl::FiveMinutes, tokens.cache_write_5m()), (CacheTtl::OneHour, tokens.cache_write_1h)];
        let details = written.into_iter().filter(|(_, input_tokens)| *input_tokens > 0);
        Self {
            tokens,
            total_tokens,
            cache_details: details.map(|(ttl, input_tokens)| CacheDetail { ttl, input_tokens }).collect(),
            service_tier: Some(tokens.tier).filter(|tier| *tier != ServiceTier::Default),
        }
    }
}

impl From<TokenUsage> for Usage {
    fn from(tokens: TokenUsage) -> Self {
        Self { tokens, total_tokens: tokens.total() }
    }
}

/// The `cost` object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Exact dollars; absent when the model, or a kind of token that it used, has no known price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<Usd>,
    /// Whether `usd` is there.
    pub priced: bool,
    /// The account's discount, which `usd` is net of; absent where there is none.
    #[serde(default, rename = "discountPercent", skip_serializing_if = "Option::is_none")]
    pub discount: Option<Discount>,
}

impl Cost {
    /// What `usage` costs at `price`, if both are known.
    #[must_use]
    pub fn of(usage: &TokenUsage, price: Option<&Price>) -> Self {
        let usd = price.and_then(|price| price.cost(usage));
        let discount = price.filter(|_| usd.is_some()).and_then(|price| price.discount_percent);
        Self { priced: usd.is_some(), usd, discount }
    }
}

/// The reason for which the model stopped, in Converse's words for every family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// It had said everything.
    EndTurn,
    /// `max_tokens` was reached.
    MaxTokens,
    /// It wrote a stop sequence.
    StopSequence,
    /// It asks for a tool.
    ToolUse,
    /// Content was filtered.
    ContentFiltered,
    /// A guardrail stepped in.
    GuardrailIntervened,
    /// Another reason, in the model's own word.
    #[serde(untagged)]
    Other(String),
}

impl StopReason {
    /// A reason for which there is no name of its own.
    #[must_use]
    pub fn word(word: &str) -> Self {
        Self::Other(word.to_owned())
    }
}

/// The model's message.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputMessage {
    /// Always `assistant`.
    pub role: Role,
    /// The text; where the request was rich, the text and tool-use blocks.
    pub content: Content,
}

/// The `output` object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// What the model said.
    pub message: OutputMessage,
    /// Why it stopped.
    pub stop_reason: StopReason,
}

/// One unit of a `budget` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headroom<T> {
    /// Allowed in the window.
    pub limit: T,
    /// Spent in the window: the larger of what CloudWatch has seen and what the ledger has settled.
    pub used: T,
    /// Held by requests in flight.
    pub reserved: T,
    /// What is left, never below 0.
    pub remaining: T,
}

impl Headroom<u64> {
    /// Computes what remains of a limit on tokens.
    #[must_use]
    pub fn new(limit: u64, used: u64, reserved: u64) -> Self {
        Self { limit, used, reserved, remaining: limit.saturating_sub(used).saturating_sub(reserved) }
    }
}

impl Headroom<Dollars> {
    /// Computes what remains of a limit on dollars.
    #[must_use]
    pub fn new(limit: Usd, used: Usd, reserved: Usd) -> Self {
        let remaining = limit.saturating_sub(used).saturating_sub(reserved);
        Self { limit: Dollars(limit), used: Dollars(used), reserved: Dollars(reserved), remaining: Dollars(remaining) }
    }
}

/// Dollars as budgets write them: a decimal string with two decimals, or more where the amount has more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Dollars(pub Usd);

impl Serialize for Dollars {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0.with_decimals(2))
    }
}

/// One scope of the `budget` list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BudgetEntry {
    /// Such as `model#amazon.nova-lite-v1:0` or `costCenter#support`.
    pub scope: String,
    /// Such as `2026-11`.
    pub window: String,
    /// When the window ends; absent where it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<DateTime<Utc>>,
    /// Whose limit it is: `model`, `costCenter`, `application+environment` for an item of the scope's own, `default` for the fallback.
    pub source: String,
    /// Age of CloudWatch's figure when the request was decided, in seconds; absent for a scope that CloudWatch does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_age_seconds: Option<u64>,
    /// Tokens read, if they are limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input: Option<Headroom<u64>>,
    /// Tokens written, if they are limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Headroom<u64>>,
    /// Dollars, if they are limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usd: Option<Headroom<Dollars>>,
    /// Requests, if they are limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requests: Option<Headroom<u64>>,
    /// Requests in flight, if they are limited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_flight: Option<Headroom<u64>>,
    /// Whether the limit only observes.
    #[serde(default, skip_serializing_if = "Enforcement::is_deny")]
    pub enforce: Enforcement,
}

/// What was done to a request so that it fits its budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Degraded {
    /// Fewer tokens may be written.
    Clamp(Lowered),
    /// A cheaper model answers.
    Fallback {
        /// The id of the model that was asked for.
        from: String,
        /// The id of the model that was called.
        to: String,
        /// Where fewer tokens may be written as well, because the other model writes no more, or its limits leave no more.
        #[serde(rename = "maxTokens", default, skip_serializing_if = "Option::is_none")]
        max_tokens: Option<Lowered>,
    },
}

/// A `max_tokens` that was lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lowered {
    /// What would have been allowed.
    pub from: u32,
    /// What is.
    pub to: u32,
}

impl Lowered {
    /// `from` lowered to `to`; `None` where that is no less.
    #[must_use]
    pub fn new(from: u32, to: u32) -> Option<Self> {
        (to < from).then_some(Self { from, to })
    }
}

impl Degraded {
    /// The action's name.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Clamp(_) => "clamp",
            Self::Fallback { .. } => "fallback",
        }
    }

    /// The tokens, where fewer may be written.
    #[must_use]
    pub const fn lowered(&self) -> Option<Lowered> {
        match self {
            Self::Clamp(lowered) => Some(*lowered),
            Self::Fallback { max_tokens, .. } => *max_tokens,
        }
    }
}

/// What a client should know beside its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// Which kind it is.
    pub code: NoticeCode,
    /// What it is about, and what to do.
    pub message: String,
}

/// The kinds of notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoticeCode {
    /// The model ends within sixty days.
    ModelRetiring,
    /// The name that the client used means a newer model now.
    ModelReplaced,
}

/// The `model` object of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerModel {
    /// The client's spelling.
    pub requested: String,
    /// The id or ARN that was sent to Bedrock, or would have been; absent where the request did not come that far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// Its `ModelId` dimension in `AWS/Bedrock`; absent with `model_id`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_metric: Option<String>,
}

impl From<&Model> for AnswerModel {
    fn from(model: &Model) -> Self {
        Self {
            requested: model.requested.clone(),
            model_id: Some(model.model_id.clone()),
            model_metric: Some(model.model_metric.clone()),
        }
    }
}

/// The complete answer document.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FinalAnswer {
    /// How the request ended.
    pub outcome: Outcome,
    /// 200, or the status of the error's code.
    pub status_code: u16,
    /// The request's tags; of a document that is not acceptable those that are.
    pub tags: Tags,
    /// The model; absent where the document does not say which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<AnswerModel>,
    /// The model's message, on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// Tokens read and written, on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The price of these tokens, on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// The error, without success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// Every scope that applied, as far as they are known; absent for an invalid document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Vec<BudgetEntry>>,
    /// The change that was made to the request so that it fits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Degraded>,
    /// The denials that limits which only observe did not make.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub would_deny: Vec<ErrorBody>,
    /// What the client should know beside the answer.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

impl FinalAnswer {
    /// The answer to a request that `error` ended before its model was called. A denial has a budget, an invalid document none.
    #[must_use]
    pub fn refused(tags: Tags, model: Option<AnswerModel>, error: ErrorBody, budget: Vec<BudgetEntry>) -> Self {
        let outcome = error.code.outcome();
        Self {
            outcome,
            status_code: error.code.status(),
            tags,
            model,
            output: None,
            usage: None,
            cost: None,
            error: Some(error),
            budget: (outcome != Outcome::Invalid).then_some(budget),
            degraded: None,
            would_deny: Vec::new(),
            notices: Vec::new(),
        }
    }

    /// The same with `notices`.
    #[must_use]
    pub fn with_notices(self, notices: Vec<Notice>) -> Self {
        Self { notices, ..self }
    }
}
