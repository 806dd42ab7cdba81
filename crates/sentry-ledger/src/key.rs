//! Where a scope's window is kept.

use chrono::Duration;
use sentry_contract::states::ScopeLimit;

/// Before the number of a shard. No scope's name has it: no value is empty, and in values `#` is written `%23`.
const SHARD: &str = "##";
/// How long a scope's item is kept after its window, in days: for a look back, and for holds that reach into the next window.
const KEPT_DAYS: i64 = 8;

/// The key of an item of the ledger table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Partition key: the scope, for a shard with its number.
    pub scope: String,
    /// Sort key: the window.
    pub window: String,
}

impl Key {
    /// The scope's own item, or one of its shards.
    #[must_use]
    pub fn of(limit: &ScopeLimit, shard: Option<u16>) -> Self {
        let own = Self { scope: limit.scope.clone(), window: limit.window.key.clone() };
        match shard {
            None => own,
            Some(shard) => own.shard(shard),
        }
    }

    /// The shard `number` of the scope whose own item this is.
    #[must_use]
    pub fn shard(&self, number: u16) -> Self {
        Self { scope: format!("{}{SHARD}{number}", self.scope), window: self.window.clone() }
    }

    /// The key of the scope's own item: of this one, or of the one whose shard it is.
    #[must_use]
    pub fn own(&self) -> Self {
        self.of_shard().map_or_else(|| self.clone(), |(own, _)| own)
    }

    /// The key of the scope's own item and the shard's number, for a shard.
    #[must_use]
    pub fn of_shard(&self) -> Option<(Self, u16)> {
        let (scope, number) = self.scope.split_once(SHARD)?;
        Some((Self { scope: scope.to_owned(), window: self.window.clone() }, number.parse().ok()?))
    }
}

/// When DynamoDB may delete an item of the limit's window, in seconds since 1970; `None` for a window that never ends.
#[must_use]
pub fn delete_after(limit: &ScopeLimit) -> Option<i64> {
    limit.window.resets_at.map(|end| (end + Duration::days(KEPT_DAYS)).timestamp())
}
