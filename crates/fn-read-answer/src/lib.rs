#![doc = include_str!("../README.md")]

use std::time::Duration;

use sentry_contract::states::{Invoked, ReadAnswerInput};
use sentry_models::Catalogue;
use sentry_models::adapters::{ModelFailure, Reply, answer, integration, refused, timed_out};

/// Reads answers.
#[derive(Debug)]
pub struct Reader {
    catalogue: Catalogue,
    region: String,
    timeout: Duration,
}

impl Reader {
    /// At the prices of `region`; `timeout` is what the call had.
    #[must_use]
    pub fn new(catalogue: Catalogue, region: String, timeout: Duration) -> Self {
        Self { catalogue, region, timeout }
    }

    /// What the call that `input` tells of came to.
    #[must_use]
    pub fn read(&self, input: ReadAnswerInput) -> Invoked {
        let ReadAnswerInput { model, terms, result, error, cause } = input;
        let reply = match (result, error) {
            (Some(result), _) => integration::read(result),
            (None, error) => self.failed(&error.unwrap_or_default(), &cause.unwrap_or_default()),
        };
        match reply {
            Ok(reply) => answer(&self.catalogue, &self.region, &model, reply, terms),
            Err(failure) => Invoked::Failure(refused(failure)),
        }
    }

    fn failed(&self, error: &str, cause: &str) -> Result<Reply, ModelFailure> {
        Err(if error == integration::TIMEOUT { timed_out(self.timeout) } else { integration::failure(error, cause) })
    }
}

#[cfg(test)]
mod tests;
