//! The alert about a scope that has reached a threshold of its limit.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::budget::Unit;
use crate::response::AlertResponse;

/// A threshold of `alertAt` that a scope has reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// The scope that reached the threshold.
    pub scope: String,
    /// The name of the window.
    pub window: String,
    /// The window's key in the ledger.
    pub window_key: String,
    /// The end of the window; absent if the window never ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<DateTime<Utc>>,
    /// The percentage that was reached.
    pub threshold: u8,
    /// The unit that reached the threshold.
    pub unit: Unit,
    /// The limit on `unit`, in the format of answers.
    pub limit: String,
    /// The amount of `unit` that is used, in the format of answers.
    pub used: String,
    /// The automated response that is set with the alert; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<AlertResponse>,
}
