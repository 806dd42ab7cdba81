//! The limits that apply to a request: one for each scope and window.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::budget::Limits;
use crate::window::Window;

/// The window of a limit that a request falls into.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LimitWindow {
    /// The name: `2026-11-21T13:05`, `2026-11-21T13`, `2026-11-21`, `2026-W47`, `2026-11`, `total`, a period's two
    /// instants, or `inFlight`.
    pub name: String,
    /// The window's key in the ledger.
    pub key: String,
    /// The first instant of the window.
    pub start: DateTime<Utc>,
    /// The first instant of the next window. Absent if the window never resets.
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

/// Maximum number of scopes of a request: the model and its foundation model, the seven combinations of application,
/// cost center and environment, the user, and the declared tags.
pub const MOST_SCOPES: usize = 2 + 7 + 1 + MOST_BUDGET_TAGS;
/// Maximum number of tags that a stack can declare in `BudgetTags`.
pub const MOST_BUDGET_TAGS: usize = 6;
/// Maximum number of windows of a limits item: four, and one for requests in flight, which has its own ledger item.
pub const MOST_WINDOWS: usize = 4 + 1;

/// One window of a limits item that applies to a request.
///
/// An item with several windows gives one `ScopeLimit` for each. A unit that is limited at every moment and not in a
/// window (`inFlight`) has its own window, which never resets.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ScopeLimit {
    /// The scope: `model#…`, `foundation#…`, `costCenter#support`, `application#helper+environment#production`.
    pub scope: String,
    /// `default` for a fallback item. Otherwise the kind of scope: `model`, `costCenter`, `application+environment`.
    pub source: String,
    /// The key of the limits item.
    pub item: String,
    /// The window that the request falls into.
    pub window: LimitWindow,
    /// The limits in this window, with any raise that is in force. At least one unit is limited.
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
    /// Minimum number of ledger items that the scope is spread over. With 1, the ledger decides.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub shards: u16,
    /// Changes that may be made to a request that does not fit, first choice first. If it is empty, the request is
    /// denied.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub when_exceeded: Vec<Remedy>,
    /// The automated response; absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub respond: Option<Box<Response>>,
}

const fn one() -> u16 {
    1
}

const fn is_one(shards: &u16) -> bool {
    *shards == 1
}

impl ScopeLimit {
    /// `true` if `remedy` may be applied to a request that does not fit.
    #[must_use]
    pub fn allows(&self, remedy: Remedy) -> bool {
        self.when_exceeded.contains(&remedy)
    }
}

/// The effect of a limit on a request that does not fit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Enforcement {
    /// The request is denied.
    #[default]
    Deny,
    /// The request is served. The answer says that it would have been denied.
    Observe,
}

impl Enforcement {
    /// `true` if the limit denies requests that do not fit.
    #[must_use]
    pub const fn is_deny(&self) -> bool {
        matches!(self, Self::Deny)
    }
}

/// A change that makes a request fit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Remedy {
    /// The model may write fewer tokens than the client allows.
    Clamp,
    /// The fallback of the model answers.
    Fallback,
}

impl Remedy {
    /// Every remedy, in order of declaration.
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

/// The change that a response makes, as limits items write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Reaction {
    /// These limits, which are lower, replace those of the window.
    Set(Limits),
    /// An effect other than lower limits.
    Action(Action),
}

/// An effect that is not a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Action {
    /// The fallback of the model answers, if the request has one.
    Fallback,
}

/// The automated response of a limit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// The percentage of the limit at which the response is set.
    pub at: u8,
    /// The change that it makes.
    #[serde(flatten)]
    pub reaction: Reaction,
    /// The limit while the response is in force. Absent in that limit itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub then: Option<ScopeLimit>,
    /// In the limit while the response is in force: the limits without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Limits>,
}
