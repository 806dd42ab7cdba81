//! The catalogue table: models and aliases that an administrator adds at run time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use rust_decimal::Decimal;
use sentry_contract::ErrorCode;
use sentry_lambda::{Failure, cause};
use sentry_models::{Addition, InvalidEntry};
use serde_json::{Map, Number, Value};

use crate::cache::Cache;

/// The key attribute of the table.
pub const KEY: &str = "entry";
/// Lifetime of a cached item. That no item exists is cached too.
const MAX_AGE: Duration = Duration::from_secs(60);

/// The attributes of an item of the catalogue table.
pub type AttributeItem = HashMap<String, AttributeValue>;

/// Reads and checks an item of the catalogue table that has the key `key`.
///
/// # Errors
/// If the item is invalid. The error names the item and the field.
pub fn read_addition(key: &str, item: AttributeItem) -> Result<Addition, InvalidEntry> {
    let item = item.into_iter().map(|(name, value)| Some((name, json(value)?))).collect::<Option<Map<_, _>>>();
    let item = item.ok_or_else(|| InvalidEntry {
        entry: key.to_owned(),
        field: "$".to_owned(),
        problem: "has a value that is no string, number, boolean, list or map".to_owned(),
    })?;
    Addition::read(key, item)
}

/// The item of a key: `None` if there is no item, an error if the item is invalid.
pub type Found = Result<Option<Arc<Addition>>, InvalidEntry>;

/// The catalogue table, with a cache of its items.
#[derive(Debug)]
pub struct Additions {
    client: Client,
    table: String,
    cache: Cache<Found>,
}

impl Additions {
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table, cache: Cache::new(MAX_AGE) }
    }

    /// The item with the key `key`. A cached item is at most 60 seconds old at `at`.
    ///
    /// # Errors
    /// `LedgerUnavailable` if the table cannot be read.
    pub async fn find(&self, key: &str, at: Instant) -> Result<Found, Failure> {
        if let Some(found) = self.cache.get(key, at) {
            return Ok(found);
        }
        let read = self.client.get_item().table_name(&self.table).key(KEY, AttributeValue::S(key.to_owned()));
        let answer = read.send().await.map_err(|error| {
            let reason = cause(&error);
            Failure::new(ErrorCode::LedgerUnavailable, format!("the catalogue table cannot be read: {reason}"))
        })?;
        let found = answer.item.map(|item| read_addition(key, item).map(Arc::new));
        let found = found.transpose();
        self.cache.put(key, found.clone(), at);
        Ok(found)
    }
}

impl Additions {
    /// All aliases of the table, each with the id or ARN that it stands for. An invalid item is left out.
    ///
    /// # Errors
    /// `LedgerUnavailable` if the table cannot be read.
    pub async fn aliases(&self) -> Result<Vec<(String, String)>, Failure> {
        let mut pages = self.client.scan().table_name(&self.table).into_paginator().items().send();
        let mut aliases = Vec::new();
        while let Some(item) = pages.next().await {
            let item = item.map_err(|error| {
                let reason = cause(&error);
                Failure::new(ErrorCode::LedgerUnavailable, format!("the catalogue table cannot be read: {reason}"))
            })?;
            let Some(key) = item.get(KEY).and_then(|key| key.as_s().ok()).cloned() else { continue };
            let Some(name) = Addition::name_of_alias(&key).map(str::to_owned) else { continue };
            if let Some(target) = read_addition(&key, item).ok().as_ref().and_then(Addition::target) {
                aliases.push((name, target.to_owned()));
            }
        }
        Ok(aliases)
    }
}

/// Converts an attribute to JSON. `None` for sets and binaries.
fn json(value: AttributeValue) -> Option<Value> {
    Some(match value {
        AttributeValue::S(text) => Value::String(text),
        AttributeValue::N(digits) => Value::Number(number(&digits)?),
        AttributeValue::Bool(truth) => Value::Bool(truth),
        AttributeValue::Null(_) => Value::Null,
        AttributeValue::L(list) => Value::Array(list.into_iter().map(json).collect::<Option<_>>()?),
        AttributeValue::M(map) => {
            let fields = map.into_iter().map(|(name, value)| Some((name, json(value)?)));
            Value::Object(fields.collect::<Option<_>>()?)
        }
        _ => return None,
    })
}

/// Converts a number of DynamoDB to JSON. A whole number with an exponent, such as `1E+6`, becomes one without it, because
/// the fields for tokens accept only digits.
fn number(digits: &str) -> Option<Number> {
    if digits.contains(['e', 'E']) {
        Decimal::from_scientific(digits).ok()?.normalize().to_string().parse().ok()
    } else {
        digits.parse().ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn number_with_an_exponent_is_written_without_it() {
        for (digits, expected) in [("1E+6", "1000000"), ("2.5e-3", "0.0025"), ("12", "12"), ("0.30", "0.30")] {
            let expected: Value = serde_json::from_str(expected).unwrap();
            assert_eq!(json(AttributeValue::N(digits.to_owned())), Some(expected), "{digits}");
        }
        assert_eq!(json(AttributeValue::N("1E+100".to_owned())), None);
    }
}
