//! Notices: information for the client beside its answer.

use serde::{Deserialize, Serialize};

/// Information for the client beside its answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// The kind of notice.
    pub code: NoticeCode,
    /// The facts, and the action that the client can take.
    pub message: String,
}

/// The kinds of notices.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum NoticeCode {
    /// The model reaches its end of life within sixty days.
    ModelRetiring,
    /// The name that the client used now means a newer model.
    ModelReplaced,
}
