//! The forms of answers that models have of their own, as JSON.

use sentry_contract::answer::{FinalAnswer, Output, Usage};
use sentry_models::adapters::stream::Event;
use serde_json::Value;

/// The form of the answer to one request.
pub trait Native: Send {
    /// The body of a whole answer.
    fn whole(&self, answer: &FinalAnswer, output: &Output) -> Value;

    /// Learns, before the first event, the id of the request and the model that answers it.
    fn begin(&mut self, _request_id: &str, _model: &str) {}

    /// The events of this form after `event`, which Bedrock's `ConverseStream` has sent.
    fn parts(&mut self, event: &Event) -> Vec<Value>;

    /// The last events of a complete answer that is settled, with its usage.
    fn end(&mut self, usage: &Usage) -> Vec<Value>;
}
