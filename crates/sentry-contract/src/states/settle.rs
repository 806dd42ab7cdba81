//! `Settle` and `Cancel Reservation`.

use std::fmt;

use chrono::{DateTime, Utc};
use sentry_domain::Unit;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::{Admitted, AnswerTerms, CallFailure, RequestLimits, SealedAnswer};
use crate::answer::BudgetEntry;

/// Input of `Settle`, and of `Read Answer` after a `Settle` that failed.
#[derive(Clone, Debug, Deserialize)]
pub struct SettleInput {
    /// From `Reserve`.
    pub admitted: Admitted,
    /// The end of the model's call.
    pub ended: Ended,
}

/// The end of a model's call: one of `sealed`, `failure`, or, for a call by Step Functions, `result` or `error`.
#[derive(Clone, Default, Deserialize)]
#[serde(default)]
pub struct Ended {
    /// The function's answer.
    pub sealed: Option<SealedAnswer>,
    /// The function's failure, or the state machine's.
    pub failure: Option<CallFailure>,
    /// From `Prepare Call`.
    pub terms: Option<AnswerTerms>,
    /// Bedrock's answer in PascalCase.
    pub result: Option<Value>,
    /// The name of Bedrock's error.
    pub error: Option<String>,
    /// The error's message, which may quote the prompt.
    pub cause: Option<String>,
}

/// The answer and the message stay out of logs.
impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Ended({:?}, {:?}, {:?})", self.sealed, self.failure, self.error)
    }
}

/// Input of `Settle` where `Reserve` gave no answer: whatever it took is given back, for the model is not called.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CancelInput {
    /// The name of the hold.
    pub request_key: String,
    /// The execution that may have taken it.
    pub execution_id: String,
    /// The limits that it may be held on.
    #[serde(default)]
    pub limits: RequestLimits,
}

/// Either input of `Settle`.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum SettleEvent {
    /// The reservation is known.
    Settle(Box<SettleInput>),
    /// It is not.
    Cancel(CancelInput),
}

/// The scopes of a request after its settlement.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Settled {
    /// Every scope that applied.
    pub budget: Vec<BudgetEntry>,
    /// Alerts that are due.
    pub alerts: Vec<Alert>,
}

/// A threshold of `alertAt` that a scope has reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Alert {
    /// Whose budget.
    pub scope: String,
    /// The window's name.
    pub window: String,
    /// The window's key in the ledger.
    pub window_key: String,
    /// When it ends; absent where it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resets_at: Option<DateTime<Utc>>,
    /// The percentage that was reached.
    pub threshold: u8,
    /// The unit that reached it.
    pub unit: Unit,
    /// Its limit, as answers write it.
    pub limit: String,
    /// What is spent of it, as answers write it.
    pub used: String,
}
