#![doc = include_str!("../README.md")]

use std::collections::HashSet;
use std::sync::{Mutex, MutexGuard, PoisonError};

use aws_sdk_bedrockruntime::Client;
use sentry_contract::states::{CountTokensInput, TokenCount};
use sentry_models::Catalogue;
use sentry_models::adapters::{self, Counted};
use tracing::{info, warn};

/// Clients choose the ids: no more of them are remembered than there are models.
const MOST_REMEMBERED: usize = 100;

/// Counts prompts, where Bedrock does.
#[derive(Debug)]
pub struct TokenCounter {
    client: Client,
    catalogue: Catalogue,
    unsupported: Mutex<HashSet<String>>,
}

impl TokenCounter {
    /// Asks through `client` about the models that `catalogue` says are counted.
    #[must_use]
    pub fn new(client: Client, catalogue: Catalogue) -> Self {
        Self { client, catalogue, unsupported: Mutex::default() }
    }

    /// The tokens of `input`'s prompt, if they can be known.
    pub async fn count(&self, input: &CountTokensInput) -> TokenCount {
        let counted_as = self.catalogue.counted_as(&input.model.model_id);
        let Some(model_id) = counted_as.filter(|id| !self.unsupported().contains(*id)) else {
            return TokenCount { input_tokens: None };
        };
        let input_tokens = match adapters::count_tokens(&self.client, model_id, &input.prompt).await {
            Ok(Counted::Tokens(tokens)) => Some(tokens),
            Ok(Counted::Unsupported) => {
                info!(model_id, "Bedrock does not count tokens for the model; prompts to it are held at their bound");
                self.remember(model_id);
                None
            }
            Err(failure) => {
                let error = &failure.error;
                let detail = |name| error.details.get(name).and_then(|value| value.as_str()).unwrap_or_default();
                let (bedrock_error, bedrock_request_id) = (detail("bedrockError"), detail("bedrockRequestId"));
                let cause = error.code.name();
                warn!(
                    model_id,
                    cause,
                    bedrock_error,
                    bedrock_request_id,
                    "tokens could not be counted; the prompt is held at its bound"
                );
                None
            }
        };
        TokenCount { input_tokens }
    }

    fn remember(&self, model_id: &str) {
        let mut unsupported = self.unsupported();
        if unsupported.len() < MOST_REMEMBERED {
            unsupported.insert(model_id.to_owned());
        }
    }

    /// A panic elsewhere leaves the set whole.
    fn unsupported(&self) -> MutexGuard<'_, HashSet<String>> {
        self.unsupported.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
