//! Input and output of every function, as the state machines pass them.

mod asked;
mod call;
mod limits;
mod metrics;
mod reserve;
mod responses;
mod settle;
mod times;
mod validate;

use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};

pub use asked::{Asked, AskedFallback};
pub use call::{
    AnswerTerms, CallFailure, Carried, InvokeModelEvent, InvokeModelInput, Invoked, ModelAnswer, NativeCall,
    PreparedCall, ReadAnswerInput, SealedAnswer, Target,
};
pub use limits::{LimitsFound, LookupLimitInput, RequestLimits};
pub use metrics::{LateSettlement, MetricsModel, MetricsRecord, QueuedTask, RecordedEntry};
pub use reserve::{Admitted, Decision, Notes, ReserveInput};
pub use responses::{EndReason, Ending, ResponseChange};
pub use settle::{CancelInput, Ended, RepeatInput, SettleEvent, SettleInput};
pub use times::{StepMilliseconds, StepTimes};
pub use validate::{CountTokensInput, TokenCount, Validated};

/// A value, or the error of the function that should have returned it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Gathered<T> {
    /// The function failed without a value.
    Unavailable {
        /// The name of the function's error.
        unavailable: String,
    },
    /// The answer of the function.
    Available(T),
}

/// An instant in the format of answers: `2025-01-31T14:05:26.854682Z`.
#[must_use]
pub fn timestamp(instant: DateTime<Utc>) -> String {
    instant.to_rfc3339_opts(SecondsFormat::Micros, true)
}
