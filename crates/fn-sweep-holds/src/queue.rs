//! The metrics queue, whose function sends alerts.

use aws_sdk_sqs::Client;
use sentry_contract::states::{Alert, QueuedTask};
use sentry_lambda::cause;

/// Maximum number of alerts in a message. At about 300 bytes each, they are far below SQS's size limit.
const ALERTS_A_MESSAGE: usize = 100;

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
    /// Returns the reason why SQS did not accept all of them.
    pub(crate) async fn send(&self, alerts: &[Alert]) -> Result<(), String> {
        for some in alerts.chunks(ALERTS_A_MESSAGE) {
            let body = serde_json::to_string(&QueuedTask::Alerts(some.to_vec())).map_err(|error| error.to_string())?;
            let sent = self.client.send_message().queue_url(&self.url).message_body(body).send().await;
            sent.map_err(|error| cause(&error))?;
        }
        Ok(())
    }
}
