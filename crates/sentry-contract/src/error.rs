//! Outcomes and errors, as a client sees them.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// The way in which a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// The model returned an answer.
    Succeeded,
    /// The budget approved the request, but the model did not answer.
    InvocationFailed,
    /// The budget denied the request, or the budget is unknown.
    Denied,
    /// The document is not acceptable. Nothing was counted or spent.
    Invalid,
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident: $outcome:ident, $status:literal, $retryable:literal;)+) => {
        /// The stable names of all errors.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum ErrorCode { $($(#[$doc])* $name,)+ }

        impl ErrorCode {
            /// Every code, in order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name. Clients and state machines match it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// The outcome of a request that ends with this code.
            #[must_use]
            pub const fn outcome(self) -> Outcome {
                match self { $(Self::$name => Outcome::$outcome,)+ }
            }

            /// The HTTP status for this code.
            #[must_use]
            pub const fn status(self) -> u16 {
                match self { $(Self::$name => $status,)+ }
            }

            /// `true` if the same request can succeed later without any change by the client or an administrator.
            #[must_use]
            pub const fn retryable(self) -> bool {
                match self { $(Self::$name => $retryable,)+ }
            }
        }
    };
}

error_codes! {
    /// A field of the document is missing, unknown or wrong; `details.path` names it.
    InvalidRequest: Invalid, 400, false;
    /// The name is neither an alias nor a model that can be called: it is unknown, retired, not in this Region, or
    /// behind a profile that cannot be resolved.
    UnknownModel: Invalid, 400, false;
    /// Another execution with the same `requestId` is in flight or was settled.
    DuplicateRequest: Invalid, 409, false;
    /// The request does not fit in the rest of the window's budget.
    BudgetExceeded: Denied, 429, false;
    /// The request does not fit now, but it would fit without the holds of requests in flight.
    BudgetReserved: Denied, 429, true;
    /// There is neither a limits item for the model nor a `default` item.
    LimitNotConfigured: Denied, 403, false;
    /// A limits item has a part that is not understood.
    LimitMalformed: Denied, 403, false;
    /// A limit in dollars applies, but the price of the request is unknown.
    ModelNotPriced: Denied, 403, false;
    /// The request would hold more than the limit for one request.
    RequestTooLarge: Denied, 403, false;
    /// An administrator has stopped a scope of the request.
    Stopped: Denied, 403, false;
    /// The usage in the window is unknown.
    UsageUnavailable: Denied, 503, true;
    /// The limits cannot be read, or the ledger cannot make the decision.
    LedgerUnavailable: Denied, 503, true;
    /// Bedrock throttled the call, or a quota is used up.
    ModelThrottled: InvocationFailed, 429, true;
    /// The model did not answer in time.
    ModelTimeout: InvocationFailed, 504, true;
    /// Bedrock is not available, not ready, or the connection was lost.
    ModelUnavailable: InvocationFailed, 503, true;
    /// This account or role may not use the model.
    ModelAccessDenied: InvocationFailed, 502, false;
    /// Bedrock rejected the request as invalid, or the model does not exist.
    ModelRejectedRequest: InvocationFailed, 502, false;
    /// The model failed, or its answer is not understood.
    ModelError: InvocationFailed, 502, false;
    /// The answer does not fit in the output of a workflow.
    OutputTooLarge: InvocationFailed, 502, false;
}

impl ErrorCode {
    /// Seconds after which a retry is worthwhile; `None` if a retry does not help.
    #[must_use]
    pub const fn retry_after_seconds(self) -> Option<u64> {
        match self {
            // This is the minimum. If the ledger knows how long requests take, it sets the wait.
            Self::BudgetReserved => Some(1),
            Self::UsageUnavailable | Self::LedgerUnavailable => Some(5),
            Self::ModelThrottled | Self::ModelUnavailable => Some(30),
            Self::ModelTimeout => Some(60),
            _ => None,
        }
    }
}

/// The `error` object of an answer. It never contains text of a prompt or of a model's answer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ErrorBody {
    /// The stable name of the error.
    pub code: ErrorCode,
    /// The cause of the error, and the action that resolves it.
    pub message: String,
    /// `true` if a retry of the same request can succeed.
    pub retryable: bool,
    /// Seconds to wait before a retry; absent if a retry does not help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_seconds: Option<u64>,
    /// Machine-readable facts; empty if there are none.
    pub details: Map<String, Value>,
}

impl ErrorBody {
    /// An error without details. The code sets `retryable` and the wait.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: code.retryable(),
            retry_after_seconds: code.retry_after_seconds(),
            details: Map::new(),
        }
    }

    /// Replaces the default wait of the code by `seconds`.
    #[must_use]
    pub fn retry_after(self, seconds: u64) -> Self {
        Self { retry_after_seconds: Some(seconds), ..self }
    }

    /// Adds a detail to the error.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_of_codes_is_the_public_one() {
        let lines = ErrorCode::ALL
            .iter()
            .map(|code| format!("{} {:?} {} {}", code.name(), code.outcome(), code.status(), code.retryable()));
        let table = lines.collect::<Vec<_>>().join("\n");
        insta::assert_snapshot!(table);
    }

    #[test]
    fn a_code_is_written_as_its_name_and_only_retryable_ones_say_when() {
        for code in ErrorCode::ALL {
            assert_eq!(serde_json::to_value(code).unwrap(), code.name());
            assert_eq!(code.retry_after_seconds().is_some(), code.retryable(), "{}", code.name());
        }
    }
}
