//! Keys of the ledger table.

use chrono::Duration;
use sentry_domain::ScopeLimit;

/// Separates a scope's name from the number of a shard. No scope's name contains it: no value is empty, and a `#` in a
/// value is written as `%23`.
const SHARD: &str = "##";
/// Days that a scope's item is kept after its window, for later inspection and for holds that reach into the next
/// window.
const KEPT_DAYS: i64 = 8;

/// The key of an item in the ledger table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Partition key: the name of the scope. For a shard, its number follows.
    pub scope: String,
    /// Sort key: the key of the window.
    pub window: String,
}

impl Key {
    /// The key of the scope's own item, or of its shard `shard`.
    #[must_use]
    pub fn of(limit: &ScopeLimit, shard: Option<u16>) -> Self {
        let own = Self { scope: limit.scope.clone(), window: limit.window.key.clone() };
        match shard {
            None => own,
            Some(shard) => own.shard(shard),
        }
    }

    /// The key of the shard `number`. This key must be that of the scope's own item.
    #[must_use]
    pub fn shard(&self, number: u16) -> Self {
        Self { scope: format!("{}{SHARD}{number}", self.scope), window: self.window.clone() }
    }

    /// The key of the scope's own item. If this key is that of a shard, it is the own item of the shard's scope.
    #[must_use]
    pub fn own(&self) -> Self {
        self.of_shard().map_or_else(|| self.clone(), |(own, _)| own)
    }

    /// The key of the scope's own item, and the number of the shard. `None` if this key is not that of a shard.
    #[must_use]
    pub fn of_shard(&self) -> Option<(Self, u16)> {
        let (scope, number) = self.scope.split_once(SHARD)?;
        Some((Self { scope: scope.to_owned(), window: self.window.clone() }, number.parse().ok()?))
    }
}

/// Seconds since 1970 after which DynamoDB may delete an item of the limit's window. `None` for a window that never
/// ends.
#[must_use]
pub fn delete_after(limit: &ScopeLimit) -> Option<i64> {
    limit.window.resets_at.map(|end| (end + Duration::days(KEPT_DAYS)).timestamp())
}
