#![doc = include_str!("../README.md")]

mod cache;
mod query;

use std::time::{Duration, Instant};

use aws_sdk_cloudwatch::Client;
use sentry_contract::ErrorCode;
use sentry_contract::states::{FetchUsageInput, UsageFigure};
use sentry_lambda::Failure;

use crate::cache::Cache;

/// Month-to-date usage, from CloudWatch or from the last seconds.
#[derive(Debug)]
pub struct UsageSource {
    client: Client,
    cache: Cache,
}

impl UsageSource {
    /// Asks CloudWatch through `client`, at most once every `max_age` for each model.
    #[must_use]
    pub fn new(client: Client, max_age: Duration) -> Self {
        Self { client, cache: Cache::new(max_age) }
    }

    /// The tokens of `input`'s model in `input`'s month; `now` ages the cache.
    ///
    /// # Errors
    /// `UsageUnavailable` when CloudWatch does not give every figure completely.
    pub async fn month_to_date(&self, input: &FetchUsageInput, now: Instant) -> Result<UsageFigure, Failure> {
        if let Some(figure) = self.cache.get(&input.model_metric, &input.range.window, now) {
            return Ok(figure);
        }
        let tokens =
            query::month_to_date(&self.client, &input.model_metric, &input.range).await.map_err(|unusable| {
                Failure::new(ErrorCode::UsageUnavailable, format!("CloudWatch gave no complete usage: {unusable}"))
            })?;
        let figure = UsageFigure {
            window: input.range.window.clone(),
            resets_at: input.range.resets_at,
            input_tokens: tokens.input,
            output_tokens: tokens.output,
        };
        self.cache.put(&input.model_metric, figure.clone(), now);
        Ok(figure)
    }
}

#[cfg(test)]
mod tests;
