//! Input and output of `Lookup Limit`.

use sentry_domain::ScopeLimit;
use serde::{Deserialize, Serialize};

use crate::error::ErrorBody;
use crate::request::{Fallback, Model, Tags};

/// Input of `Lookup Limit`. Other fields of the request are ignored.
#[derive(Clone, Debug, Deserialize)]
pub struct LookupLimitInput {
    /// The model that was requested.
    pub model: Model,
    /// The request's tags. Limits can apply to `applicationId`, `costCenter`, `environment`, `userId` and the declared
    /// tags.
    pub tags: Tags,
    /// The model that may answer instead; absent if there is none.
    #[serde(default)]
    pub fallback: Option<Fallback>,
}

/// The limits that apply to a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestLimits {
    /// Limits that depend on the model: first its own windows, then those of its foundation model. CloudWatch reports
    /// their usage.
    pub model: Vec<ScopeLimit>,
    /// Limits of the request's tags.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tags: Vec<ScopeLimit>,
    /// Limits of the fallback model. They replace `model` if the fallback answers. Empty if no limit allows `fallback`;
    /// the fallback then must not answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub fallback: Vec<ScopeLimit>,
}

impl RequestLimits {
    /// The limits of the request without a fallback.
    pub fn wanted(&self) -> impl Iterator<Item = &ScopeLimit> {
        self.model.iter().chain(&self.tags)
    }

    /// All limits, including those of the fallback model.
    pub fn all(&self) -> impl Iterator<Item = &ScopeLimit> {
        self.wanted().chain(&self.fallback)
    }
}

/// Output of `Lookup Limit`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum LimitsFound {
    /// Nothing is allowed. The model has no limit, an applicable limit is not understood, or a scope is stopped.
    Denied {
        /// The error for the client.
        denial: Box<ErrorBody>,
    },
    /// Limits apply, and all of them are understood.
    Found {
        /// Every limit that applies.
        limits: Box<RequestLimits>,
    },
}
