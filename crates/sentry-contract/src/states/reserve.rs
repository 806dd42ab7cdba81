//! `Reserve`.

use chrono::{DateTime, Utc};
use sentry_domain::Amount;
use serde::{Deserialize, Serialize};

use super::{Gathered, LimitsFound, MetricsRecord, ScopeLimit, TokenCount};
use crate::answer::{Degraded, FinalAnswer, Notice};
use crate::error::ErrorBody;
use crate::request::{Model, Request, Tags};
use crate::usage::UsageFound;

/// Input of `Reserve`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReserveInput {
    /// The execution that asks: the same one may ask again, another one with the same request id is a duplicate.
    pub execution_id: String,
    /// From `Validate And Tag`.
    pub request: Request,
    /// From the three branches of `Gather`.
    pub gathered: (Gathered<UsageFound>, Gathered<LimitsFound>, Gathered<TokenCount>),
}

/// Output of `Reserve`.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Decision {
    /// The hold is taken and the model may be called.
    Approved {
        /// Always `true`.
        approved: bool,
        /// The input of `Settle`, and of the call.
        admitted: Box<Admitted>,
    },
    /// The model may not be called.
    Denied {
        /// Always `false`.
        approved: bool,
        /// The answer that ends the execution.
        answer: Box<FinalAnswer>,
        /// The message for the metrics queue; absent for a duplicate, which is not counted.
        #[serde(skip_serializing_if = "Option::is_none")]
        record: Option<Box<MetricsRecord>>,
    },
}

/// A request that was admitted: all that is needed to call its model, to settle it and to answer it, without its prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admitted {
    /// The hold.
    pub reservation: Reservation,
    /// The model to call, which may be the fallback.
    pub model: Model,
    /// The request's tags, with the `modelMetric` of that model.
    pub tags: Tags,
    /// The rest of the answer.
    #[serde(default)]
    pub notes: Notes,
}

/// Facts about a request's treatment that its answer and its audit record repeat.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notes {
    /// The change that was made to it so that it fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Degraded>,
    /// The denials that limits which only observe did not make.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would_deny: Vec<ErrorBody>,
    /// What the client should know beside the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

/// A hold that the ledger has taken for a request, on every scope that applies to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// The hold's name: the request's `requestKey`.
    pub request_id: String,
    /// The execution that took it.
    pub execution_id: String,
    /// Most tokens that the model may write.
    pub max_tokens: u32,
    /// The amount that is held on every scope.
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
    /// The usage that CloudWatch had seen.
    pub seen: Amount,
    /// Age of that figure at the reservation, in seconds; absent for a scope that CloudWatch does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_age_seconds: Option<u64>,
    /// The shard that the hold is in; absent for the scope's own item.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u16>,
}
