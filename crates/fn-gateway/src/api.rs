//! The APIs that clients speak. Each one reads its requests as documents of the sentry, and writes the sentry's answers
//! and errors in its own form. The steps between are the same for all.

use axum::body::Bytes;
use sentry_contract::answer::{FinalAnswer, Output};
use sentry_models::adapters::ModelFailure;
use sentry_models::adapters::stream::Event;
use serde_json::Value;
use serde_json::value::RawValue;

/// A request that was read.
pub struct Asked {
    /// The document of the sentry.
    pub document: Box<RawValue>,
    /// `true` if the client wants the answer in events.
    pub in_events: bool,
    /// The form of the answer.
    pub form: Box<dyn Form>,
}

/// The form of the answer to one request.
pub trait Form: Send {
    /// The body of a whole answer. `latency_ms` is the time of the request in the gateway, in milliseconds.
    fn whole(&self, answer: &FinalAnswer, output: &Output, latency_ms: u64) -> Value;

    /// Headers of a whole answer, beside those of the sentry.
    fn headers(&self, _answer: &FinalAnswer, _latency_ms: u64) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// Learns, before the first event, the id of the request and the model that answers it.
    fn begin(&mut self, _request_id: &str, _model: &str) {}

    /// Headers of an answer in events, beside those of the sentry.
    fn event_headers(&self) -> Vec<(&'static str, String)> {
        Vec::new()
    }

    /// The content type of events.
    fn content_type(&self) -> &'static str;

    /// The bytes for the client after `event`, which Bedrock's `ConverseStream` has sent. They can be empty.
    fn event(&mut self, event: &Event) -> Bytes;

    /// The last bytes of an answer that broke off.
    fn broken(&mut self, failure: &ModelFailure) -> Bytes;

    /// The last bytes of an answer that is complete and settled. `answer` has no usage if it is unknown.
    fn end(&mut self, _answer: &FinalAnswer) -> Bytes {
        Bytes::new()
    }
}
