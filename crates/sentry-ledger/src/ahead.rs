//! Items of the ledger that were read before it was known which request they are for.

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::error::BuildError;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use sentry_domain::Reservation;

use crate::attributes;
use crate::item::Item;
use crate::key::Key;

/// The own items of scopes, read together with something else. A reservation chooses its shards by them. Its hold is
/// still a conditional write, so an item that has changed since is harmless.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScopesAhead(HashMap<Key, Option<Item>>);

impl ScopesAhead {
    /// The keys of the items that another request with the scopes of `reservation` needs.
    #[must_use]
    pub fn keys_of(reservation: &Reservation) -> BTreeSet<Key> {
        reservation.scopes.iter().map(|scope| Key::of(&scope.limit, None)).collect()
    }

    /// The part of a `BatchGetItem` that reads the items under `keys`, with eventual consistency.
    ///
    /// # Errors
    /// If the SDK cannot build it.
    pub fn wanted(keys: &BTreeSet<Key>) -> Result<KeysAndAttributes, BuildError> {
        KeysAndAttributes::builder().set_keys(Some(keys.iter().map(attributes::key).collect())).build()
    }

    /// The `found` items of all that exist under the keys `asked`. An item that is not understood counts as not asked
    /// for, so the reservation reads it again and reports it.
    #[must_use]
    pub fn new(asked: BTreeSet<Key>, found: &[HashMap<String, AttributeValue>]) -> Self {
        let mut items: HashMap<Key, Option<Item>> = asked.into_iter().map(|key| (key, None)).collect();
        for found in found {
            let Some(key) = attributes::read_key(found) else { continue };
            match attributes::read(found) {
                Ok(item) => items.insert(key, Some(item)),
                Err(_) => items.remove(&key),
            };
        }
        Self(items)
    }

    /// The items under `keys`. Items that do not exist are left out. `None` if a key was not asked for.
    pub(crate) fn all(&self, keys: &[Key]) -> Option<HashMap<Key, Item>> {
        let found = keys.iter().map(|key| Some((key.clone(), self.0.get(key)?.clone())));
        let found: Option<Vec<(Key, Option<Item>)>> = found.collect();
        Some(found?.into_iter().filter_map(|(key, item)| Some((key, item?))).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(scope: &str) -> Key {
        Key { scope: scope.into(), window: "2026-11".into() }
    }

    fn found(scope: &str, holds: &str) -> HashMap<String, AttributeValue> {
        let mut found = attributes::key(&key(scope));
        found.insert(attributes::HELD.requests.to_owned(), AttributeValue::N(holds.to_owned()));
        found
    }

    #[test]
    fn items_serve_a_reservation_only_if_all_that_it_needs_were_asked_for_and_understood() {
        let asked = ["a", "absent", "damaged"].map(key).into();
        let ahead = ScopesAhead::new(asked, &[found("a", "2"), found("damaged", "two")]);
        let all = ahead.all(&[key("a"), key("absent")]).unwrap();
        assert_eq!(all.keys().collect::<Vec<_>>(), [&key("a")]);
        assert_eq!(all[&key("a")].held.requests, 2);
        assert_eq!(ahead.all(&[key("a"), key("other")]), None);
        assert_eq!(ahead.all(&[key("damaged")]), None);
    }

    #[test]
    fn items_are_read_with_eventual_consistency() {
        let wanted = ScopesAhead::wanted(&BTreeSet::from([key("a")])).unwrap();
        assert_eq!((wanted.keys(), wanted.consistent_read()), (&[attributes::key(&key("a"))][..], None));
    }
}
