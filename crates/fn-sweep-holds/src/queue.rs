//! The metrics queue, whose function sends alerts.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::send_message::SendMessageError;
use sentry_contract::states::QueuedTask;
use sentry_domain::Alert;
use sentry_lambda::cause;
use thiserror::Error as ThisError;

/// Maximum number of alerts in a message. At about 300 bytes each, they are far below SQS's size limit.
const ALERTS_A_MESSAGE: usize = 100;

/// SQS did not accept all alerts.
#[derive(Debug, ThisError)]
pub(crate) enum SendError {
    #[error("an alert cannot be written")]
    Alert(#[from] serde_json::Error),
    #[error("SQS: {}", cause(.0))]
    Queue(Box<SdkError<SendMessageError>>),
}

/// The queue whose function sends alerts.
#[derive(Debug)]
pub struct AlertQueue {
    client: Client,
    url: String,
}

impl AlertQueue {
    /// Sends messages to the queue at `url`.
    #[must_use]
    pub const fn new(client: Client, url: String) -> Self {
        Self { client, url }
    }

    /// Queues alerts. Sends no message if there are none.
    ///
    /// # Errors
    /// If SQS does not accept all of them.
    pub(crate) async fn send(&self, alerts: &[Alert]) -> Result<(), SendError> {
        for some in alerts.chunks(ALERTS_A_MESSAGE) {
            let body = serde_json::to_string(&QueuedTask::Alerts(some.to_vec()))?;
            let sent = self.client.send_message().queue_url(&self.url).message_body(body).send().await;
            sent.map_err(|error| SendError::Queue(Box::new(error)))?;
        }
        Ok(())
    }
}
