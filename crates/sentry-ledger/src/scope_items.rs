//! The items of one scope's window.

use std::collections::BTreeMap;

use crate::figures::Figures;
use crate::item::Item;

/// The items of a scope's window: its own item, and shards.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScopeItems {
    /// The scope's own item.
    pub own: Item,
    /// The shards that were read, by their numbers.
    pub shards: BTreeMap<u16, Item>,
}

impl ScopeItems {
    /// The sums over the own item and the shards that were read.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures::of(&self.own, self.shards.values())
    }

    /// `true` if every shard was read that the own item lists. Only these can have holds or a lease.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.own.shards.keys().all(|shard| self.shards.contains_key(shard))
    }

    /// Every item, with the number of its shard. `None` is the own item.
    pub fn iter(&self) -> impl Iterator<Item = (Option<u16>, &Item)> {
        std::iter::once((None, &self.own)).chain(self.shards.iter().map(|(shard, item)| (Some(*shard), item)))
    }
}
