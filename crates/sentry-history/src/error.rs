//! Errors of the usage history.

use std::error::Error;

use thiserror::Error as ThisError;

/// An error of an operation of the usage history.
#[derive(Debug, ThisError)]
pub enum HistoryError {
    /// DynamoDB did not answer, or answered with an unexpected error.
    #[error("the usage history cannot be reached")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// DynamoDB rejects the content of the write, so the same write cannot succeed later.
    #[error("the usage history does not take it")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// Every attempt lost against other transactions, or time ran out before the first attempt.
    #[error("the usage history is contended: no attempt succeeded in time")]
    Contended,
    /// An attribute of an item has a value that the history does not write.
    #[error("the item {scope} {day} of the usage history cannot be understood: {attribute}")]
    Damaged {
        /// Partition key of the item.
        scope: String,
        /// Sort key of the item.
        day: String,
        /// Name of the unreadable attribute.
        attribute: String,
    },
}

pub fn unavailable(error: impl Error + Send + Sync + 'static) -> HistoryError {
    HistoryError::Unavailable(Box::new(error))
}
