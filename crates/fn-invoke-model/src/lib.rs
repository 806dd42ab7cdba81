#![doc = include_str!("../README.md")]

use std::time::Duration;

use aws_sdk_bedrockruntime::Client;
use backon::{ExponentialBuilder, Retryable};
use sentry_contract::answer::{Output, OutputMessage};
use sentry_contract::request::Role;
use sentry_contract::states::{InvokeModelInput, Invoked, ModelAnswer, Refused};
use sentry_contract::{ErrorBody, ErrorCode, MAX_PAYLOAD_BYTES, escaped_len};
use sentry_models::Catalogue;
use sentry_models::adapters::{self, ModelFailure, Reply};
use serde_json::value::RawValue;

/// Room for what Step Functions and Lambda put beside an answer: ARNs, names, dates, metadata; and for tags and budget in the final document.
const ANSWER_RESERVE_BYTES: usize = 16_384;

/// Calls models.
#[derive(Debug)]
pub struct Invoker {
    client: Client,
    catalogue: Catalogue,
    region: String,
    timeout: Duration,
}

impl Invoker {
    /// Calls through `client`, which must not retry by itself, at the prices of `region`; `timeout` is for all attempts together.
    #[must_use]
    pub fn new(client: Client, catalogue: Catalogue, region: String, timeout: Duration) -> Self {
        Self { client, catalogue, region, timeout }
    }

    /// Asks the model that `event` names.
    pub async fn invoke(&self, event: Box<RawValue>) -> Invoked {
        let input: InvokeModelInput = match serde_json::from_str(event.get()) {
            Ok(input) => input,
            Err(error) => return refused(unreadable(&error)),
        };
        match self.ask(&input).await {
            Ok(reply) => self.answer(&input, reply, event.get()),
            Err(failure) => refused(failure),
        }
    }

    async fn ask(&self, input: &InvokeModelInput) -> Result<Reply, ModelFailure> {
        let max_tokens = input.prompt.parameters.max_tokens;
        let max_tokens = max_tokens.unwrap_or_else(|| self.catalogue.max_tokens(&input.model.model_id));
        let attempts =
            (|| adapters::ask(&self.client, input, max_tokens)).retry(backoff()).when(ModelFailure::repeatable);
        tokio::time::timeout(self.timeout, attempts).await.unwrap_or_else(|_| {
            let seconds = self.timeout.as_secs();
            let message = format!("The model did not answer within {seconds} seconds. Ask for less, or try again.");
            Err(ModelFailure::new(ErrorCode::ModelTimeout, message))
        })
    }

    fn answer(&self, input: &InvokeModelInput, reply: Reply, event: &str) -> Invoked {
        let listed = || self.catalogue.price(&input.model.model_id, &self.region);
        let price = input.model.price.or_else(listed);
        let answer = ModelAnswer {
            output: Output {
                message: OutputMessage { role: Role::Assistant, content: reply.text },
                stop_reason: reply.stop_reason,
            },
            usage: reply.usage.into(),
            cost: price.and_then(|price| price.cost(&reply.usage)).into(),
        };
        match fits(&answer, event) {
            Ok(()) => Invoked::Answer(Box::new(answer)),
            Err(too_large) => refused(too_large.spent(reply.usage)),
        }
    }
}

/// The answer travels to the rate limiter as a JSON string, beside the router's input, in one payload.
fn fits(answer: &ModelAnswer, event: &str) -> Result<(), ModelFailure> {
    let json = serde_json::to_string(answer).map_err(|_| ModelFailure::malformed("it cannot be written as JSON"))?;
    let bytes = escaped_len(&json) + escaped_len(event);
    let most = MAX_PAYLOAD_BYTES - ANSWER_RESERVE_BYTES;
    if bytes <= most {
        return Ok(());
    }
    let message = format!(
        "The answer and its request take {bytes} bytes on the way back; at most {most} fit. The tokens were used. Lower max_tokens or shorten the prompt."
    );
    Err(ModelFailure::new(ErrorCode::OutputTooLarge, message))
}

/// Three repetitions, after about 0.2, 0.4 and 0.8 seconds, each with as much again at random.
fn backoff() -> ExponentialBuilder {
    ExponentialBuilder::new().with_jitter().with_min_delay(Duration::from_millis(200)).with_max_times(3)
}

/// Reported by position only: the text may be a prompt.
fn unreadable(error: &serde_json::Error) -> ModelFailure {
    let message = format!(
        "The model router's input is not {{model: {{modelId, family}}, prompt, tags}}: {:?} error at line {} column {}.",
        error.classify(),
        error.line(),
        error.column()
    );
    ModelFailure::never_sent(ErrorBody::new(ErrorCode::InvalidRequest, message).with("path", "$"))
}

fn refused(failure: ModelFailure) -> Invoked {
    Invoked::Failure(Box::new(Refused {
        status_code: failure.error.code.status(),
        usage: failure.usage.map(Into::into),
        nothing_spent: failure.nothing_spent(),
        error: *failure.error,
    }))
}

#[cfg(test)]
mod connection_tests;
#[cfg(test)]
mod tests;
