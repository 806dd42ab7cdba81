//! Where a scope's window is kept.

use aws_sdk_dynamodb::types::AttributeValue;
use sentry_contract::states::ScopeLimit;

use crate::expression::Attributes;

/// Partition key: the scope, for a shard with its number.
pub const SCOPE: &str = "scope";
/// Sort key: the window.
pub const WINDOW: &str = "window";

/// Before the number of a shard. No scope's name has it: no value is empty, and in values `#` is written `%23`.
const SHARD: &str = "##";

/// The key of an item of the ledger table.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Partition key.
    pub scope: String,
    /// Sort key.
    pub window: String,
}

impl Key {
    /// The scope's own item, or one of its shards.
    #[must_use]
    pub fn of(limit: &ScopeLimit, shard: Option<u8>) -> Self {
        let scope = match shard {
            None => limit.scope.clone(),
            Some(shard) => format!("{}{SHARD}{shard}", limit.scope),
        };
        Self { scope, window: limit.window.key.clone() }
    }

    /// Whether it is a shard's.
    #[must_use]
    pub fn is_shard(&self) -> bool {
        self.scope.contains(SHARD)
    }

    /// The key as DynamoDB takes it.
    #[must_use]
    pub fn attributes(&self) -> Attributes {
        Attributes::from([
            (SCOPE.to_owned(), AttributeValue::S(self.scope.clone())),
            (WINDOW.to_owned(), AttributeValue::S(self.window.clone())),
        ])
    }

    /// The key of an item that was read.
    #[must_use]
    pub fn from_attributes(attributes: &Attributes) -> Option<Self> {
        let text = |name: &str| attributes.get(name)?.as_s().ok().cloned();
        Some(Self { scope: text(SCOPE)?, window: text(WINDOW)? })
    }
}
