#![doc = include_str!("../README.md")]

mod item;

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use sentry_contract::answer::LimitSource;
use sentry_contract::request::Model;
use sentry_contract::states::LimitFound;
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_lambda::{Failure, cause};

/// The key attribute of the limits table.
const KEY: &str = "modelId";
/// The key of the fallback item.
const DEFAULT: &str = "default";

type Item = HashMap<String, AttributeValue>;

/// The table that admins edit.
#[derive(Debug)]
pub struct LimitsTable {
    client: Client,
    name: String,
}

impl LimitsTable {
    /// The table `name`.
    #[must_use]
    pub fn new(client: Client, name: String) -> Self {
        Self { client, name }
    }

    /// The limit that applies to `model`, or why there is none.
    ///
    /// # Errors
    /// `LedgerUnavailable` when the table cannot be read completely.
    pub async fn lookup(&self, model: &Model) -> Result<LimitFound, Failure> {
        let keys = candidates(model);
        let mut items = self.read(&keys).await?;
        let found = keys.iter().find_map(|key| Some((*key, items.remove(*key)?)));
        let Some((key, item)) = found else {
            return Ok(LimitFound::Refusal(Box::new(not_configured(model))));
        };
        let source = if key == DEFAULT { LimitSource::Default } else { LimitSource::Model };
        Ok(match item::parse(key, source, &item) {
            Ok(limit) => LimitFound::Limit(limit),
            Err(malformed) => LimitFound::Refusal(Box::new(malformed.into())),
        })
    }

    async fn read(&self, keys: &[&str]) -> Result<HashMap<String, Item>, Failure> {
        let key = |key: &&str| Item::from([(KEY.to_owned(), AttributeValue::S((*key).to_owned()))]);
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys.iter().map(key).collect())).consistent_read(true);
        let wanted = wanted.build().map_err(|error| unavailable(&cause(&error)))?;
        let answer = self.client.batch_get_item().request_items(&self.name, wanted).send().await;
        let answer = answer.map_err(|error| unavailable(&cause(&error)))?;
        if answer.unprocessed_keys().is_some_and(|left| !left.is_empty()) {
            return Err(unavailable("DynamoDB left keys unprocessed: the table is throttled"));
        }
        let items = answer.responses.unwrap_or_default().remove(&self.name).unwrap_or_default();
        Ok(items.into_iter().filter_map(|item| Some((item.get(KEY)?.as_s().ok()?.clone(), item))).collect())
    }
}

/// The keys that may hold the model's limit, first hit first, each once.
fn candidates(model: &Model) -> Vec<&str> {
    let mut keys: Vec<&str> = Vec::with_capacity(4);
    for key in [model.model_metric.as_str(), &model.model_id, &model.requested, DEFAULT] {
        if !keys.contains(&key) {
            keys.push(key);
        }
    }
    keys
}

fn not_configured(model: &Model) -> ErrorBody {
    let message = format!(
        "There is no limit for {0} and no default, so nothing is allowed. Put an item with the key {0} or {DEFAULT} into the limits table.",
        model.model_metric
    );
    ErrorBody::new(ErrorCode::LimitNotConfigured, message).with("keys", candidates(model))
}

fn unavailable(reason: &str) -> Failure {
    Failure::new(ErrorCode::LedgerUnavailable, format!("the limits table cannot be read: {reason}"))
}

#[cfg(test)]
mod tests;
