//! The ceiling of the values that the dimensions of metrics can have.
//!
//! Each dimension and calendar month (UTC) has an item in the table of the usage history: the list of the values that
//! are kept. One more item has the combinations of the five dimensions, as the places of their values in these lists.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use chrono::{DateTime, Datelike, TimeDelta, Utc};
use sentry_history::{DAY, EXPIRES_AT, SCOPE};
use sentry_lambda::cause;
use tokio::time::Instant;
use tracing::warn;

use crate::metrics::FIVE;

/// The value that stands for all values that are not kept.
pub const OTHER: &str = "other";
/// Prefix of the partition key of an item. The dimension follows.
const PREFIX: &str = "metric-values#";
/// The list of kept values in an item.
const VALUES: &str = "values";
/// The name of the item with the combinations.
const COMBINATION: &str = "Combination";
/// Combinations of the five dimensions that are kept for each value that a dimension may have.
const COMBINATIONS: usize = 5;
/// Bytes of values after which an item takes no others. An item of DynamoDB has at most 400 KB.
/// Source: Amazon DynamoDB Developer Guide, "Quotas in Amazon DynamoDB", read in November 2026.
const MOST_BYTES: usize = 300_000;
/// Days after the last request of a month for which its items are kept. Messages are up to 38 days old.
const KEPT_DAYS: i64 = 62;
/// Time for the reads and writes of a batch. After it, values that are not known in this environment are `other`.
const PATIENCE: Duration = Duration::from_secs(10);

/// The values that metrics may have in their dimensions.
#[derive(Debug)]
pub struct MetricValues {
    client: Client,
    table: String,
    most: usize,
    kept: Mutex<HashMap<Key, Arc<Kept>>>,
}

/// A dimension in a month such as `2026-11`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    dimension: &'static str,
    month: String,
}

/// The places of the kept values, and the sum of their bytes.
#[derive(Debug, Default)]
struct Kept {
    places: HashMap<String, usize>,
    bytes: usize,
}

impl Kept {
    fn of(item: Option<&HashMap<String, AttributeValue>>) -> Self {
        let values = item.and_then(|item| item.get(VALUES)).and_then(|values| values.as_l().ok());
        let texts = values.into_iter().flatten().filter_map(|value| value.as_s().ok());
        let mut kept = Self::default();
        for (place, text) in texts.enumerate() {
            kept.bytes = kept.bytes.saturating_add(text.len());
            kept.places.insert(text.clone(), place);
        }
        kept
    }

    fn has_room(&self, most: usize) -> bool {
        self.places.len() < most && self.bytes < MOST_BYTES
    }
}

impl MetricValues {
    /// Keeps at most `most` values of each dimension and month, in the table `table` of the usage history.
    #[must_use]
    pub fn new(client: Client, table: String, most: usize) -> Self {
        Self { client, table, most, kept: Mutex::default() }
    }

    /// Starts with the values of a batch.
    pub(crate) fn round(&self) -> Round<'_> {
        Round { values: self, begun: Instant::now(), broken: false }
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<Key, Arc<Kept>>> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads an item. `Err` has the cause.
    async fn read(&self, key: &Key) -> Result<Kept, String> {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(key.item()));
        let found = get.send().await.map_err(|error| cause(&error))?;
        Ok(Kept::of(found.item()))
    }

    /// Adds `value` to an item of at most `most` values, unless it is there. Returns what the item has afterwards.
    /// `Err` has the cause.
    async fn add(&self, key: &Key, value: &str, most: usize, at: DateTime<Utc>) -> Result<Kept, String> {
        let expires = (at + TimeDelta::days(KEPT_DAYS)).timestamp();
        let text = AttributeValue::S(value.to_owned());
        let update = self
            .client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(key.item()))
            .update_expression("SET #values = list_append(if_not_exists(#values, :none), :added), #expires = :expires")
            .condition_expression(
                "attribute_not_exists(#values) OR (size(#values) < :most AND NOT contains(#values, :value))",
            )
            .expression_attribute_names("#values", VALUES)
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_values(":none", AttributeValue::L(Vec::new()))
            .expression_attribute_values(":added", AttributeValue::L(vec![text.clone()]))
            .expression_attribute_values(":value", text)
            .expression_attribute_values(":most", AttributeValue::N(most.to_string()))
            .expression_attribute_values(":expires", AttributeValue::N(expires.to_string()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let error = match update.send().await {
            Ok(updated) => return Ok(Kept::of(updated.attributes())),
            Err(error) => error,
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => Ok(Kept::of(failed.item())),
            _ => Err(cause(&error)),
        }
    }
}

impl Key {
    fn item(&self) -> HashMap<String, AttributeValue> {
        let scope = format!("{PREFIX}{}", self.dimension);
        [(SCOPE, scope), (DAY, self.month.clone())]
            .map(|(name, value)| (name.to_owned(), AttributeValue::S(value)))
            .into()
    }
}

/// The values of one batch.
#[derive(Debug)]
pub struct Round<'a> {
    values: &'a MetricValues,
    begun: Instant,
    /// `true` after the table could not be read or written. The batch asks it no more.
    broken: bool,
}

impl Round<'_> {
    /// The values of the five dimensions as metrics show them, for a request of `at`. Values that are not kept are
    /// `other`. In a combination that is not kept, all five are.
    pub async fn combination(&mut self, at: DateTime<Utc>, five: [String; 5]) -> [String; 5] {
        let mut shown = five;
        let mut places = Vec::new();
        for (dimension, value) in FIVE.into_iter().zip(&mut shown) {
            let place = self.place(dimension, at, value, self.values.most).await;
            if place.is_none() {
                *value = OTHER.to_owned();
            }
            places.push(place.map_or_else(|| "-".to_owned(), |place| place.to_string()));
        }
        let all_other = places.iter().all(|place| place == "-");
        let most = self.values.most.saturating_mul(COMBINATIONS);
        if all_other || self.place(COMBINATION, at, &places.join("."), most).await.is_some() {
            shown
        } else {
            [OTHER; 5].map(str::to_owned)
        }
    }

    /// `value` of `dimension` as metrics show it at `at`.
    pub async fn shown(&mut self, dimension: &'static str, at: DateTime<Utc>, value: String) -> String {
        let place = self.place(dimension, at, &value, self.values.most).await;
        place.map_or_else(|| OTHER.to_owned(), |_| value)
    }

    /// The place of `value` among the values that are kept. `None` if it is not kept.
    ///
    /// A list only grows, so a value that is not in a full list is never asked for again.
    async fn place(&mut self, dimension: &'static str, at: DateTime<Utc>, value: &str, most: usize) -> Option<usize> {
        if value == OTHER {
            return None;
        }
        let key = Key { dimension, month: format!("{:04}-{:02}", at.year(), at.month()) };
        let mut known = self.values.kept().get(&key).cloned();
        if known.is_none() && self.may_ask() {
            known = self.remember(&key, self.values.read(&key).await);
        }
        let known = known?;
        if let Some(place) = known.places.get(value) {
            return Some(*place);
        }
        if !known.has_room(most) || !self.may_ask() {
            return None;
        }
        let added = self.values.add(&key, value, most, at).await;
        self.remember(&key, added)?.places.get(value).copied()
    }

    fn may_ask(&self) -> bool {
        !self.broken && self.begun.elapsed() < PATIENCE
    }

    fn remember(&mut self, key: &Key, found: Result<Kept, String>) -> Option<Arc<Kept>> {
        match found {
            Ok(kept) => {
                let kept = Arc::new(kept);
                self.values.kept().insert(key.clone(), Arc::clone(&kept));
                Some(kept)
            }
            Err(cause) => {
                warn!(
                    dimension = key.dimension,
                    cause, "values of a metric's dimension are not known; they are `other`"
                );
                self.broken = true;
                None
            }
        }
    }
}
