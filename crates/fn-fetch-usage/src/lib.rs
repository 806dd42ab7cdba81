#![doc = include_str!("../README.md")]

mod cache;
mod query;

use std::time::{Duration, Instant};

use aws_sdk_cloudwatch::Client;
use chrono::{DateTime, Utc};
use sentry_contract::ErrorCode;
use sentry_contract::states::{FetchUsageInput, UsageFigure};
use sentry_lambda::Failure;

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

    /// The tokens of `input`'s model from the start of `input`'s window until `now`; `at` is the same moment on the clock
    /// that ages the cache.
    ///
    /// # Errors
    /// `UsageUnavailable` when CloudWatch does not give every figure completely.
    pub async fn fetch(
        &self,
        input: &FetchUsageInput,
        now: DateTime<Utc>,
        at: Instant,
    ) -> Result<UsageFigure, Failure> {
        if let Some(figure) = self.cache.get(input, at) {
            return Ok(figure);
        }
        let tokens = query::tokens(&self.client, &input.model_metric, input.window.start, now).await;
        let tokens = tokens.map_err(|unusable| {
            Failure::new(ErrorCode::UsageUnavailable, format!("CloudWatch gave no complete usage: {unusable}"))
        })?;
        let figure = UsageFigure { window: input.window.key.clone(), tokens };
        self.cache.put(input, figure.clone(), at);
        Ok(figure)
    }
}

#[cfg(test)]
mod tests;
