//! The metrics queue, whose function sends alerts.

use aws_sdk_sqs::Client;
use aws_sdk_sqs::error::SdkError;
use aws_sdk_sqs::operation::send_message::SendMessageError;
use sentry_contract::states::{QueuedTask, ResponseChange};
use sentry_domain::Alert;
use sentry_lambda::cause;
use thiserror::Error as ThisError;

/// Maximum number of alerts in a message. At about 300 bytes each, they are far below SQS's size limit.
const ALERTS_A_MESSAGE: usize = 100;

/// SQS did not accept all messages.
#[derive(Debug, ThisError)]
pub(crate) enum SendError {
    #[error("a message cannot be written")]
    Message(#[from] serde_json::Error),
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
            self.put(&QueuedTask::Alerts(some.to_vec())).await?;
        }
        Ok(())
    }

    /// Queues automated responses that have ended.
    ///
    /// # Errors
    /// If SQS does not accept them.
    pub(crate) async fn send_responses(&self, ended: &[ResponseChange]) -> Result<(), SendError> {
        self.put(&QueuedTask::Responses(ended.to_vec())).await
    }

    async fn put(&self, task: &QueuedTask) -> Result<(), SendError> {
        let body = serde_json::to_string(task)?;
        let sent = self.client.send_message().queue_url(&self.url).message_body(body).send().await;
        sent.map(drop).map_err(|error| SendError::Queue(Box::new(error)))
    }
}
