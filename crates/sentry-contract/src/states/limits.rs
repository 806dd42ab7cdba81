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
    /// `2026-11-21T13:05`, `2026-11-21T13`, `2026-11-21`, `2026-W47`, `2026-11`, `total`, a period's two instants, or `inFlight`.
    pub name: String,
    /// What the ledger keeps it under.
    pub key: String,
    /// Its first instant.
    pub start: DateTime<Utc>,
    /// The first instant of the next one; absent where it never resets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<DateTime<Utc>>,
}

impl From<&Window> for LimitWindow {
    fn from(window: &Window) -> Self {
        Self {
            name: window.name().to_owned(),
            key: window.key().to_owned(),
            start: window.start(),
            resets_at: window.resets_at(),
        }
    }
}

/// The most scopes that can apply to a request: the model and its foundation model, the seven combinations of application, cost center and
/// environment, the user, and the declared tags.
pub const MOST_SCOPES: usize = 2 + 7 + 1 + MOST_BUDGET_TAGS;
/// The most tags that a stack can declare in `BudgetTags`.
pub const MOST_BUDGET_TAGS: usize = 6;
/// The most windows that a limits item can have: four, and one for what is in flight, whose ledger item is one of its own.
pub const MOST_WINDOWS: usize = 4 + 1;

/// One window of a limits item that applies to a request, understood.
///
/// An item with several windows gives one of these for each. Units that are limited at any moment rather than in a window (`inFlight`) have
/// a window of their own, which never resets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeLimit {
    /// Whose budget: `model#…`, `foundation#…`, `costCenter#support`, `application#helper+environment#production`.
    pub scope: String,
    /// `default` for a fallback item, otherwise what kind of scope it is: `model`, `costCenter`, `application+environment`.
    pub source: String,
    /// The key of the limits item.
    pub item: String,
    /// Where the request falls.
    pub window: LimitWindow,
    /// What is allowed in it, with a raise that is in force; at least one unit is limited.
    pub limits: Limits,
    /// The most that one request may hold.
    #[serde(default, skip_serializing_if = "Limits::is_empty")]
    pub per_request: Limits,
    /// Deny a request that does not fit, or only observe.
    #[serde(default, skip_serializing_if = "Enforcement::is_deny")]
    pub enforce: Enforcement,
    /// Percentages of a limit, ascending, at which an alert is sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alert_at: Vec<u8>,
    /// Over how many items the ledger spreads the scope at least; 1 leaves it to the ledger.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub shards: u16,
    /// What may be done to a request that does not fit, first choice first; without any it is denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when_exceeded: Vec<Remedy>,
}

const fn one() -> u16 {
    1
}

const fn is_one(shards: &u16) -> bool {
    *shards == 1
}

impl ScopeLimit {
    /// Whether a request that does not fit may be treated so.
    #[must_use]
    pub fn allows(&self, remedy: Remedy) -> bool {
        self.when_exceeded.contains(&remedy)
    }
}

/// What a limit does to a request that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// The request is denied.
    #[default]
    Deny,
    /// The request is served; the answer says that it would have been denied.
    Observe,
}

impl Enforcement {
    /// Whether it denies.
    #[must_use]
    pub const fn is_deny(&self) -> bool {
        matches!(self, Self::Deny)
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

/// The limits that apply to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestLimits {
    /// Those that depend on the model: its own windows first, then those of its foundation model. CloudWatch knows their usage.
    pub model: Vec<ScopeLimit>,
    /// Those of the tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<ScopeLimit>,
    /// In place of `model`, those of the model that may answer instead, where one of the limits lets it; without any it may not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<ScopeLimit>,
}

impl RequestLimits {
    /// The limits of the request as it was asked for.
    pub fn wanted(&self) -> impl Iterator<Item = &ScopeLimit> {
        self.model.iter().chain(&self.tags)
    }

    /// All of them, those of the fallback model as well.
    pub fn all(&self) -> impl Iterator<Item = &ScopeLimit> {
        self.wanted().chain(&self.fallback)
    }
}

/// What `Lookup Limit` finds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LimitsFound {
    /// Nothing is allowed: the model has no limit, one that applies cannot be understood, or a scope is stopped.
    Denied {
        /// Why.
        denial: Box<ErrorBody>,
    },
    /// There are limits, and all can be understood.
    Found {
        /// Every limit that applies.
        limits: Box<RequestLimits>,
    },
}
