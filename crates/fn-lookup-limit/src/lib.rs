#![doc = include_str!("../README.md")]

mod item;
mod number;
mod scopes;

use std::collections::{BTreeSet, HashMap};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use chrono::{DateTime, Utc};
use sentry_contract::states::{LimitWindow, LimitsFound, LookupLimitInput, Remedy, ScopeLimit};
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::Window;
use sentry_lambda::{Failure, cause};

use crate::item::{Item, KEY, Malformed, Settings};
use crate::scopes::{DEFAULT, Scope};

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

    /// Every limit that applies at `now` to the request, or why nothing is allowed. Where one of them says so, also the
    /// limit of the model that may answer instead, unless it has none that can be understood.
    ///
    /// # Errors
    /// `LedgerUnavailable` when the table cannot be read completely.
    pub async fn lookup(&self, input: &LookupLimitInput, now: DateTime<Utc>) -> Result<LimitsFound, Failure> {
        let LookupLimitInput { model, tags, fallback } = input;
        let of_model = scopes::of_model(model);
        let of_tags = scopes::of_tags(tags);
        let of_fallback = fallback.as_ref().map(|fallback| scopes::of_model(&fallback.model));
        let scopes = || std::iter::once(&of_model).chain(&of_tags);
        let items = self.read(scopes().chain(&of_fallback).flat_map(|scope| &scope.keys)).await?;
        let limit_of = |scope| first_hit(scope, &items).map(|(key, item)| limit(scope, key, item, now));
        if first_hit(&of_model, &items).is_none() {
            return Ok(LimitsFound::Refused { refusal: Box::new(not_configured(&of_model)) });
        }
        Ok(match scopes().filter_map(limit_of).collect::<Result<Vec<_>, Malformed>>() {
            Ok(limits) => {
                let wanted = limits.iter().any(|limit| limit.allows(Remedy::Fallback));
                let fallback = of_fallback.as_ref().filter(|_| wanted).and_then(limit_of);
                LimitsFound::Found { limits, fallback: fallback.and_then(Result::ok).map(Box::new) }
            }
            Err(malformed) => LimitsFound::Refused { refusal: Box::new(malformed.into()) },
        })
    }

    /// The items that exist under `keys`, which are fewer than the 100 of one `BatchGetItem`.
    async fn read(&self, keys: impl Iterator<Item = &String>) -> Result<HashMap<String, Item>, Failure> {
        let keys: BTreeSet<&String> = keys.collect();
        let keys = keys.into_iter().map(|key| Item::from([(KEY.to_owned(), AttributeValue::S(key.clone()))]));
        let wanted = KeysAndAttributes::builder().set_keys(Some(keys.collect())).consistent_read(true);
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

/// The item that decides for `scope`, whether it can be understood or not.
fn first_hit<'i>(scope: &'i Scope, items: &'i HashMap<String, Item>) -> Option<(&'i str, &'i Item)> {
    scope.keys.iter().find_map(|key| Some((key.as_str(), items.get(key)?)))
}

fn limit(scope: &Scope, key: &str, item: &Item, now: DateTime<Utc>) -> Result<ScopeLimit, Malformed> {
    let Settings { limits, window, zone, alert_at, shards, when_exceeded } = item::parse(key, item)?;
    let window = LimitWindow::from(&Window::containing(window, zone, now));
    let (source, item) = (scope.source(key).to_owned(), key.to_owned());
    Ok(ScopeLimit { scope: scope.name.clone(), source, item, window, limits, alert_at, shards, when_exceeded })
}

fn not_configured(scope: &Scope) -> ErrorBody {
    let message = format!(
        "There is no limit for {0} and no default, so nothing is allowed. Put an item with the key {0} or {DEFAULT} into the limits table.",
        scope.keys.first().map_or(DEFAULT, String::as_str)
    );
    ErrorBody::new(ErrorCode::LimitNotConfigured, message).with("keys", scope.keys.clone())
}

fn unavailable(reason: &str) -> Failure {
    Failure::new(ErrorCode::LedgerUnavailable, format!("the limits table cannot be read: {reason}"))
}

#[cfg(test)]
mod tests;
