//! The hold of a request on every scope that applies.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::budget::Amount;
use crate::limit::ScopeLimit;

/// A hold that the ledger has taken for a request, on every scope that applies.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Reservation {
    /// The name of the hold: the request's `requestKey`.
    pub request_id: String,
    /// The execution that took the hold.
    pub execution_id: String,
    /// Maximum number of tokens that the model may write.
    pub max_tokens: u32,
    /// The amount that is held on every scope.
    pub hold: Amount,
    /// The time at which the hold was taken.
    pub held_at: DateTime<Utc>,
    /// The time at which the hold is settled in full, unless it was settled before.
    pub expires_at: DateTime<Utc>,
    /// The scopes that the hold is on.
    pub scopes: Vec<ReservedScope>,
}

/// A scope of a [`Reservation`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReservedScope {
    /// The limit that admitted the request.
    #[serde(flatten)]
    pub limit: ScopeLimit,
    /// Usage that CloudWatch had reported.
    pub seen: Amount,
    /// Age of `seen` at the reservation, in seconds. Absent for a scope that CloudWatch does not know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub usage_age_seconds: Option<u64>,
    /// The shard that contains the hold. Absent if the scope's own item contains it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<u16>,
}
