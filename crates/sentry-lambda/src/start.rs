//! The life cycle of a function: start, events, errors.

use std::fmt;
use std::future::Future;

use lambda_runtime::{LambdaEvent, service_fn};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use thiserror::Error;
use tracing::error;

use crate::env::{self, InvalidSetting};
use crate::failure::Failure;

/// An error that keeps a function from starting, or that stops it.
#[derive(Error)]
pub enum StartError {
    /// A setting is missing or wrong.
    #[error(transparent)]
    Setting(#[from] InvalidSetting),
    /// Something else that the function needs is unusable, for example its catalogue.
    #[error("{0}")]
    Invalid(String),
    /// The Lambda runtime ended.
    #[error("the Lambda runtime ended: {0}")]
    Runtime(lambda_runtime::Error),
}

/// The same text as `Display`, because a `main` that returns an error prints its `Debug` form.
impl fmt::Debug for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Starts logging, and serves events with `handler` until Lambda ends the environment.
///
/// # Errors
/// If the Lambda runtime cannot be reached.
pub async fn run<I, O, F, A>(handler: F) -> Result<(), StartError>
where
    I: DeserializeOwned,
    O: Serialize,
    F: Fn(I) -> A,
    A: Future<Output = Result<O, Failure>>,
{
    start_logging();
    let handler = &handler;
    let service = service_fn(move |event: LambdaEvent<Box<RawValue>>| async move {
        let request_id = event.context.request_id;
        let answer = match read(&event.payload) {
            Ok(input) => handler(input).await,
            Err(unreadable) => Err(unreadable),
        };
        answer.inspect_err(|failure| error!(request_id, error_type = failure.name(), "{failure}"))
    });
    lambda_runtime::Runtime::new(service).run().await.map_err(StartError::Runtime)
}

/// Starts logging: one JSON line an event, on standard error. [`run`] does it by itself.
pub fn start_logging() {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_max_level(env::log_level())
        .init();
}

/// Parses an event. The error has the position but never the text, because the text may be a prompt.
fn read<I: DeserializeOwned>(payload: &RawValue) -> Result<I, Failure> {
    serde_json::from_str(payload.get()).map_err(|error| {
        Failure::unreadable_event(format!(
            "the event is not what this function's state sends: {:?} error at line {} column {}",
            error.classify(),
            error.line(),
            error.column()
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Deserialize)]
    struct Input {
        #[expect(dead_code, reason = "only its shape matters")]
        number: u64,
    }

    #[test]
    fn an_unreadable_event_is_reported_without_its_text() {
        let event: Box<RawValue> = serde_json::from_str(r#"{"number": "a secret prompt"}"#).unwrap();
        let failure = read::<Input>(&event).unwrap_err();
        assert_eq!(failure.name(), "UnreadableEvent");
        assert!(!failure.to_string().contains("secret"), "{failure}");
    }
}
