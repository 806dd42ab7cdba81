//! Messages of the metrics queue.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use sentry_domain::{Alert, Amount, BudgetEntry, Price, Reservation, ScopeLimit};
use serde::{Deserialize, Serialize};

use super::{Asked, CancelInput, ResponseChange, StepTimes};
use crate::answer::{Degraded, Usage};
use crate::error::{ErrorBody, ErrorCode, Outcome};
use crate::request::{Model, PriceSource, Tags};

/// The message that is queued for every request that reached the budget decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsRecord {
    /// The execution that made the decision. It identifies the decision. Absent in messages from versions without the
    /// usage history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// The way in which the request ended.
    pub outcome: Outcome,
    /// The request's tags, for the dimensions and the timestamp.
    pub tags: Tags,
    /// The model, for the dimensions.
    pub model: MetricsModel,
    /// Tokens that were spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The error code; absent if the request succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// The scopes whose limits applied to the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// `true` if the model certainly used nothing. If it is `false` and `usage` is absent, the usage history counts the hold
    /// of an approved request as unknown usage.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nothing_spent: bool,
    /// The amount that the request held, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Amount>,
    /// The change that was made to the request to make it fit its budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Degraded>,
    /// Denials that limits in `observe` mode would have made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would_deny: Vec<ErrorBody>,
    /// The amounts that the request asked for. Absent if `Reserve` did not decide, and in messages of versions without
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Box<Asked>>,
    /// Alerts that are due after the request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
    /// The settlement that `Settle` could not make. The queue's function makes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<LateSettlement>,
    /// The `budget` of the answer. Empty if no figure is known, and in messages of versions without the audit record v1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub budget: Vec<RecordedEntry>,
    /// The times of the request's steps.
    #[serde(default, skip_serializing_if = "is_default")]
    pub times: StepTimes,
}

fn is_default(times: &StepTimes) -> bool {
    *times == StepTimes::default()
}

/// An entry of the answer's `budget`, with the start of its window.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordedEntry {
    /// The entry, exactly as in the answer.
    #[serde(flatten)]
    pub entry: BudgetEntry,
    /// The first instant of the window.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub starts_at: Option<DateTime<Utc>>,
}

impl RecordedEntry {
    /// Each of `entries`, with the start of its window in `limits`.
    pub fn all<'a>(entries: &[BudgetEntry], limits: impl Iterator<Item = &'a ScopeLimit> + Clone) -> Vec<Self> {
        let start = |entry: &BudgetEntry| {
            let mut limits = limits.clone();
            let limit = limits.find(|limit| limit.scope == entry.scope && limit.window.name == entry.window);
            limit.map(|limit| limit.window.start)
        };
        entries.iter().map(|entry| Self { starts_at: start(entry), entry: entry.clone() }).collect()
    }
}

impl MetricsRecord {
    /// The scopes of `limits`, without duplicates.
    #[must_use]
    pub fn scopes_of<'a>(limits: impl Iterator<Item = &'a ScopeLimit>) -> Vec<String> {
        let scopes: BTreeSet<&String> = limits.map(|limit| &limit.scope).collect();
        scopes.into_iter().cloned().collect()
    }
}

/// The messages of the queue that do not belong to a decided request: `{"alerts": […]}`, `{"responses": […]}` and
/// `{"cancellation": {…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum QueuedTask {
    /// Alerts that are due because an expired hold was settled, not because a request ended.
    Alerts(Vec<Alert>),
    /// Automated responses that have ended.
    Responses(Vec<ResponseChange>),
    /// A cancellation that `Cancel Reservation` could not make.
    Cancellation(Box<CancelInput>),
}

/// A settlement that remains to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LateSettlement {
    /// The hold to settle.
    pub reservation: Reservation,
    /// The model that was called, for the price.
    pub model: Model,
    /// `true` if the model certainly used nothing. If it is `false` and the record's `usage` is absent, the hold stays
    /// until it expires.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nothing_spent: bool,
}

/// The model in a [`MetricsRecord`]. A complete [`Model`] deserializes into this type too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsModel {
    /// The name, as the client wrote it.
    pub requested: String,
    /// The id or ARN that was sent to Bedrock.
    pub model_id: String,
    /// The model's `ModelId` dimension in `AWS/Bedrock`, from which its scope gets its name. Absent in messages from
    /// versions without the usage history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_metric: Option<String>,
    /// The id of the foundation model, if it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foundation: Option<String>,
    /// The price of the request on this model; absent if no price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// The place that `price` is from.
    #[serde(default, skip_serializing_if = "PriceSource::is_default")]
    pub price_source: PriceSource,
}

impl From<&Model> for MetricsModel {
    fn from(model: &Model) -> Self {
        Self {
            requested: model.requested.clone(),
            model_id: model.model_id.clone(),
            model_metric: Some(model.model_metric.clone()),
            foundation: model.foundation.clone(),
            price: model.price,
            price_source: model.price_source,
        }
    }
}
