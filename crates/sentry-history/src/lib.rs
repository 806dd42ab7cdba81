#![doc = include_str!("../README.md")]

mod decided;
mod error;
mod pack;
mod record;
mod responses;
mod scan;
mod scopes;
mod spent;
mod sums;
mod ungoverned;

use aws_sdk_dynamodb::Client;

pub use decided::{Decided, MARKED_DAYS, NoInstant};
pub use error::HistoryError;
pub use record::{Recorded, Report};
pub use responses::{CLAIMED, Remembered};
pub use scan::AllDays;
pub use spent::Day;
pub use sums::{Sums, attribute};
pub use ungoverned::{Tokens, Ungoverned};

/// Partition key of the table: a scope, or the marker of a decision.
pub const SCOPE: &str = "scope";
/// Sort key of the table: a UTC day such as `2026-11-21`.
pub const DAY: &str = "day";
/// Attribute with the second since 1970 after which DynamoDB may delete the item.
pub const EXPIRES_AT: &str = "expiresAt";
/// Days for which a day of a scope is kept by default.
const KEPT_DAYS: u16 = 400;

/// The usage history: a table with one item per scope and day.
#[derive(Clone, Debug)]
pub struct History {
    client: Client,
    table: String,
    kept_days: u16,
}

impl History {
    /// The history in `table`. Its days are kept for 400 days.
    #[must_use]
    pub const fn new(client: Client, table: String) -> Self {
        Self { client, table, kept_days: KEPT_DAYS }
    }

    /// The same history, but its days are kept for `days` days.
    #[must_use]
    pub fn keeping(self, days: u16) -> Self {
        Self { kept_days: days, ..self }
    }
}
