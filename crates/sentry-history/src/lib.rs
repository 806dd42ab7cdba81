#![doc = include_str!("../README.md")]

mod decided;
mod error;
mod pack;
mod record;
mod scopes;
mod spent;
mod sums;

use aws_sdk_dynamodb::Client;

pub use decided::{Decided, MARKED_DAYS, NoInstant};
pub use error::HistoryError;
pub use record::{Recorded, Report};
pub use spent::Day;
pub use sums::{Sums, attribute};

/// Partition key of the table: a scope, or the marker of a decision.
pub const SCOPE: &str = "scope";
/// Sort key of the table: a day of UTC such as `2026-11-21`.
pub const DAY: &str = "day";
/// When DynamoDB may delete the item, in seconds since 1970.
pub const EXPIRES_AT: &str = "expiresAt";
/// How long a day is kept where nothing else is said.
const KEPT_DAYS: u16 = 400;

/// The usage history: a table with one item a scope and day.
#[derive(Clone, Debug)]
pub struct History {
    client: Client,
    table: String,
    kept_days: u16,
}

impl History {
    /// The history in `table`. What it writes is kept for 400 days.
    #[must_use]
    pub const fn new(client: Client, table: String) -> Self {
        Self { client, table, kept_days: KEPT_DAYS }
    }

    /// The history whose days are kept for `days` days.
    #[must_use]
    pub fn keeping(self, days: u16) -> Self {
        Self { kept_days: days, ..self }
    }
}
