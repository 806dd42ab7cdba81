//! Access to the two tables: single changes, transactions, and consistent reads of several items.

use std::collections::{BTreeSet, HashMap};
use std::error::Error;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, CancellationReason, KeysAndAttributes, ReturnValue, TransactWriteItem};
use futures_util::future::join_all;
use sentry_domain::Amount;
use sentry_history::History;
use thiserror::Error as ThisError;

use crate::admission::Budget;
use crate::attributes::{self, Attributes, DamagedAttribute};
use crate::change::Change;
use crate::expression::Expression;
use crate::item::Item;
use crate::key::Key;
use crate::lease::{self, Place};
use crate::scope_items::ScopeItems;
use crate::spread;

/// The most items that DynamoDB returns at once.
///
/// Source: Amazon DynamoDB API Reference, "`BatchGetItem`".
const PAGE: usize = 100;
/// The index of the ledger table with the items that hold something, sorted by the time at which the sweep must look
/// at them.
const SWEEP_INDEX: &str = "SweepIndex";
/// The number of attempts for the first leases of new shards. A shard without a lease gets one when a request needs
/// it.
const ROUNDS_OF_OPENING: u32 = 6;
/// The number of attempts for an operation that loses races, before it fails with [`LedgerError::Contended`].
pub const ROUNDS: u32 = 16;

/// An error of an operation of the budget ledger.
#[derive(Debug, ThisError)]
pub enum LedgerError {
    /// DynamoDB did not answer, or answered with an unexpected error.
    #[error("the ledger cannot be reached")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Every attempt lost a race against other requests.
    #[error("the ledger is contended: {ROUNDS} attempts lost against other requests")]
    Contended,
    /// The reservation was given up while it was being made, so nobody would settle it.
    #[error("the reservation was given up while it was being made")]
    GivenUp,
    /// An attribute of an item has a value that the ledger does not write.
    #[error("the ledger's item {scope} {window} cannot be understood")]
    Damaged {
        /// Partition key of the item.
        scope: String,
        /// Sort key of the item.
        window: String,
        /// The attribute whose value cannot be read.
        source: DamagedAttribute,
    },
}

/// The result of a change, or of several changes in one transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Written {
    /// It happened. The item after the change, if it was a single change and not a transaction.
    Done(Vec<Item>),
    /// A condition does not hold.
    Refused,
    /// Another transaction was under way, or DynamoDB throttled the write.
    Conflict,
    /// It may have happened, or may still happen, because DynamoDB's answer is missing.
    Unknown,
}

/// The budget ledger. It reads and writes two DynamoDB tables.
#[derive(Clone, Debug)]
pub struct Ledger {
    pub(crate) client: Client,
    pub(crate) table: String,
    pub(crate) requests: String,
    pub(crate) history: Option<History>,
}

impl Ledger {
    /// A ledger in the tables `table` and `requests`, without a usage history.
    #[must_use]
    pub fn new(client: Client, table: String, requests: String) -> Self {
        Self { client, table, requests, history: None }
    }

    /// Makes one change. Returns the item afterwards, or `None` if the condition does not hold.
    ///
    /// # Errors
    /// If the ledger cannot be reached, or is contended.
    pub async fn change(&self, key: &Key, change: &Change) -> Result<Option<Item>, LedgerError> {
        for round in 0..ROUNDS {
            let call = Expression::of(change).call(self.client.update_item(), &self.table, key);
            match call.return_values(ReturnValue::AllNew).send().await {
                Ok(answer) => {
                    return read(key, answer.attributes().unwrap_or(&Attributes::new())).map(Some);
                }
                Err(error) if is(&error, UpdateItemError::is_conditional_check_failed_exception) => return Ok(None),
                Err(error) if is(&error, passes) => pause(round).await,
                Err(error) => return Err(unavailable(error)),
            }
        }
        Err(LedgerError::Contended)
    }

    /// Makes all changes or none. It does not say which, because the caller reads the items again.
    pub(crate) async fn change_all(&self, changes: &[(Key, Change)]) -> Result<(), LedgerError> {
        if let [(key, change)] = changes {
            self.change(key, change).await?;
        } else {
            self.transact(changes, Config::builder()).await?;
        }
        Ok(())
    }

    /// Makes all changes or none, in one attempt. If the SDK retried, it could take the effect of its own first write
    /// for a failed condition.
    pub(crate) async fn take_all(&self, changes: &[(Key, Change)]) -> Result<Written, LedgerError> {
        let once = Config::builder().retry_config(RetryConfig::disabled());
        let [(key, change)] = changes else { return self.transact(changes, once).await };
        let call = Expression::of(change).call(self.client.update_item(), &self.table, key);
        match call.return_values(ReturnValue::AllNew).customize().config_override(once).send().await {
            Ok(answer) => {
                let item = read(key, answer.attributes().unwrap_or(&Attributes::new()))?;
                Ok(Written::Done(vec![item]))
            }
            Err(error) if is(&error, UpdateItemError::is_conditional_check_failed_exception) => Ok(Written::Refused),
            Err(error) if is(&error, passes) => Ok(Written::Conflict),
            Err(error) if is_unknown(&error) => Ok(Written::Unknown),
            Err(error) => Err(unavailable(error)),
        }
    }

    async fn transact(
        &self,
        changes: &[(Key, Change)],
        settings: aws_sdk_dynamodb::config::Builder,
    ) -> Result<Written, LedgerError> {
        let actions = changes.iter().map(|(key, change)| Expression::of(change).action(&self.table, key));
        let actions: Vec<TransactWriteItem> = actions.collect::<Result<_, _>>().map_err(unavailable)?;
        let call = self.client.transact_write_items().set_transact_items(Some(actions));
        let Err(error) = call.customize().config_override(settings).send().await else {
            return Ok(Written::Done(Vec::new()));
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                written(canceled.cancellation_reasons()).ok_or_else(|| unavailable(error))
            }
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => Ok(Written::Conflict),
            Some(other) if passes_together(other) => Ok(Written::Conflict),
            _ if is_unknown(&error) => Ok(Written::Unknown),
            _ => Err(unavailable(error)),
        }
    }

    /// Reads the scopes' own items first, and then the shards that an execution's `spot` can select. It reads all
    /// shards of a place with `all`. If all shards of a scope are known, none of its leases changed between the first
    /// and the last read.
    ///
    /// # Errors
    /// If the ledger cannot be reached, or leases change all the time.
    pub(crate) async fn look(&self, places: &[Place<'_>], spot: u16) -> Result<Vec<ScopeItems>, LedgerError> {
        let own_keys: Vec<Key> = places.iter().map(Place::own_key).collect();
        for round in 0..ROUNDS {
            let mut found = self.read_all(&own_keys, true).await?;
            let mut scopes: Vec<ScopeItems> = Vec::with_capacity(places.len());
            let mut shard_keys = Vec::new();
            for (place, key) in places.iter().zip(&own_keys) {
                let own = found.remove(key).unwrap_or_default();
                let wanted = wanted(place, &own, spot);
                shard_keys.extend(wanted.iter().map(|shard| key.shard(*shard)));
                let shards = wanted.into_iter().map(|shard| (shard, Item::default())).collect();
                scopes.push(ScopeItems { own, shards });
            }
            let mut found = self.read_all(&shard_keys, true).await?;
            for (items, key) in scopes.iter_mut().zip(&own_keys) {
                for (number, item) in &mut items.shards {
                    *item = found.remove(&key.shard(*number)).unwrap_or_default();
                }
            }
            if self.is_unchanged(&own_keys, &scopes).await? {
                return Ok(scopes);
            }
            pause(round).await;
        }
        Err(LedgerError::Contended)
    }

    /// `true` if no lease has changed since the read, in the scopes whose shards are all known.
    async fn is_unchanged(&self, own_keys: &[Key], scopes: &[ScopeItems]) -> Result<bool, LedgerError> {
        let is_known = |items: &ScopeItems| !items.own.shards.is_empty() && items.is_complete();
        let known: Vec<(&Key, &ScopeItems)> =
            own_keys.iter().zip(scopes).filter(|(_, items)| is_known(items)).collect();
        let keys: Vec<Key> = known.iter().map(|(key, _)| (*key).clone()).collect();
        let now = self.read_all(&keys, true).await?;
        Ok(known.iter().all(|(key, items)| now.get(*key).is_some_and(|own| own.leases == items.own.leases)))
    }

    /// Reads items with eventual consistency. Items that do not exist are left out.
    pub(crate) async fn glance(&self, keys: &[Key]) -> Result<HashMap<Key, Item>, LedgerError> {
        self.read_all(keys, false).await
    }

    /// Reads items, in pages of at most [`PAGE`]. Items that do not exist are left out.
    pub(crate) async fn read_all(&self, keys: &[Key], consistent: bool) -> Result<HashMap<Key, Item>, LedgerError> {
        let pages = join_all(keys.chunks(PAGE).map(|page| self.read_page(page, consistent))).await;
        let mut items = HashMap::with_capacity(keys.len());
        for page in pages {
            items.extend(page?);
        }
        Ok(items)
    }

    async fn read_page(&self, keys: &[Key], consistent: bool) -> Result<Vec<(Key, Item)>, LedgerError> {
        if let [key] = keys {
            let get = self.client.get_item().table_name(&self.table).set_key(Some(attributes::key(key)));
            let answer = get.consistent_read(consistent).send().await.map_err(unavailable)?;
            return answer.item().map(|item| Ok((key.clone(), read(key, item)?))).into_iter().collect();
        }
        let mut items = Vec::with_capacity(keys.len());
        let mut left: Vec<Attributes> = keys.iter().map(attributes::key).collect();
        for round in 0..ROUNDS {
            let wanted = KeysAndAttributes::builder().set_keys(Some(left)).consistent_read(consistent).build();
            let wanted = wanted.map_err(unavailable)?;
            let answer = self.client.batch_get_item().request_items(&self.table, wanted).send().await;
            let answer = answer.map_err(unavailable)?;
            for attributes in answer.responses.unwrap_or_default().remove(&self.table).unwrap_or_default() {
                let Some(key) = attributes::read_key(&attributes) else { continue };
                let item = read(&key, &attributes)?;
                items.push((key, item));
            }
            left = answer
                .unprocessed_keys
                .unwrap_or_default()
                .remove(&self.table)
                .map(|left| left.keys)
                .unwrap_or_default();
            if left.is_empty() {
                return Ok(items);
            }
            pause(round).await;
        }
        Err(LedgerError::Contended)
    }

    /// Reads one item with strong consistency. An item that does not exist is empty.
    ///
    /// # Errors
    /// If the ledger cannot be reached, or the item cannot be understood.
    pub async fn read_one(&self, key: &Key) -> Result<Item, LedgerError> {
        let mut found = self.read_all(std::slice::from_ref(key), true).await?;
        Ok(found.remove(key).unwrap_or_default())
    }

    /// Reads two items with strong consistency. An item that does not exist is empty.
    pub(crate) async fn read_both(&self, one: &Key, other: &Key) -> Result<[Item; 2], LedgerError> {
        let mut found = self.read_all(&[one.clone(), other.clone()], true).await?;
        Ok([one, other].map(|key| found.remove(key).unwrap_or_default()))
    }

    /// The keys of the items that the sweep must look at by `now_ms`, longest due first. The `bool` is `true` if there
    /// are more. They are read from an index that has no other items.
    pub(crate) async fn due(&self, now_ms: i64) -> Result<(Vec<Key>, bool), LedgerError> {
        let query = self
            .client
            .query()
            .table_name(&self.table)
            .index_name(SWEEP_INDEX)
            .key_condition_expression("#sweep = :due AND #at <= :now")
            .expression_attribute_names("#sweep", attributes::SWEEP)
            .expression_attribute_names("#at", attributes::SWEEP_AT)
            .expression_attribute_values(":due", AttributeValue::S(attributes::DUE.to_owned()))
            .expression_attribute_values(":now", AttributeValue::N(now_ms.to_string()));
        let answer = query.send().await.map_err(unavailable)?;
        let keys = answer.items().iter().filter_map(attributes::read_key).collect();
        Ok((keys, answer.last_evaluated_key().is_some_and(|key| !key.is_empty())))
    }

    /// Spreads a scope over more shards if `shard` has too many holds and was leased under the current number of
    /// shards. Errors are ignored, because a later request does it then.
    pub(crate) async fn grow_from(&self, budget: Budget<'_>, own: &Item, shard: &Item, hold: &Amount, now_ms: i64) {
        let is_current = own.spread == shard.spread;
        if is_current && let Some(grown) = spread::grown(budget.limit, own.spread, shard.holds.len(), now_ms) {
            let _ = self.spread(budget, &grown, hold, now_ms).await;
        }
    }

    /// Spreads a scope over more shards and leases them. Returns the own item afterwards, or `None` if another request
    /// was first.
    pub(crate) async fn spread(
        &self,
        budget: Budget<'_>,
        grown: &Change,
        hold: &Amount,
        now_ms: i64,
    ) -> Result<Option<Item>, LedgerError> {
        let Some(mut own) = self.change(&Key::of(budget.limit, None), grown).await? else { return Ok(None) };
        for together in lease::opened(budget, &own, hold, now_ms) {
            for round in 0..ROUNDS_OF_OPENING {
                if self.transact(&together, Config::builder()).await? != Written::Conflict {
                    break;
                }
                pause(round).await;
            }
            if let Some((_, change)) = together.first() {
                own = change.apply(&own).unwrap_or(own);
            }
        }
        Ok(Some(own))
    }
}

/// The shards of a place's scope that must be read.
fn wanted(place: &Place<'_>, own: &Item, spot: u16) -> BTreeSet<u16> {
    let spread = spread::spread(place.budget.limit, own.spread);
    let is_mine = |shard: &u16| spread > 1 && *shard < spread || own.shards.contains_key(shard);
    let mut wanted: BTreeSet<u16> = spread::candidates(spot).filter(is_mine).collect();
    if place.all {
        wanted.extend(own.shards.keys());
    }
    wanted
}

fn read(key: &Key, attributes: &Attributes) -> Result<Item, LedgerError> {
    attributes::read(attributes).map_err(|source| LedgerError::Damaged {
        scope: key.scope.clone(),
        window: key.window.clone(),
        source,
    })
}

/// The result that the reasons of a canceled transaction stand for. `None` if the cause is neither a condition nor a
/// conflict.
fn written(reasons: &[CancellationReason]) -> Option<Written> {
    let codes: Vec<&str> = reasons.iter().filter_map(CancellationReason::code).filter(|code| *code != "None").collect();
    let passing = ["TransactionConflict", "ThrottlingError", "ProvisionedThroughputExceeded"];
    if codes.contains(&"ConditionalCheckFailed") {
        Some(Written::Refused)
    } else if !codes.is_empty() && codes.iter().all(|code| passing.contains(code)) {
        Some(Written::Conflict)
    } else {
        None
    }
}

/// The longest pause after the round `round`, in milliseconds.
#[must_use]
pub fn longest_pause_ms(round: u32) -> u64 {
    10 << round.min(5)
}

/// Waits for a random time. The mean is 5 ms in the first round and 160 ms in the last. All [`ROUNDS`] rounds together
/// wait for less than two seconds on average.
pub(crate) async fn pause(round: u32) {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=longest_pause_ms(round)))).await;
}

/// `true` if another transaction is under way, or DynamoDB throttles the writes to the item.
pub(crate) fn passes(error: &UpdateItemError) -> bool {
    error.is_transaction_conflict_exception()
        || error.is_provisioned_throughput_exceeded_exception()
        || error.is_throttling_exception()
        || error.is_request_limit_exceeded()
}

/// `true` if DynamoDB throttles a whole transaction.
fn passes_together(error: &TransactWriteItemsError) -> bool {
    error.is_provisioned_throughput_exceeded_exception()
        || error.is_throttling_exception()
        || error.is_request_limit_exceeded()
}

/// `true` if a write may have happened although no answer confirms it.
fn is_unknown<E: ProvideErrorMetadata, R>(error: &SdkError<E, R>) -> bool {
    match error {
        SdkError::TimeoutError(_) | SdkError::DispatchFailure(_) | SdkError::ResponseError(_) => true,
        SdkError::ServiceError(service) => service.err().code() == Some("InternalServerError"),
        _ => false,
    }
}

/// `true` if DynamoDB answered with the error that `which` tests for.
pub(crate) fn is<E, R>(error: &SdkError<E, R>, which: fn(&E) -> bool) -> bool {
    error.as_service_error().is_some_and(which)
}

pub(crate) fn unavailable(error: impl Error + Send + Sync + 'static) -> LedgerError {
    LedgerError::Unavailable(Box::new(error))
}
