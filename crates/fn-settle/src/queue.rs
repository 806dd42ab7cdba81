//! Sends messages to the metrics queue.

use aws_sdk_sqs::Client;
use sentry_contract::ErrorCode;
use sentry_contract::states::{MetricsRecord, QueuedTask};
use sentry_lambda::{Failure, cause};
use serde::Serialize;

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
        self.put(record).await
    }

    /// Queues a task that does not belong to a decided request.
    ///
    /// # Errors
    /// Returns `LedgerUnavailable` if SQS does not accept the message.
    pub async fn send_task(&self, task: &QueuedTask) -> Result<(), Failure> {
        self.put(task).await
    }

    async fn put(&self, message: &impl Serialize) -> Result<(), Failure> {
        let unavailable = |reason: String| {
            Failure::new(ErrorCode::LedgerUnavailable, format!("the metrics queue cannot be reached: {reason}"))
        };
        let body = serde_json::to_string(message).map_err(|error| unavailable(error.to_string()))?;
        let sent = self.client.send_message().queue_url(&self.url).message_body(body).send().await;
        sent.map(|_| ()).map_err(|error| unavailable(cause(&error)))
    }
}
