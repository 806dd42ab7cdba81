#![doc = include_str!("../README.md")]

mod client;
mod stream;

use std::time::Duration;

use aws_sdk_bedrockruntime::Client;
use backon::{ExponentialBuilder, Retryable};
use sentry_contract::states::{Carried, InvokeModelInput, Invoked};
use sentry_models::Catalogue;
use sentry_models::adapters::{self, ModelFailure, Received, Reply, answer, failed, invoked, terms, timed_out};
use serde_json::value::RawValue;

pub use client::client;
pub use stream::Opened;

/// Calls models and reads their answers.
#[derive(Debug)]
pub struct Invoker {
    client: Client,
    catalogue: Catalogue,
    region: String,
    timeout: Duration,
    stream_limit: Duration,
}

impl Invoker {
    /// Calls through `client`, which must not retry by itself, at the prices of `region`. `timeout` is for all attempts
    /// together.
    #[must_use]
    pub fn new(client: Client, catalogue: Catalogue, region: String, timeout: Duration) -> Self {
        Self { client, catalogue, region, timeout, stream_limit: timeout }
    }

    /// Lets an answer in events take up to `limit`, if no pause before an event is longer than the timeout.
    #[must_use]
    pub fn streaming_for(self, limit: Duration) -> Self {
        Self { stream_limit: limit, ..self }
    }

    /// Calls the model that `event` names.
    pub async fn invoke(&self, event: Box<RawValue>) -> Invoked {
        let Received { input, carried } = match adapters::read_input(event.get()) {
            Ok(received) => received,
            Err(unreadable) => return Invoked::Failure(failed(unreadable, Carried::Open)),
        };
        match self.ask(&input).await {
            Ok(reply) => {
                let terms = terms(&input.prompt);
                invoked(answer(&self.catalogue, &self.region, &input.model, reply, terms), carried)
            }
            Err(failure) => Invoked::Failure(failed(failure, carried)),
        }
    }

    async fn ask(&self, input: &InvokeModelInput) -> Result<Reply, ModelFailure> {
        let max_tokens = adapters::max_tokens(&self.catalogue, input);
        let attempts =
            (|| adapters::ask(&self.client, input, max_tokens)).retry(backoff()).when(ModelFailure::repeatable);
        tokio::time::timeout(self.timeout, attempts).await.unwrap_or_else(|_| Err(timed_out(self.timeout)))
    }
}

/// Three retries, after about 0.2, 0.4 and 0.8 seconds. Each delay has a random addition of up to its own length.
fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::new().with_jitter().with_min_delay(Duration::from_millis(200)).with_max_times(3)
}

#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod tests;
