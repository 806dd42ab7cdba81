//! The beginning and the end of an automated response.

use chrono::{DateTime, Utc};
use sentry_domain::{Alert, AlertResponse, Unit};
use serde::{Deserialize, Serialize};

/// An automated response that is set, or that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResponseChange {
    /// The scope whose limit it changes.
    pub scope: String,
    /// The name of the window.
    pub window: String,
    /// The window's key in the ledger.
    pub window_key: String,
    /// The end of the window; absent if it never ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<DateTime<Utc>>,
    /// The percentage that was reached.
    pub at: u8,
    /// The unit that reached the percentage.
    pub unit: Unit,
    /// The amount of `unit` that was used, in the format of answers.
    pub used: String,
    /// The limits item, the limits before, and the change.
    pub response: AlertResponse,
    /// The time at which the response was set.
    pub since: DateTime<Utc>,
    /// The end of the response; absent while it is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ending>,
}

/// The end of a response.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ending {
    /// The time at which the end was noticed.
    pub at: DateTime<Utc>,
    /// The reason why the response ended.
    pub reason: EndReason,
}

/// The reason why a response has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EndReason {
    /// The window has ended.
    Window,
    /// An administrator has removed the response from the limits item.
    TakenBack,
}

impl ResponseChange {
    /// The response that `alert` sets at `now`. `None` if its threshold has none.
    #[must_use]
    pub fn set_by(alert: &Alert, now: DateTime<Utc>) -> Option<Self> {
        Some(Self {
            scope: alert.scope.clone(),
            window: alert.window.clone(),
            window_key: alert.window_key.clone(),
            resets_at: alert.resets_at,
            at: alert.threshold,
            unit: alert.unit,
            used: alert.used.clone(),
            response: alert.response.clone()?,
            since: now,
            ended: None,
        })
    }
}
