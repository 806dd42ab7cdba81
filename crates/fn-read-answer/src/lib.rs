#![doc = include_str!("../README.md")]

use std::time::Duration;

use sentry_contract::answer::FinalAnswer;
use sentry_contract::states::{Carried, Invoked, ReadAnswerInput, SettleInput};
use sentry_models::Catalogue;
use sentry_models::adapters::{Conclusion, answer, failed, integration, invoked, native_failure};
use serde::{Deserialize, Serialize};

/// Input: the end of a call in the model router, or of an admitted request that could not be settled.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
pub enum ReadEvent {
    /// A request of the rate limiter after `Settle` has failed.
    Admitted(Box<SettleInput>),
    /// A call of the model router.
    Call(Box<ReadAnswerInput>),
}

/// Output: the router's answer, or the final document.
#[derive(Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Read {
    /// The final document of an admitted request.
    Document(Box<FinalAnswer>),
    /// The answer to a call of the model router.
    Call(Invoked),
}

/// Reads the results of calls by Step Functions.
#[derive(Debug)]
pub struct Reader {
    catalogue: Catalogue,
    region: String,
    timeout: Duration,
}

impl Reader {
    /// Uses the prices of `region`. `timeout` is the time that a call had.
    #[must_use]
    pub fn new(catalogue: Catalogue, region: String, timeout: Duration) -> Self {
        Self { catalogue, region, timeout }
    }

    /// Reads the end of a call. The final document of a request that could not be settled has an empty budget.
    #[must_use]
    pub fn read(&self, event: ReadEvent) -> Read {
        match event {
            ReadEvent::Call(call) => Read::Call(self.call(*call)),
            ReadEvent::Admitted(input) => {
                let SettleInput { admitted, ended, .. } = *input;
                let conclusion = Conclusion::of(ended, &admitted.model, self.timeout);
                Read::Document(Box::new(conclusion.document(&admitted, Vec::new())))
            }
        }
    }

    fn call(&self, input: ReadAnswerInput) -> Invoked {
        let ReadAnswerInput { model, terms, result, error, cause } = input;
        let reply = result.map_or_else(
            || Err(native_failure(&error.unwrap_or_default(), &cause.unwrap_or_default(), self.timeout)),
            |result| integration::read(result, terms.charges),
        );
        match reply {
            Ok(reply) => invoked(answer(&self.catalogue, &self.region, &model, reply, terms), Carried::Open),
            Err(failure) => Invoked::Failure(failed(failure, Carried::Open)),
        }
    }
}

#[cfg(test)]
mod tests;
