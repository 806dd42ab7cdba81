#![doc = include_str!("../README.md")]

mod failures;

use std::time::Instant;

use aws_sdk_bedrockruntime::Client;
use sentry_contract::ErrorCode;
use sentry_contract::states::{CountTokensInput, TokenCount};
use sentry_models::adapters::{self, Counted, ModelFailure};
use tracing::{info, warn};

use failures::{CountFailure, CountFailures};

/// Tokens that are added to a count. AWS says that the count matches the tokens that a call of the model is charged
/// for, but promises no bound.
const MARGIN: u64 = 16;

/// Counts prompts for the models that Bedrock counts for.
#[derive(Debug)]
pub struct TokenCounter {
    client: Client,
    failures: CountFailures,
}

impl TokenCounter {
    /// A counter that remembers no failure of Bedrock yet.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client, failures: CountFailures::default() }
    }

    /// The tokens of `input`'s prompt plus a margin, if they can be counted at `now`.
    pub async fn count(&self, input: &CountTokensInput, now: Instant) -> TokenCount {
        let model_id = input.counted_as.as_str();
        if self.failures.hold(model_id, now) {
            return TokenCount { input_tokens: None };
        }
        let prompt = match input.prompt.open() {
            Ok(prompt) => prompt,
            Err(unreadable) => {
                warn!(model_id, cause = %unreadable, "the prompt cannot be opened; it is held at its bound");
                return TokenCount { input_tokens: None };
            }
        };
        let input_tokens = match adapters::count_tokens(&self.client, model_id, &prompt).await {
            Ok(Counted::Tokens(tokens)) => Some(tokens.saturating_add(MARGIN)),
            Ok(Counted::Unsupported) => {
                info!(model_id, "Bedrock does not count tokens for the model; prompts to it are held at their bound");
                self.failures.remember(model_id, CountFailure::Unsupported, now);
                None
            }
            Ok(Counted::Partly) => None,
            Err(failure) => {
                if failure.error.code == ErrorCode::ModelAccessDenied {
                    self.failures.remember(model_id, CountFailure::AccessDenied, now);
                }
                log(model_id, &failure);
                None
            }
        };
        TokenCount { input_tokens }
    }
}

/// Logs a failed count without Bedrock's message, because the message may quote the prompt.
fn log(model_id: &str, failure: &ModelFailure) {
    let error = &failure.error;
    let detail = |name| error.details.get(name).and_then(|value| value.as_str()).unwrap_or_default();
    let (bedrock_error, bedrock_request_id) = (detail("bedrockError"), detail("bedrockRequestId"));
    let cause = error.code.name();
    warn!(
        model_id,
        cause, bedrock_error, bedrock_request_id, "tokens could not be counted; the prompt is held at its bound"
    );
}

#[cfg(test)]
mod tests;
