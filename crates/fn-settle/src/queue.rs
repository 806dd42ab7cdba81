//! Sends messages to the metrics queue.

use aws_sdk_sqs::Client;
use sentry_contract::ErrorCode;
use sentry_contract::states::MetricsRecord;
use sentry_lambda::{Failure, cause};

/// The queue whose messages become metrics.
#[derive(Debug)]
pub struct MetricsQueue {
    client: Client,
    url: String,
}

impl MetricsQueue {
    /// Sends messages to the queue at `url`.
    #[must_use]
    pub const fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Queues the message of a request.
    ///
    /// # Errors
    /// Returns `LedgerUnavailable` if SQS does not accept the message.
    pub async fn send(&self, record: &MetricsRecord) -> Result<(), Failure> {
        let unavailable = |reason: String| {
            Failure::new(ErrorCode::LedgerUnavailable, format!("the metrics queue cannot be reached: {reason}"))
        };
        let body = serde_json::to_string(record).map_err(|error| unavailable(error.to_string()))?;
        let sent = self.client.send_message().queue_url(&self.url).message_body(body).send().await;
        sent.map(|_| ()).map_err(|error| unavailable(cause(&error)))
    }
}
