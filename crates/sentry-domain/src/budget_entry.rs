//! The figures of a scope in an answer.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, Serializer};

use crate::limit::Enforcement;
use crate::money::Usd;

/// One unit of a `budget` entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headroom<T> {
    /// Amount that is allowed in the window.
    pub limit: T,
    /// Amount that is spent in the window: the larger of CloudWatch's figure and the usage that the ledger has settled.
    pub used: T,
    /// Amount that requests in flight hold.
    pub reserved: T,
    /// Amount that is left, never below 0.
    pub remaining: T,
}

impl Headroom<u64> {
    /// Computes the remaining tokens or requests of a limit.
    #[must_use]
    pub fn new(limit: u64, used: u64, reserved: u64) -> Self {
        Self { limit, used, reserved, remaining: limit.saturating_sub(used).saturating_sub(reserved) }
    }
}

impl Headroom<Dollars> {
    /// Computes the remaining dollars of a limit.
    #[must_use]
    pub fn new(limit: Usd, used: Usd, reserved: Usd) -> Self {
        let remaining = limit.saturating_sub(used).saturating_sub(reserved);
        Self { limit: Dollars(limit), used: Dollars(used), reserved: Dollars(reserved), remaining: Dollars(remaining) }
    }
}

/// Dollars in the form that budgets use: a decimal string with two decimals, or more if the amount has more.
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
    /// The name, such as `model#amazon.nova-lite-v1:0` or `costCenter#support`.
    pub scope: String,
    /// Name of the window, such as `2026-11`.
    pub window: String,
    /// The end of the window; absent if the window never ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<DateTime<Utc>>,
    /// The kind of the limits item that applies: `model`, `costCenter`, `application+environment` and so on for the
    /// scope's own item, `default` for the fallback item.
    pub source: String,
    /// Age of CloudWatch's figure at the decision, in seconds. Absent for a scope that CloudWatch does not know.
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
    /// `observe` if the limit does not deny; otherwise absent.
    #[serde(default, skip_serializing_if = "Enforcement::is_deny")]
    pub enforce: Enforcement,
}
