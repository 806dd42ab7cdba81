//! `Lookup Limit`.

use chrono::{DateTime, Utc};
use sentry_domain::{Limits, Window};
use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::request::{Fallback, Model, Tags};

/// Input of `Lookup Limit`.
#[derive(Clone, Debug, Deserialize)]
pub struct LookupLimitInput {
    /// Whose limits.
    pub model: Model,
    /// `applicationId`, `costCenter`, `environment` have limits too.
    pub tags: Tags,
    /// A model that may answer in its place.
    #[serde(default)]
    pub fallback: Option<Fallback>,
}

/// The window of a limit that a request falls into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitWindow {
    /// `2026-11-21T13`, `2026-11-21`, `2026-W47`, `2026-11`.
    pub name: String,
    /// What the ledger keeps it under.
    pub key: String,
    /// Its first instant.
    pub start: DateTime<Utc>,
    /// The first instant of the next one.
    pub resets_at: DateTime<Utc>,
}

impl From<&Window> for LimitWindow {
    fn from(window: &Window) -> Self {
        Self { name: window.name().to_owned(), key: window.key(), start: window.start(), resets_at: window.resets_at() }
    }
}

/// A limit that applies to a request: a limits item, understood, and the window that the request falls into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeLimit {
    /// Whose budget: `model#…`, `costCenter#support`, `application#helper+environment#production`.
    pub scope: String,
    /// `default` for a fallback item, otherwise what kind of scope it is: `model`, `costCenter`, `application+environment`.
    pub source: String,
    /// The key of the limits item.
    pub item: String,
    /// Where the request falls.
    pub window: LimitWindow,
    /// What is allowed in it; at least one unit is limited.
    pub limits: Limits,
    /// Percentages of a limit, ascending, at which an alert is sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alert_at: Vec<u8>,
    /// Over how many items the ledger spreads the scope; 1 is not spread.
    pub shards: u8,
    /// What may be done to a request that does not fit, first choice first; without any it is denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when_exceeded: Vec<Remedy>,
}

impl ScopeLimit {
    /// Whether a request that does not fit may be treated so.
    #[must_use]
    pub fn allows(&self, remedy: Remedy) -> bool {
        self.when_exceeded.contains(&remedy)
    }
}

/// What may be done to a request so that it fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Remedy {
    /// The model may write fewer tokens than the client allows it.
    Clamp,
    /// The model's fallback answers.
    Fallback,
}

impl Remedy {
    /// Every one.
    pub const ALL: [Self; 2] = [Self::Clamp, Self::Fallback];

    /// The name, as limits items write it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Clamp => "clamp",
            Self::Fallback => "fallback",
        }
    }
}

/// What `Lookup Limit` finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LimitsFound {
    /// There are limits, and all can be understood.
    Found {
        /// Every limit that applies; the model's comes first.
        limits: Vec<ScopeLimit>,
        /// The limit of the fallback model, where one of `limits` lets it step in; those of the tags are the same.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fallback: Option<Box<ScopeLimit>>,
    },
    /// The model has none, or one that applies cannot be understood.
    Refused {
        /// Which.
        refusal: Box<ErrorBody>,
    },
}
