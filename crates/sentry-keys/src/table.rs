//! The table of keys.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::{BuildError, ProvideErrorMetadata};
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use thiserror::Error;

use crate::key::KeyHash;
use crate::record::{ENABLED, HASH, InvalidRecord, KeyRecord};

/// The table cannot be read or written.
#[derive(Debug, Error)]
#[error("the table of keys cannot be reached")]
pub struct KeysUnavailable(#[source] Box<aws_sdk_dynamodb::Error>);

impl KeysUnavailable {
    /// The name of the error that DynamoDB has answered. `None` if it has not answered.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        self.0.meta().code()
    }
}

impl<E: Into<aws_sdk_dynamodb::Error>> From<E> for KeysUnavailable {
    fn from(error: E) -> Self {
        Self(Box::new(error.into()))
    }
}

/// The table of keys.
#[derive(Debug)]
pub struct KeysTable {
    client: Client,
    name: String,
}

impl KeysTable {
    /// Reads and writes the table `name` through `client`.
    #[must_use]
    pub const fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// The key with `hash`, by one consistent read. `None` if there is none.
    ///
    /// # Errors
    /// If the table cannot be read. The inner error is that of an item that is not understood.
    pub async fn find(&self, hash: &KeyHash) -> Result<Option<Result<KeyRecord, InvalidRecord>>, KeysUnavailable> {
        let read = self.client.get_item().table_name(&self.name).key(HASH, key_of(hash)).consistent_read(true);
        Ok(read.send().await?.item.map(|item| KeyRecord::read(&item)))
    }

    /// The name of the table.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The part of a `BatchGetItem` that reads the key with `hash`, with strong consistency. [`KeyRecord::read`] reads the
    /// item.
    ///
    /// # Errors
    /// Never, because there is a key.
    pub fn wanted(hash: &KeyHash) -> Result<KeysAndAttributes, BuildError> {
        let key = HashMap::from([(HASH.to_owned(), key_of(hash))]);
        KeysAndAttributes::builder().keys(key).consistent_read(true).build()
    }

    /// Stores a new key. It never replaces one: two random keys are never equal.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub async fn add(&self, record: &KeyRecord) -> Result<(), KeysUnavailable> {
        let write = self.client.put_item().table_name(&self.name).set_item(Some(record.item()));
        write
            .condition_expression("attribute_not_exists(#hash)")
            .expression_attribute_names("#hash", HASH)
            .send()
            .await?;
        Ok(())
    }

    /// All keys, from every page, and the items that are not understood.
    ///
    /// # Errors
    /// If the table cannot be read.
    pub async fn all(&self) -> Result<Vec<Result<KeyRecord, InvalidRecord>>, KeysUnavailable> {
        let mut pages = self.client.scan().table_name(&self.name).consistent_read(true).into_paginator().send();
        let mut found = Vec::new();
        while let Some(page) = pages.next().await {
            found.extend(page?.items().iter().map(KeyRecord::read));
        }
        Ok(found)
    }

    /// Turns a key off. Returns `false` if it does not exist.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub async fn disable(&self, hash: &KeyHash) -> Result<bool, KeysUnavailable> {
        let write = self.client.update_item().table_name(&self.name).key(HASH, key_of(hash));
        let write = write.update_expression("SET #enabled = :no").condition_expression("attribute_exists(#hash)");
        let write = write.expression_attribute_names("#enabled", ENABLED).expression_attribute_names("#hash", HASH);
        match write.expression_attribute_values(":no", AttributeValue::Bool(false)).send().await {
            Ok(_) => Ok(true),
            Err(error) => match aws_sdk_dynamodb::Error::from(error) {
                aws_sdk_dynamodb::Error::ConditionalCheckFailedException(_) => Ok(false),
                error => Err(KeysUnavailable(Box::new(error))),
            },
        }
    }

    /// Deletes a key.
    ///
    /// # Errors
    /// If the table cannot be written.
    pub async fn remove(&self, hash: &KeyHash) -> Result<(), KeysUnavailable> {
        self.client.delete_item().table_name(&self.name).key(HASH, key_of(hash)).send().await?;
        Ok(())
    }
}

fn key_of(hash: &KeyHash) -> AttributeValue {
    AttributeValue::S(hash.0.clone())
}
