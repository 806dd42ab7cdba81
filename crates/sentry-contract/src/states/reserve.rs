//! Input and output of `Reserve`.

use sentry_domain::Reservation;
use serde::{Deserialize, Serialize};

use super::{Asked, Gathered, LimitsFound, MetricsRecord, TokenCount};
use crate::answer::{Degraded, FinalAnswer};
use crate::error::ErrorBody;
use crate::notice::Notice;
use crate::request::{Model, Request, Tags};
use crate::usage::UsageFound;

/// Input of `Reserve`, from the state machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ReserveInput {
    /// The execution that requests the hold. The same execution may request it again. Another execution with the same
    /// request id is a duplicate.
    pub execution_id: String,
    /// The validated request, from `Validate And Tag`.
    pub request: Request,
    /// Results of the three branches of `Gather`.
    pub gathered: (Gathered<UsageFound>, Gathered<LimitsFound>, Gathered<TokenCount>),
}

/// Output of `Reserve`: an approval or a denial.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Decision {
    /// The hold is taken, and the model may be called.
    Approved {
        /// Always `true` in this variant.
        approved: bool,
        /// Input of `Settle` and of the model call.
        admitted: Box<Admitted>,
    },
    /// The model must not be called.
    Denied {
        /// Always `false` in this variant.
        approved: bool,
        /// The answer that ends the execution.
        answer: Box<FinalAnswer>,
        /// The message for the metrics queue. Absent for a duplicate, because duplicates are not counted.
        #[serde(skip_serializing_if = "Option::is_none")]
        record: Option<Box<MetricsRecord>>,
    },
}

/// A request that was admitted. It has everything that the model call, the settlement and the answer need, except the
/// prompt.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Admitted {
    /// The hold of the request.
    pub reservation: Reservation,
    /// The model to call. It may be the fallback.
    pub model: Model,
    /// The request's tags, with the `modelMetric` of `model`.
    pub tags: Tags,
    /// The `digest` of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Facts that the final answer repeats.
    #[serde(default)]
    pub notes: Notes,
}

/// Facts about the decision, repeated in the answer and in the audit record.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Notes {
    /// The change that was made to the request to make it fit its budget.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub degraded: Option<Degraded>,
    /// Denials that limits in `observe` mode would have made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub would_deny: Vec<ErrorBody>,
    /// Information for the client beside its answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
    /// The amounts that the request asked for, for the audit record. Absent in notes of versions without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Box<Asked>>,
}
