//! The two tables: single changes, changes that happen together, and snapshots.

use std::collections::BTreeMap;
use std::error::Error;
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, SdkError};
use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, Get, ReturnValue, TransactGetItem, TransactWriteItem,
};
use chrono::{DateTime, Utc};
use sentry_contract::states::ScopeLimit;
use thiserror::Error as ThisError;

use crate::change::Change;
use crate::expression::{self, Expression};
use crate::figures::Figures;
use crate::item::Item;
use crate::key::Key;

/// Key of the requests table, and when DynamoDB may delete a request.
const REQUEST_ID: &str = "requestId";
const OWNER: &str = "owner";
const EXPIRES_AT: &str = "expiresAt";
/// How long a request is remembered, in seconds: twice the 24 hours that are promised.
const REMEMBERED_SECONDS: i64 = 48 * 3_600;
/// How often something that lost a race is tried again before the ledger counts as unavailable.
pub const ROUNDS: u32 = 16;

/// Why the ledger could not do what it was asked.
#[derive(Debug, ThisError)]
pub enum LedgerError {
    /// DynamoDB did not answer, or not as it should.
    #[error("the ledger cannot be reached")]
    Unavailable(#[source] Box<dyn Error + Send + Sync>),
    /// Every attempt lost against other requests.
    #[error("the ledger is contended: {ROUNDS} attempts lost against other requests")]
    Contended,
    /// An item holds something that the ledger does not write.
    #[error("the ledger's item {scope} {window} cannot be understood: {attribute}")]
    Damaged {
        /// Partition key.
        scope: String,
        /// Sort key.
        window: String,
        /// The attribute.
        attribute: String,
    },
}

/// How a change ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// It happened.
    Done,
    /// A condition does not hold.
    Refused,
    /// Another transaction was under way.
    Conflict,
}

/// What the note of a request found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// Nothing, or nothing that still counts: the request is this execution's now.
    First,
    /// This execution's own note, from before something went wrong.
    Again,
    /// Another execution's.
    Other,
}

/// A scope's window with all its items, at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ScopeItems {
    /// The scope's own item.
    pub own: Item,
    /// Its shards.
    pub shards: BTreeMap<u8, Item>,
}

impl ScopeItems {
    /// The sums.
    #[must_use]
    pub fn figures(&self) -> Figures {
        Figures::of(&self.own, self.shards.values())
    }

    /// Every item with the shard that it is.
    pub fn iter(&self) -> impl Iterator<Item = (Option<u8>, &Item)> {
        std::iter::once((None, &self.own)).chain(self.shards.iter().map(|(shard, item)| (Some(*shard), item)))
    }
}

/// The budget ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    client: Client,
    table: String,
    requests: String,
}

impl Ledger {
    /// The ledger in the tables `table` and `requests`.
    #[must_use]
    pub fn new(client: Client, table: String, requests: String) -> Self {
        Self { client, table, requests }
    }

    /// Notes that `owner` works on the request, unless another execution was first.
    pub(crate) async fn register(&self, id: &str, owner: &str, now: DateTime<Utc>) -> Result<Registered, LedgerError> {
        let seconds = now.timestamp();
        let text = |text: &str| AttributeValue::S(text.to_owned());
        let put = self
            .client
            .put_item()
            .table_name(&self.requests)
            .item(REQUEST_ID, text(id))
            .item(OWNER, text(owner))
            .item(EXPIRES_AT, AttributeValue::N((seconds + REMEMBERED_SECONDS).to_string()))
            .condition_expression("attribute_not_exists(#id) OR #owner = :owner OR #expires <= :now")
            .expression_attribute_names("#id", REQUEST_ID)
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_values(":owner", text(owner))
            .expression_attribute_values(":now", AttributeValue::N(seconds.to_string()))
            .return_values(ReturnValue::AllOld);
        match put.send().await {
            Ok(answer) => {
                let known = answer.attributes().and_then(|old| old.get(OWNER)?.as_s().ok());
                Ok(if known.is_some_and(|known| known == owner) { Registered::Again } else { Registered::First })
            }
            Err(error) if is(&error, PutItemError::is_conditional_check_failed_exception) => Ok(Registered::Other),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Forgets the request, so that its id may be used again: nothing was spent on it.
    pub(crate) async fn forget(&self, id: &str, owner: &str) -> Result<(), LedgerError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.requests)
            .key(REQUEST_ID, AttributeValue::S(id.to_owned()))
            .condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_values(":owner", AttributeValue::S(owner.to_owned()));
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, DeleteItemError::is_conditional_check_failed_exception) => Ok(()),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Makes one change. The item as it is afterwards, or `None` when the condition does not hold.
    ///
    /// # Errors
    /// When the ledger cannot be reached, or is contended.
    pub async fn change(&self, key: &Key, change: &Change) -> Result<Option<Item>, LedgerError> {
        for round in 0..ROUNDS {
            let call = Expression::of(change).call(self.client.update_item(), &self.table, key);
            match call.return_values(ReturnValue::AllNew).send().await {
                Ok(answer) => {
                    return read(key, answer.attributes().unwrap_or(&expression::Attributes::new())).map(Some);
                }
                Err(error) if is(&error, UpdateItemError::is_conditional_check_failed_exception) => return Ok(None),
                Err(error) if is(&error, passes) => pause(round).await,
                Err(error) => return Err(unavailable(error)),
            }
        }
        Err(LedgerError::Contended)
    }

    /// Makes all changes or none.
    pub(crate) async fn change_all(&self, changes: &[(Key, Change)]) -> Result<Written, LedgerError> {
        if let [(key, change)] = changes {
            return Ok(if self.change(key, change).await?.is_some() { Written::Done } else { Written::Refused });
        }
        let actions = changes.iter().map(|(key, change)| Expression::of(change).action(&self.table, key));
        self.transact(actions.collect::<Result<_, _>>().map_err(unavailable)?).await
    }

    async fn transact(&self, actions: Vec<TransactWriteItem>) -> Result<Written, LedgerError> {
        let Err(error) = self.client.transact_write_items().set_transact_items(Some(actions)).send().await else {
            return Ok(Written::Done);
        };
        match error.as_service_error() {
            Some(TransactWriteItemsError::TransactionCanceledException(canceled)) => {
                written(canceled.cancellation_reasons()).ok_or_else(|| unavailable(error))
            }
            Some(TransactWriteItemsError::TransactionInProgressException(_)) => Ok(Written::Conflict),
            _ => Err(unavailable(error)),
        }
    }

    /// The items of all limits at one moment.
    pub(crate) async fn snapshot(&self, limits: &[ScopeLimit]) -> Result<Vec<ScopeItems>, LedgerError> {
        let mut wanted: Vec<Vec<u8>> = limits.iter().map(|limit| shards_of(limit).collect()).collect();
        loop {
            let mut items = self.read_at_once(&keys(limits, &wanted)).await?.into_iter();
            let mut scopes = Vec::with_capacity(limits.len());
            let mut complete = true;
            for shards in &mut wanted {
                let own = items.next().unwrap_or_default();
                let found = shards.iter().copied().zip(items.by_ref()).collect();
                // A limit that once had more shards: these may still have a lease.
                let forgotten: Vec<u8> = own.shards.iter().copied().filter(|shard| !shards.contains(shard)).collect();
                complete &= forgotten.is_empty();
                shards.extend(forgotten);
                scopes.push(ScopeItems { own, shards: found });
            }
            if complete {
                return Ok(scopes);
            }
        }
    }

    async fn read_at_once(&self, keys: &[Key]) -> Result<Vec<Item>, LedgerError> {
        if let [key] = keys {
            return Ok(vec![self.read_one(key).await?]);
        }
        let gets = keys.iter().map(|key| {
            let get = Get::builder().table_name(&self.table).set_key(Some(key.attributes())).build()?;
            Ok(TransactGetItem::builder().get(get).build())
        });
        let gets: Vec<TransactGetItem> = gets.collect::<Result<_, BuildError>>().map_err(unavailable)?;
        for round in 0..ROUNDS {
            let answer = self.client.transact_get_items().set_transact_items(Some(gets.clone())).send().await;
            match answer {
                Ok(answer) => {
                    let empty = expression::Attributes::new();
                    let found = answer.responses.unwrap_or_default();
                    let items = found.iter().map(|found| found.item().unwrap_or(&empty));
                    return keys.iter().zip(items).map(|(key, item)| read(key, item)).collect();
                }
                Err(error) => match error.as_service_error() {
                    Some(TransactGetItemsError::TransactionCanceledException(canceled))
                        if written(canceled.cancellation_reasons()) == Some(Written::Conflict) =>
                    {
                        pause(round).await;
                    }
                    _ => return Err(unavailable(error)),
                },
            }
        }
        Err(LedgerError::Contended)
    }

    /// One item as it is now.
    ///
    /// # Errors
    /// When the ledger cannot be reached, or the item cannot be understood.
    pub async fn read_one(&self, key: &Key) -> Result<Item, LedgerError> {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(key.attributes())).consistent_read(true);
        let answer = get.send().await.map_err(unavailable)?;
        read(key, answer.item().unwrap_or(&expression::Attributes::new()))
    }

    /// Every item of the table, page by page; `start` is where the page before ended.
    pub(crate) async fn page(&self, start: Option<expression::Attributes>) -> Result<Page, LedgerError> {
        let scan = self.client.scan().table_name(&self.table).consistent_read(true).set_exclusive_start_key(start);
        let answer = scan.send().await.map_err(unavailable)?;
        let next = answer.last_evaluated_key().filter(|key| !key.is_empty()).cloned();
        let items = answer.items().iter().filter_map(|attributes| {
            let key = Key::from_attributes(attributes)?;
            Some(read(&key, attributes).map(|item| (key, item)))
        });
        Ok(Page { items: items.collect(), next })
    }
}

/// A page of the ledger.
#[derive(Debug)]
pub(crate) struct Page {
    /// The items; one that cannot be understood does not hide the others.
    pub items: Vec<Result<(Key, Item), LedgerError>>,
    /// Where the next page starts, if there is one.
    pub next: Option<expression::Attributes>,
}

/// The shards that a limit is spread over; one that is not spread has none.
pub(crate) fn shards_of(limit: &ScopeLimit) -> std::ops::Range<u8> {
    if limit.shards > 1 { 0..limit.shards } else { 0..0 }
}

/// Each limit's own item, then its shards.
fn keys(limits: &[ScopeLimit], shards: &[Vec<u8>]) -> Vec<Key> {
    let of = |(limit, shards): (&ScopeLimit, &Vec<u8>)| {
        let own = std::iter::once(Key::of(limit, None));
        own.chain(shards.iter().map(|shard| Key::of(limit, Some(*shard)))).collect::<Vec<_>>()
    };
    limits.iter().zip(shards).flat_map(of).collect()
}

fn read(key: &Key, attributes: &expression::Attributes) -> Result<Item, LedgerError> {
    expression::read(attributes).map_err(|attribute| LedgerError::Damaged {
        scope: key.scope.clone(),
        window: key.window.clone(),
        attribute,
    })
}

/// What the reasons of a cancelled transaction come to; `None` when it is neither a condition nor a conflict.
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

/// The longest that a round waits before the next one, in milliseconds.
#[must_use]
pub fn longest_pause_ms(round: u32) -> u64 {
    10 << round.min(5)
}

/// Waits a random time, on average longer in each round: 5 ms at first, 160 ms in the end, less than two seconds in all rounds.
pub(crate) async fn pause(round: u32) {
    tokio::time::sleep(Duration::from_millis(fastrand::u64(0..=longest_pause_ms(round)))).await;
}

/// Another transaction is under way, or the item is written to faster than DynamoDB takes it.
fn passes(error: &UpdateItemError) -> bool {
    error.is_transaction_conflict_exception()
        || error.is_provisioned_throughput_exceeded_exception()
        || error.is_throttling_exception()
}

/// Whether DynamoDB answered with the error that `which` names.
fn is<E, R>(error: &SdkError<E, R>, which: fn(&E) -> bool) -> bool {
    error.as_service_error().is_some_and(which)
}

fn unavailable(error: impl Error + Send + Sync + 'static) -> LedgerError {
    LedgerError::Unavailable(Box::new(error))
}
