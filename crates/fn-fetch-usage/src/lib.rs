#![doc = include_str!("../README.md")]

mod cache;
mod query;

use std::time::{Duration, Instant};

use aws_sdk_cloudwatch::Client;
use chrono::{DateTime, Utc};
use sentry_contract::ErrorCode;
use sentry_contract::states::{FetchUsageInput, UsageFigure, UsageFound, UsageQuery};
use sentry_lambda::Failure;
use tracing::warn;

use crate::cache::Cache;

/// A window's usage so far, from CloudWatch or from the last seconds.
#[derive(Debug)]
pub struct UsageSource {
    client: Client,
    cache: Cache,
}

impl UsageSource {
    /// Asks CloudWatch through `client`, at most once every `max_age` for each model and window.
    #[must_use]
    pub fn new(client: Client, max_age: Duration) -> Self {
        Self { client, cache: Cache::new(max_age) }
    }

    /// The tokens of each model from the start of its window until `now`; `at` is the same moment on the clock that ages
    /// the cache. Both are asked for at once, each in a query of its own, for their windows may differ.
    ///
    /// # Errors
    /// `UsageUnavailable` when CloudWatch does not give every figure of the model completely. Without the fallback's, it
    /// cannot step in.
    pub async fn fetch(&self, input: &FetchUsageInput, now: DateTime<Utc>, at: Instant) -> Result<UsageFound, Failure> {
        let fallback = async {
            let found = self.figure(input.fallback.as_ref()?, now, at).await;
            found
                .inspect_err(|failure| warn!(cause = %failure, "the fallback's usage is unknown, so it cannot step in"))
                .ok()
        };
        let (model, fallback) = tokio::join!(self.figure(&input.model, now, at), fallback);
        Ok(UsageFound { model: model?, fallback })
    }

    async fn figure(&self, query: &UsageQuery, now: DateTime<Utc>, at: Instant) -> Result<UsageFigure, Failure> {
        if let Some(figure) = self.cache.get(query, at) {
            return Ok(figure);
        }
        let tokens = query::tokens(&self.client, &query.model_metric, query.window.start, now).await;
        let tokens = tokens.map_err(|unusable| {
            Failure::new(ErrorCode::UsageUnavailable, format!("CloudWatch gave no complete usage: {unusable}"))
        })?;
        let figure = UsageFigure { window: query.window.key.clone(), tokens };
        self.cache.put(query, figure.clone(), at);
        Ok(figure)
    }
}

#[cfg(test)]
mod tests;
