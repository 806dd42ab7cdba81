//! The metrics queue.

use std::collections::BTreeSet;

use sentry_domain::{Amount, Price};
use serde::{Deserialize, Serialize};

use super::{Alert, CancelInput, Reservation, ScopeLimit};
use crate::answer::{Degraded, Usage};
use crate::error::{ErrorBody, ErrorCode, Outcome};
use crate::request::{Model, Tags};

/// The message that is queued for every request that reached the budget decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsRecord {
    /// The execution that decided: what tells one decision from every other. Absent in messages of versions before the usage history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub execution_id: Option<String>,
    /// How the request ended.
    pub outcome: Outcome,
    /// For the dimensions and the timestamp.
    pub tags: Tags,
    /// For the dimensions.
    pub model: MetricsModel,
    /// Tokens that were spent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage: Option<Usage>,
    /// The error code, where it did not succeed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub code: Option<ErrorCode>,
    /// The scopes whose limits applied to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scopes: Vec<String>,
    /// Whether the model certainly used nothing. Without this and without `usage`, an approved request is settled at what it held.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nothing_spent: bool,
    /// The amount that it held, if it held anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold: Option<Amount>,
    /// The change that was made to the request so that it fits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Degraded>,
    /// The denials that limits which only observe did not make.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would_deny: Vec<ErrorBody>,
    /// Alerts that are due after it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<Alert>,
    /// The settlement that `Settle` could not make and that is left to the queue's function.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settlement: Option<LateSettlement>,
}

impl MetricsRecord {
    /// The scopes of `limits`, each once.
    #[must_use]
    pub fn scopes_of<'a>(limits: impl Iterator<Item = &'a ScopeLimit>) -> Vec<String> {
        let scopes: BTreeSet<&String> = limits.map(|limit| &limit.scope).collect();
        scopes.into_iter().cloned().collect()
    }
}

/// The other messages of the queue, which are of no decided request: `{"alerts": […]}` and `{"cancellation": {…}}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum QueuedTask {
    /// Alerts that are due although no request has ended: an expired hold was settled.
    Alerts(Vec<Alert>),
    /// A cancellation that `Cancel Reservation` could not make.
    Cancellation(Box<CancelInput>),
}

/// A settlement that is still to be made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LateSettlement {
    /// The hold.
    pub reservation: Reservation,
    /// The model that was called, for the price.
    pub model: Model,
    /// Whether the model certainly used nothing. Without this and without the record's `usage`, the hold stays.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub nothing_spent: bool,
}

/// The model in a [`MetricsRecord`]; a whole [`Model`] is read as one too.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsModel {
    /// The client's spelling.
    pub requested: String,
    /// The id or ARN that was sent to Bedrock.
    pub model_id: String,
    /// Its `ModelId` dimension in `AWS/Bedrock`, which its scope is named by; absent in messages of versions before the usage history.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model_metric: Option<String>,
    /// The id of the foundation model behind it, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foundation: Option<String>,
    /// What the request costs there; absent where no price is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
}

impl From<&Model> for MetricsModel {
    fn from(model: &Model) -> Self {
        Self {
            requested: model.requested.clone(),
            model_id: model.model_id.clone(),
            model_metric: Some(model.model_metric.clone()),
            foundation: model.foundation.clone(),
            price: model.price,
        }
    }
}
