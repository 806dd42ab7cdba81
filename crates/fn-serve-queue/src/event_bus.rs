//! The event `Request Finished`, without any text of a prompt or an answer.

use aws_sdk_eventbridge::Client;
use aws_sdk_eventbridge::types::PutEventsRequestEntry;
use sentry_lambda::cause;
use serde_json::{Map, Value, json};
use thiserror::Error as ThisError;

use crate::message::Asked;

/// The source of the event.
pub const SOURCE: &str = "cost-sentry";
/// The kind of the event.
pub const DETAIL_TYPE: &str = "Request Finished";

/// `EventBridge` did not accept the event.
#[derive(Debug, ThisError)]
#[error("EventBridge: {0}")]
pub struct EventError(String);

/// The default event bus.
#[derive(Clone, Debug)]
pub struct EventBus {
    client: Client,
}

impl EventBus {
    /// Puts events through `client`.
    #[must_use]
    pub const fn new(client: Client) -> Self {
        Self { client }
    }

    /// Tells that `asked` ended with `answer`, which is kept in the table `answers`.
    ///
    /// # Errors
    /// If the event was not accepted.
    pub async fn finished(&self, asked: &Asked, answer: &Value, answers: &str) -> Result<(), EventError> {
        let detail = detail(asked, answer, answers).to_string();
        let entry = PutEventsRequestEntry::builder().source(SOURCE).detail_type(DETAIL_TYPE).detail(detail).build();
        let put = self.client.put_events().entries(entry).send().await;
        let put = put.map_err(|error| EventError(cause(&error)))?;
        if put.failed_entry_count == 0 {
            return Ok(());
        }
        let code = put.entries().iter().find_map(|entry| entry.error_code()).unwrap_or("no code");
        Err(EventError(code.to_owned()))
    }
}

/// The facts of an answer. A message of an error can quote a document, so only its code is here.
fn detail(asked: &Asked, answer: &Value, answers: &str) -> Value {
    let mut detail = Map::new();
    detail.insert("applicationId".to_owned(), json!(asked.application_id));
    detail.insert("requestId".to_owned(), json!(asked.request_id));
    detail.insert("answersTable".to_owned(), json!(answers));
    let facts = [
        ("outcome", "/outcome"),
        ("statusCode", "/statusCode"),
        ("code", "/error/code"),
        ("costCenter", "/tags/costCenter"),
        ("environment", "/tags/environment"),
        ("model", "/model"),
        ("usage", "/usage"),
        ("cost", "/cost"),
    ];
    for (name, pointer) in facts {
        if let Some(value) = answer.pointer(pointer) {
            detail.insert(name.to_owned(), value.clone());
        }
    }
    detail.into()
}
