//! The documents that a client receives.

use sentry_domain::{BudgetEntry, CacheTtl, Discount, Price, ServiceTier, TokenUsage, Usd, UsdDifference};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::Content;
use crate::error::{ErrorBody, Outcome};
use crate::notice::Notice;
use crate::request::{Model, Role, Tags};

/// The `usage` object: the token counts and their sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "UsageDocument", into = "UsageDocument")]
pub struct Usage {
    /// The counts by kind of token.
    pub tokens: TokenUsage,
    /// The sum of all tokens that were read or written.
    pub total_tokens: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct UsageDocument {
    #[serde(flatten)]
    tokens: TokenUsage,
    #[serde(alias = "TotalTokens")]
    total_tokens: u64,
    #[serde(default, alias = "CacheDetails", skip_serializing_if = "Vec::is_empty")]
    cache_details: Vec<CacheDetail>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service_tier: Option<ServiceTier>,
}

/// Tokens that were written to the prompt cache with one lifetime.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CacheDetail {
    /// Lifetime of the cache entry.
    #[serde(alias = "Ttl")]
    pub ttl: CacheTtl,
    /// The number of tokens written.
    #[serde(alias = "InputTokens")]
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

/// The `cost` object of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Exact dollars. Absent if the model, or a kind of token that it used, has no known price.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usd: Option<Usd>,
    /// The saving by the prompt cache, compared with the input rate. Absent if nothing was cached, or if `usd` is absent.
    #[serde(default, rename = "savedUsd", skip_serializing_if = "Option::is_none")]
    pub saved: Option<UsdDifference>,
    /// `true` if `usd` is present.
    pub priced: bool,
    /// The account's discount, of which `usd` and `saved` are net. Absent if there is none.
    #[serde(default, rename = "discountPercent", skip_serializing_if = "Option::is_none")]
    pub discount: Option<Discount>,
}

impl Cost {
    /// The cost of `usage` at `price`. It has no `usd` if `price` is `None` or lacks a rate that `usage` needs.
    #[must_use]
    pub fn of(usage: &TokenUsage, price: Option<&Price>) -> Self {
        let usd = price.and_then(|price| price.cost(usage));
        let price = price.filter(|_| usd.is_some());
        Self {
            priced: usd.is_some(),
            usd,
            saved: price.and_then(|price| price.saved_by_cache(usage)),
            discount: price.and_then(|price| price.discount_percent),
        }
    }
}

/// The usage and the cost of a settled request, for a request that repeats its id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The tokens that were used.
    pub usage: Usage,
    /// The cost of these tokens.
    pub cost: Cost,
}

impl Spent {
    /// The usage with its cost at `price`.
    #[must_use]
    pub fn of(usage: TokenUsage, price: Option<&Price>) -> Self {
        Self { cost: Cost::of(&usage, price), usage: usage.into() }
    }
}

/// The reason why the model stopped, in Converse's terms for every family.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StopReason {
    /// The model finished its answer.
    EndTurn,
    /// The model wrote `max_tokens` tokens.
    MaxTokens,
    /// The model wrote a stop sequence.
    StopSequence,
    /// The model requests a tool.
    ToolUse,
    /// A filter blocked content.
    ContentFiltered,
    /// A guardrail intervened in the call.
    GuardrailIntervened,
    /// Another reason, in the model's own term.
    #[serde(untagged)]
    Other(String),
}

impl StopReason {
    /// A reason that has no variant, in the model's own term.
    #[must_use]
    pub fn word(word: &str) -> Self {
        Self::Other(word.to_owned())
    }
}

/// The message that the model wrote.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OutputMessage {
    /// Always `assistant` in an answer.
    pub role: Role,
    /// The text. If the request was rich (see `Prompt::is_rich`), a list of content blocks.
    pub content: Content,
}

/// The `output` object of an answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Output {
    /// The message that the model wrote.
    pub message: OutputMessage,
    /// The reason why the model stopped.
    pub stop_reason: StopReason,
    /// The fields of the model's own answer that the request asked for. Absent if the model has none of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_model_response_fields: Option<ModelFields>,
}

/// Fields of the model's own answer, as any JSON.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ModelFields(pub Value);

/// Hides the fields from logs.
impl std::fmt::Debug for ModelFields {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ModelFields")
    }
}

/// The change that was made to a request to make it fit its budget.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "action", rename_all = "lowercase")]
pub enum Degraded {
    /// The model may write fewer tokens.
    Clamp(Lowered),
    /// A cheaper model answers the request.
    Fallback {
        /// The id of the model that was requested.
        from: String,
        /// The id of the model that was called.
        to: String,
        /// Present if the fallback model may also write fewer tokens, because its own maximum or its limits are lower.
        #[serde(rename = "maxTokens", default, skip_serializing_if = "Option::is_none")]
        max_tokens: Option<Lowered>,
    },
}

/// A `max_tokens` that was lowered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lowered {
    /// The value before the change.
    pub from: u32,
    /// The value after the change.
    pub to: u32,
}

impl Lowered {
    /// The change from `from` to `to`; `None` if `to` is not lower.
    #[must_use]
    pub fn new(from: u32, to: u32) -> Option<Self> {
        (to < from).then_some(Self { from, to })
    }
}

impl Degraded {
    /// The action's name in documents.
    #[must_use]
    pub const fn action(&self) -> &'static str {
        match self {
            Self::Clamp(_) => "clamp",
            Self::Fallback { .. } => "fallback",
        }
    }

    /// The lowered `max_tokens`, if it was lowered.
    #[must_use]
    pub const fn lowered(&self) -> Option<Lowered> {
        match self {
            Self::Clamp(lowered) => Some(*lowered),
            Self::Fallback { max_tokens, .. } => *max_tokens,
        }
    }
}

/// The `model` object of an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AnswerModel {
    /// The name, as the client wrote it.
    pub requested: String,
    /// The id or ARN that was sent to Bedrock, or would have been sent. Absent if the model was not resolved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_id: Option<String>,
    /// The model's `ModelId` dimension in `AWS/Bedrock`. Absent if `model_id` is absent.
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

/// The complete answer document of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FinalAnswer {
    /// The way in which the request ended.
    pub outcome: Outcome,
    /// 200, or the HTTP status of the error's code.
    pub status_code: u16,
    /// The request's tags. If the document is not acceptable, only its acceptable tags.
    pub tags: Tags,
    /// The model; absent if the document does not name one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub model: Option<AnswerModel>,
    /// The model's message; present only on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output: Option<Output>,
    /// Tokens read and written; present only on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The price of these tokens; present only on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<Cost>,
    /// The error; absent on success.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<ErrorBody>,
    /// All scopes that applied, as far as they are known. Absent for an invalid document.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<Vec<BudgetEntry>>,
    /// The change that was made to the request to make it fit its budget.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Degraded>,
    /// Denials that limits in `observe` mode would have made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would_deny: Vec<ErrorBody>,
    /// Information for the client beside its answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// `true` if the answer is a kept one: the request was settled before, and nothing was sent to the model now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

impl FinalAnswer {
    /// The answer to a request that `error` ended before the model was called. A denial has a `budget`; an invalid
    /// document has none.
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
            replayed: false,
        }
    }

    /// Replaces the notices of the answer.
    #[must_use]
    pub fn with_notices(self, notices: Vec<Notice>) -> Self {
        Self { notices, ..self }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn usage_of_step_functions_is_the_same_usage() {
        let own = json!({"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 3, "cacheWriteInputTokens": 7,
            "totalTokens": 13, "cacheDetails": [{"ttl": "1h", "inputTokens": 4}], "serviceTier": "flex"});
        let names = json!({"InputTokens": 1, "OutputTokens": 2, "CacheReadInputTokens": 3, "CacheWriteInputTokens": 7,
            "TotalTokens": 13, "CacheDetails": [{"Ttl": "1h", "InputTokens": 4}], "serviceTier": "flex"});
        let read = |value| serde_json::from_value::<Usage>(value).unwrap();
        assert_eq!(read(names), read(own));
    }
}
