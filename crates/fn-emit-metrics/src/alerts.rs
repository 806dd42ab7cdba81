//! Budget alerts: each is published once a window, by whoever claims it first.

use std::collections::HashSet;

use aws_sdk_sns::Client as Sns;
use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::states::Alert;
use sentry_lambda::cause;
use sentry_ledger::{Claim, Ledger, LedgerError};
use thiserror::Error;
use tracing::{error, warn};

use crate::notice;

/// How long a claim excludes others: more than an invocation lasts (75 s), so that nobody publishes beside one that is
/// alive, and less than the queue takes to deliver its message again (750 s), so that the next one can take over from a dead one.
const CLAIM: TimeDelta = TimeDelta::seconds(120);

/// Publishes alerts to a topic.
#[derive(Debug)]
pub struct Alerts {
    ledger: Ledger,
    sns: Sns,
    topic_arn: String,
}

/// Why an alert is not published and must be tried again.
#[derive(Debug, Error)]
enum AlertError {
    #[error("it cannot be claimed in the ledger: {}", cause(.0))]
    Claim(#[from] LedgerError),
    #[error("SNS did not take it: {0}")]
    Publish(String),
}

impl Alerts {
    /// Publishes to the topic `topic_arn` what `ledger` does not know to be published.
    #[must_use]
    pub const fn new(ledger: Ledger, sns: Sns, topic_arn: String) -> Self {
        Self { ledger, sns, topic_arn }
    }

    /// Begins with the alerts of a batch that is read at `now`.
    pub(crate) fn round(&self, now: DateTime<Utc>) -> Round<'_> {
        Round { alerts: self, now, seen: HashSet::new(), broken: false }
    }

    /// Whether it was this call that published `alert`.
    async fn publish(&self, alert: &Alert, now: DateTime<Utc>) -> Result<bool, AlertError> {
        let claimed = match self.ledger.claim_alert(alert, now, now + CLAIM).await? {
            Claim::Made(claimed) => claimed,
            Claim::Taken => return Ok(false),
            Claim::ItemGone => {
                let Alert { scope, window, threshold, .. } = alert;
                warn!(scope, window, threshold, "an alert is dropped: the ledger has deleted its window");
                return Ok(false);
            }
        };
        if let Err(error) = self.send(alert).await {
            let given_back = self.ledger.give_back_alert(alert, claimed).await;
            note(alert, given_back, "a claim is not given back; it lapses by itself");
            return Err(error);
        }
        // Reporting the message would publish the alert once more, for certain.
        note(alert, self.ledger.alert_is_sent(alert).await, "an alert is published, but not marked as such");
        Ok(true)
    }

    async fn send(&self, alert: &Alert) -> Result<(), AlertError> {
        let publish = self.sns.publish().topic_arn(&self.topic_arn).subject(notice::subject(alert));
        let sent = publish.message(notice::message(alert).to_string()).send().await;
        sent.map(drop).map_err(|error| AlertError::Publish(cause(&error)))
    }
}

/// Logs a mark that is not as it should be.
fn note(alert: &Alert, changed: Result<(), LedgerError>, problem: &str) {
    if let Err(error) = changed {
        let Alert { scope, window, threshold, .. } = alert;
        warn!(scope, window, threshold, cause = cause(&error), "{problem}");
    }
}

/// The alerts of one batch.
#[derive(Debug)]
pub struct Round<'a> {
    alerts: &'a Alerts,
    now: DateTime<Utc>,
    /// Alerts that a message of the batch has brought; it is that message that brings them again if need be.
    seen: HashSet<(String, String, u8)>,
    /// One alert could not be published. The others go through the same table and the same topic, and the function's time is short:
    /// they wait for the next delivery.
    broken: bool,
}

impl Round<'_> {
    /// Publishes what nobody has published of the alerts that are `due` by a message. Returns those that it published, or `None` when the
    /// message must be delivered again.
    pub async fn publish(&mut self, due: &[Alert]) -> Option<Vec<Alert>> {
        let mut published = Vec::new();
        let mut complete = true;
        for alert in due {
            if !self.seen.insert((alert.scope.clone(), alert.window_key.clone(), alert.threshold)) {
                continue;
            }
            if self.broken {
                complete = false;
                continue;
            }
            match self.alerts.publish(alert, self.now).await {
                Ok(true) => published.push(alert.clone()),
                Ok(false) => {}
                Err(problem) => {
                    let Alert { scope, window, threshold, .. } = alert;
                    error!(scope, window, threshold, "an alert is not published, and will be tried again: {problem}");
                    (self.broken, complete) = (true, false);
                }
            }
        }
        complete.then_some(published)
    }
}
