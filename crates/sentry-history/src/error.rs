//! What can go wrong.

use std::error::Error;

use thiserror::Error as ThisError;

/// Why the history could not do what it was asked.
#[derive(Debug, ThisError)]
pub enum HistoryError {
    /// DynamoDB did not answer, or not as it should.
    #[error("the usage history cannot be reached")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// DynamoDB refuses the write for what is in it, so the same write cannot succeed later.
    #[error("the usage history does not take it")]
    Refused(#[source] Box<dyn Error + Send + Sync>),
    /// Every attempt lost against other transactions, or time ran out before the first one.
    #[error("the usage history is contended: no attempt succeeded in time")]
    Contended,
    /// An item holds something that the history does not write.
    #[error("the item {scope} {day} of the usage history cannot be understood: {attribute}")]
    Damaged {
        /// Partition key.
        scope: String,
        /// Sort key.
        day: String,
        /// The attribute.
        attribute: String,
    },
}

pub fn unavailable(error: impl Error + Send + Sync + 'static) -> HistoryError {
    HistoryError::Unavailable(Box::new(error))
}
