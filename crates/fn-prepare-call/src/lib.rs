#![doc = include_str!("../README.md")]

use sentry_contract::states::{Carried, NativeCall, PreparedCall};
use sentry_models::Catalogue;
use sentry_models::adapters::{self, ModelFailure, Received, failed, integration};
use serde_json::value::RawValue;

/// Writes requests for Step Functions to send.
#[derive(Debug)]
pub struct Preparer {
    catalogue: Catalogue,
}

impl Preparer {
    /// Uses the `max_tokens` of `catalogue` if a request has none.
    #[must_use]
    pub fn new(catalogue: Catalogue) -> Self {
        Self { catalogue }
    }

    /// The call for the router's input, or the reason why there is none.
    #[must_use]
    pub fn prepare(&self, event: &RawValue) -> PreparedCall {
        self.call(event.get())
            .unwrap_or_else(|failure| PreparedCall::Failure { failure: failed(failure, Carried::Sealed) })
    }

    fn call(&self, event: &str) -> Result<PreparedCall, ModelFailure> {
        let Received { input, .. } = adapters::read_input(event)?;
        let max_tokens = adapters::max_tokens(&self.catalogue, &input);
        let request = adapters::prepare(&input, max_tokens)?;
        let converse = integration::parameters(&input.model.model_id, &request)?;
        Ok(converse.map_or(PreparedCall::Function { function: true }, |converse| {
            PreparedCall::Native(NativeCall { converse, terms: adapters::terms(&input.prompt) })
        }))
    }
}

#[cfg(test)]
mod tests;
