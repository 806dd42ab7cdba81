//! The metrics queue.

use sentry_domain::Amount;
use serde::{Deserialize, Serialize};

use super::{Alert, Reservation};
use crate::answer::{Degraded, Usage};
use crate::error::{ErrorBody, ErrorCode, Outcome};
use crate::request::{Model, Tags};

/// The message that is queued for every request that reached the budget decision.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsRecord {
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

/// The model in a [`MetricsRecord`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MetricsModel {
    /// The client's spelling.
    pub requested: String,
    /// The id or ARN that was sent to Bedrock.
    pub model_id: String,
}

impl From<&Model> for MetricsModel {
    fn from(model: &Model) -> Self {
        Self { requested: model.requested.clone(), model_id: model.model_id.clone() }
    }
}
