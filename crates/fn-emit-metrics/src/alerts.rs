//! Budget alerts. Each is published once a window, by the invocation that claims it first.

use std::collections::HashSet;

use aws_sdk_sns::Client as Sns;
use aws_sdk_sns::error::BuildError;
use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::states::ResponseChange;
use sentry_domain::Alert;
use sentry_history::{History, HistoryError};
use sentry_lambda::cause;
use sentry_ledger::{Claim, Ledger, LedgerError};
use thiserror::Error;
use tracing::{error, warn};

use crate::{notice, responses};

/// Duration of a claim. It is longer than an invocation (75 s), so no other invocation publishes while the claimer is
/// alive. It is shorter than the time until the queue delivers the message again (750 s), so the next invocation can
/// take over after a crash.
const CLAIM: TimeDelta = TimeDelta::seconds(120);

/// Publishes alerts to a topic.
#[derive(Debug)]
pub struct Alerts {
    ledger: Ledger,
    sns: Sns,
    topic_arn: String,
    /// The table that remembers automated responses. `None` if no limit has one.
    history: Option<History>,
}

/// The reason why an alert is not published and must be retried.
#[derive(Debug, Error)]
enum AlertError {
    #[error("it cannot be claimed in the ledger: {}", cause(.0))]
    Claim(#[from] LedgerError),
    #[error("its attributes cannot be built: {0}")]
    Attributes(#[from] BuildError),
    #[error("SNS did not take it: {0}")]
    Publish(String),
    #[error("its automated response cannot be remembered: {}", cause(.0))]
    Response(#[from] HistoryError),
}

impl Alerts {
    /// Publishes to the topic `topic_arn` the alerts that `ledger` does not know as published.
    #[must_use]
    pub const fn new(ledger: Ledger, sns: Sns, topic_arn: String) -> Self {
        Self { ledger, sns, topic_arn, history: None }
    }

    /// The same, but automated responses that alerts set are remembered in `history`.
    #[must_use]
    pub fn remembering(self, history: History) -> Self {
        Self { history: Some(history), ..self }
    }

    /// Starts publishing the alerts of a batch that is read at `now`.
    pub(crate) fn round(&self, now: DateTime<Utc>) -> Round<'_> {
        Round { alerts: self, now, seen: HashSet::new(), broken: false }
    }

    /// Publishes `alert` unless it was published or is claimed. Returns `true` if this call published it.
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
        let response = match self.tell(alert, now).await {
            Ok(response) => response,
            Err(error) => {
                let given_back = self.ledger.give_back_alert(alert, claimed).await;
                note(alert, given_back, "a claim is not given back; it lapses by itself");
                return Err(error);
            }
        };
        if let Some(response) = response {
            responses::write(&response);
        }
        // If the message were reported, the alert would certainly be published again.
        note(alert, self.ledger.alert_is_sent(alert).await, "an alert is published, but not marked as such");
        Ok(true)
    }

    /// Remembers the response that `alert` sets, then publishes the alert. Returns the response.
    async fn tell(&self, alert: &Alert, now: DateTime<Utc>) -> Result<Option<ResponseChange>, AlertError> {
        let response = match &self.history {
            Some(history) => responses::remember(history, alert, now).await?,
            None => ResponseChange::set_by(alert, now),
        };
        self.send(alert).await?;
        Ok(response)
    }

    async fn send(&self, alert: &Alert) -> Result<(), AlertError> {
        let mut publish = self.sns.publish().topic_arn(&self.topic_arn).subject(notice::subject(alert));
        for (name, value) in notice::attributes(alert)? {
            publish = publish.message_attributes(name, value);
        }
        let sent = publish.message(notice::message(alert).to_string()).send().await;
        sent.map(drop).map_err(|error| AlertError::Publish(cause(&error)))
    }
}

/// Logs a failed change of an alert's mark.
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
    /// Alerts of earlier messages of the batch. If one of them fails, its own message is delivered again.
    seen: HashSet<(String, String, u8)>,
    /// `true` after an alert could not be published. The other alerts use the same table and the same topic, and the
    /// function has little time, so they wait for the next delivery.
    broken: bool,
}

impl Round<'_> {
    /// Publishes the alerts in `due`, which are those of one message, unless they were published before. Returns the
    /// alerts that this call published, or `None` if the message must be delivered again.
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
