//! Items of the limits table that were read before it was known which request they are for.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};

use crate::item::{Item, KEY};

/// Items that were read together with something else. Use them for one request only, because administrators edit limits
/// at any time.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ItemsAhead {
    asked: BTreeSet<String>,
    items: HashMap<String, Item>,
}

impl ItemsAhead {
    /// The part of a `BatchGetItem` that reads the items under `keys`, with strong consistency.
    ///
    /// # Errors
    /// If the SDK cannot build it.
    pub fn wanted(keys: &BTreeSet<String>) -> Result<KeysAndAttributes, BuildError> {
        wanted(keys.iter())
    }

    /// The `found` items of all that exist under the keys `asked`.
    #[must_use]
    pub fn new(asked: BTreeSet<String>, found: Vec<Item>) -> Self {
        Self { asked, items: by_key(found) }
    }

    /// `true` if the item under `key` was asked for, also if it does not exist.
    pub(crate) fn has_read(&self, key: &str) -> bool {
        self.asked.contains(key)
    }

    pub(crate) const fn items(&self) -> &HashMap<String, Item> {
        &self.items
    }
}

pub(crate) fn wanted<'k>(keys: impl Iterator<Item = &'k String>) -> Result<KeysAndAttributes, BuildError> {
    let keys: BTreeSet<&String> = keys.collect();
    let keys = keys.into_iter().map(|key| Item::from([(KEY.to_owned(), AttributeValue::S(key.clone()))]));
    KeysAndAttributes::builder().set_keys(Some(keys.collect())).consistent_read(true).build()
}

pub(crate) fn by_key(items: Vec<Item>) -> HashMap<String, Item> {
    items.into_iter().filter_map(|item| Some((item.get(KEY)?.as_s().ok()?.clone(), item))).collect()
}
