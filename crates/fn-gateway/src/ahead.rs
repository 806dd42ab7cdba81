//! Reads a key, and the limits and budgets of its next request, in one call.
//!
//! The limits of a request are known only after its key and its body were read, and its budgets after its limits. But most
//! requests of a key have those of the request before. So the same items are read again together with the key. They serve
//! the request if it needs no others. Only their names are kept from one request to the next: each request reads its key
//! and its limits, with strong consistency, and a glance of its budgets.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use fn_lookup_limit::{ItemsAhead, MOST_ITEMS};
use sentry_keys::{KeyHash, KeysTable};
use sentry_ledger::{Key, ScopesAhead};
use tracing::warn;

/// Time after which items that were read ahead are read again, because the body of the request took long.
const FRESH: Duration = Duration::from_millis(100);
/// Maximum number of keys whose limits and budgets are remembered. Beyond it, all are forgotten.
const MOST_KEYS: usize = 1_000;

type Item = HashMap<String, AttributeValue>;

/// Remembers which limits and budgets the last request of each key had.
#[derive(Debug)]
pub struct Ahead {
    client: Client,
    limits_table: String,
    ledger_table: String,
    last: Mutex<HashMap<KeyHash, Names>>,
}

/// The names of the items that a request had.
#[derive(Clone, Debug, Default)]
struct Names {
    limits: BTreeSet<String>,
    scopes: BTreeSet<Key>,
}

/// Limits and budgets that were read together with the key of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct ReadAhead {
    /// Items of the limits table.
    pub limits: ItemsAhead,
    /// Items of the ledger.
    pub scopes: ScopesAhead,
    read_at: Instant,
}

impl ReadAhead {
    /// The items, if they were read just now.
    pub fn fresh(&self) -> Option<&Self> {
        (self.read_at.elapsed() < FRESH).then_some(self)
    }
}

impl Ahead {
    /// Reads limits in the table `limits_table`, and budgets in `ledger_table`, through `client`.
    #[must_use]
    pub fn new(client: Client, limits_table: String, ledger_table: String) -> Self {
        Self { client, limits_table, ledger_table, last: Mutex::default() }
    }

    /// The item of the key with `hash`, if it exists, and the limits and budgets of its last request. `None` if no
    /// request of the key is remembered, or if the call fails. The key must then be read alone.
    pub async fn read(&self, keys: &KeysTable, hash: &KeyHash) -> Option<(Option<Item>, ReadAhead)> {
        let Names { limits, mut scopes } = self.last().get(hash).cloned()?;
        if 1 + limits.len() + scopes.len() > MOST_ITEMS {
            scopes.clear();
        }
        let read_at = Instant::now();
        let call = self.client.batch_get_item();
        let call = call.request_items(keys.name(), KeysTable::wanted(hash).ok()?);
        let mut call = call.request_items(&self.limits_table, ItemsAhead::wanted(&limits).ok()?);
        if !scopes.is_empty() {
            call = call.request_items(&self.ledger_table, ScopesAhead::wanted(&scopes).ok()?);
        }
        let answer = match call.send().await {
            Ok(answer) if answer.unprocessed_keys().is_none_or(HashMap::is_empty) => answer,
            Ok(_) => return None,
            Err(error) => {
                warn!(cause = sentry_lambda::cause(&error), "a key and its limits could not be read in one call");
                return None;
            }
        };
        let mut found = answer.responses.unwrap_or_default();
        let mut of = |table: &str| found.remove(table).unwrap_or_default();
        let key = of(keys.name()).pop();
        let limits = ItemsAhead::new(limits, of(&self.limits_table));
        let scopes = ScopesAhead::new(scopes, &of(&self.ledger_table));
        Some((key, ReadAhead { limits, scopes, read_at }))
    }

    /// Remembers that a request of the key with `hash` had the limits under `limits`.
    pub fn remember_limits(&self, hash: &KeyHash, limits: BTreeSet<String>) {
        let mut last = self.last();
        if last.len() >= MOST_KEYS && !last.contains_key(hash) {
            last.clear();
        }
        last.entry(hash.clone()).or_default().limits = limits;
    }

    /// Remembers that a request of the key with `hash`, whose limits are remembered, had the budgets under `scopes`.
    pub fn remember_scopes(&self, hash: &KeyHash, scopes: BTreeSet<Key>) {
        if let Some(names) = self.last().get_mut(hash) {
            names.scopes = scopes;
        }
    }

    /// Forgets the key with `hash`, because it is not valid any more.
    pub fn forget(&self, hash: &KeyHash) {
        self.last().remove(hash);
    }

    fn last(&self) -> std::sync::MutexGuard<'_, HashMap<KeyHash, Names>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemError, BatchGetItemOutput};
    use aws_sdk_dynamodb::types::KeysAndAttributes;
    use aws_sdk_dynamodb::types::error::ProvisionedThroughputExceededException;
    use aws_smithy_mocks::{Rule, RuleMode, mock};
    use test_support::mock_client;

    use super::*;

    const LIMIT: &str = "default";

    fn text(name: &str, value: &str) -> Item {
        Item::from([(name.to_owned(), AttributeValue::S(value.to_owned()))])
    }

    fn hash() -> KeyHash {
        KeyHash::of("csk")
    }

    fn scopes() -> BTreeSet<Key> {
        BTreeSet::from([Key { scope: "model#m".into(), window: "2026-11".into() }])
    }

    fn budget() -> Item {
        text("scope", "model#m").into_iter().chain(text("window", "2026-11")).collect()
    }

    /// Reads a key whose last request had the limit [`LIMIT`] and the budget [`budget`].
    async fn read(rule: &Rule) -> Option<(Option<Item>, ReadAhead)> {
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[rule]);
        let (keys, ahead) =
            (KeysTable::new(client.clone(), "keys".into()), Ahead::new(client, "limits".into(), "ledger".into()));
        assert_eq!(ahead.read(&keys, &hash()).await, None, "nothing is known of the key");
        ahead.remember_limits(&hash(), BTreeSet::from([LIMIT.to_owned()]));
        ahead.remember_scopes(&hash(), scopes());
        let found = ahead.read(&keys, &hash()).await;
        ahead.forget(&hash());
        assert_eq!(ahead.read(&keys, &hash()).await, None, "the key is forgotten");
        assert_eq!(rule.num_calls(), 1);
        found
    }

    fn output() -> BatchGetItemOutput {
        let answer = BatchGetItemOutput::builder().responses("keys", vec![text("keyHash", &hash().0)]);
        answer.responses("limits", vec![text("modelId", LIMIT)]).responses("ledger", vec![budget()]).build()
    }

    #[tokio::test]
    async fn a_key_and_the_limits_and_budgets_of_its_last_request_are_read_in_one_call() {
        let rule = mock!(Client::batch_get_item)
            .match_requests(|call| {
                let Some(tables) = call.request_items() else { return false };
                let of = |table: &str, key: Item, consistent| {
                    tables[table].keys() == [key] && tables[table].consistent_read() == consistent
                };
                let (key, limit) = (text("keyHash", &hash().0), text("modelId", LIMIT));
                tables.len() == 3
                    && of("keys", key, Some(true))
                    && of("limits", limit, Some(true))
                    && of("ledger", budget(), None)
            })
            .then_output(output);
        let (key, ahead) = read(&rule).await.unwrap();
        assert_eq!(key, Some(text("keyHash", &hash().0)));
        assert_eq!(ahead.limits, ItemsAhead::new(BTreeSet::from([LIMIT.to_owned()]), vec![text("modelId", LIMIT)]));
        assert_eq!(ahead.scopes, ScopesAhead::new(scopes(), &[budget()]));
        assert_eq!(ahead.fresh(), Some(&ahead));
        assert_eq!(ReadAhead { read_at: Instant::now().checked_sub(FRESH).unwrap(), ..ahead }.fresh(), None);
    }

    #[tokio::test]
    async fn after_a_call_that_fails_or_leaves_keys_out_the_key_is_read_alone() {
        let throttled = mock!(Client::batch_get_item).then_error(|| {
            let error = ProvisionedThroughputExceededException::builder().message("slow down").build();
            BatchGetItemError::ProvisionedThroughputExceededException(error)
        });
        assert_eq!(read(&throttled).await, None);
        let incomplete = mock!(Client::batch_get_item).then_output(|| {
            let left = KeysAndAttributes::builder().keys(text("modelId", LIMIT)).build().unwrap();
            let mut output = output();
            output.unprocessed_keys = Some(HashMap::from([("limits".to_owned(), left)]));
            output
        });
        assert_eq!(read(&incomplete).await, None);
    }

    #[tokio::test]
    async fn budgets_that_do_not_fit_in_the_call_are_left_out() {
        let rule = mock!(Client::batch_get_item)
            .match_requests(|call| call.request_items().is_some_and(|tables| !tables.contains_key("ledger")))
            .then_output(output);
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&rule]);
        let keys = KeysTable::new(client.clone(), "keys".into());
        let ahead = Ahead::new(client, "limits".into(), "ledger".into());
        ahead.remember_limits(&hash(), (0..MOST_ITEMS - 1).map(|number| number.to_string()).collect());
        ahead.remember_scopes(&hash(), scopes());
        assert!(ahead.read(&keys, &hash()).await.is_some());
    }

    #[test]
    fn no_more_than_the_maximum_number_of_keys_is_remembered() {
        let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[]);
        let ahead = Ahead::new(client, "limits".into(), "ledger".into());
        for number in 0..=MOST_KEYS {
            ahead.remember_limits(&KeyHash::of(&number.to_string()), BTreeSet::new());
            assert!(ahead.last().len() <= MOST_KEYS);
        }
        assert_eq!(ahead.last().len(), 1);
    }
}
