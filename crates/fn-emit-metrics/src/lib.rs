#![doc = include_str!("../README.md")]

mod alerts;
mod audit;
mod history;
mod late;
mod metrics;
mod notice;
mod responses;

pub use alerts::Alerts;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::MetricDatum;
use chrono::{DateTime, Utc};
pub use history::UsageHistory;
pub use late::LateSettlements;
use late::Left;
use metrics::NoTimestamp;
use sentry_contract::METRIC_NAMESPACE;
use sentry_contract::states::{MetricsRecord, QueuedTask};
use sentry_lambda::cause;
use serde::{Deserialize, Serialize};
use thiserror::Error as ThisError;
use tracing::error;

/// Messages of the metrics queue, as Lambda's event source mapping sends them.
#[derive(Debug, Deserialize)]
pub struct Batch {
    /// The messages of this delivery.
    #[serde(rename = "Records")]
    pub records: Vec<Message>,
}

/// One message of the queue.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// The id that SQS gave the message.
    pub message_id: String,
    /// A [`MetricsRecord`] or a [`QueuedTask`], as JSON.
    pub body: String,
}

/// The messages that must be delivered again (`ReportBatchItemFailures`).
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    /// Empty if every message succeeded.
    pub batch_item_failures: Vec<ItemFailure>,
}

/// One message that must be delivered again.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFailure {
    /// The id that SQS gave the message.
    pub item_identifier: String,
}

/// Makes late settlements, counts requests in the usage history, publishes alerts, stores metrics and writes audit
/// lines.
#[derive(Debug)]
pub struct Emitter {
    client: Client,
    late: LateSettlements,
    history: UsageHistory,
    alerts: Alerts,
}

impl Emitter {
    /// Stores metrics through `client`, settles through `late`, counts in `history` and publishes through `alerts`.
    #[must_use]
    pub const fn new(client: Client, late: LateSettlements, history: UsageHistory, alerts: Alerts) -> Self {
        Self { client, late, history, alerts }
    }

    /// Processes a batch that is read at `now`. It makes the late settlements and cancellations, counts the requests in
    /// the usage history, publishes the alerts, and then stores the metrics in one call. A message that cannot be read,
    /// settled, counted, published or stored is reported for another delivery.
    ///
    /// Metrics come last because they cannot be repeated. A message that fails before them has no metrics yet. The
    /// history comes after the settlement, so it counts the same usage as the ledger. The history and the alerts are
    /// independent of each other, because both can be repeated. If the topic takes no alerts, requests are still
    /// counted in the history. If the history cannot be written, alerts are still published.
    pub async fn emit(&self, batch: Batch, now: DateTime<Utc>) -> BatchAnswer {
        let mut failed = Vec::new();
        let (mut understood, mut swept, mut given_up) = (Vec::new(), Vec::new(), Vec::new());
        for Message { message_id, body } in batch.records {
            match read(&body, now) {
                Ok(Understood::Request(request)) => understood.push((message_id, *request)),
                Ok(Understood::Task(QueuedTask::Alerts(alerts))) => swept.push((message_id, alerts)),
                Ok(Understood::Task(QueuedTask::Responses(ended))) => ended.iter().for_each(responses::write),
                Ok(Understood::Task(QueuedTask::Cancellation(input))) => given_up.push((message_id, input)),
                Err(problem) => {
                    error!(message_id, %problem, "a message of the metrics queue cannot be read");
                    failed.push(message_id);
                }
            }
        }
        let settlements = understood.iter_mut().map(|(_, request)| Left::Settlement(&mut request.record));
        let cancellations = given_up.iter().map(|(_, input)| Left::Cancellation(input));
        let mut left: Vec<_> = settlements.chain(cancellations).collect();
        let mut settled = self.late.finish(&mut left, now).await;
        let canceled = settled.split_off(understood.len());
        failed.extend(
            given_up.into_iter().zip(canceled).filter(|(_, done)| !done).map(|((message_id, _), _)| message_id),
        );
        let (settled, unsettled): (Vec<_>, Vec<_>) =
            understood.into_iter().zip(settled).partition(|(_, settled)| *settled);
        failed.extend(unsettled.into_iter().map(|((message_id, _), _)| message_id));
        let settled: Vec<_> = settled.into_iter().map(|(understood, _)| understood).collect();
        let records = settled.iter().map(|(message_id, request)| (message_id.as_str(), &request.record));
        let counted = self.history.count(records, now).await;
        let mut ready = Vec::new();
        let mut round = self.alerts.round(now);
        for ((message_id, Request { record, mut metrics }), counted) in settled.into_iter().zip(counted) {
            let published = round.publish(&record.alerts).await;
            let (Some(published), true) = (published, counted) else {
                failed.push(message_id);
                continue;
            };
            // Alerts are counted at the time of the request that caused them.
            let at = metrics.first().and_then(MetricDatum::timestamp).copied();
            metrics
                .extend(published.iter().zip(at.into_iter().cycle()).map(|(alert, at)| metrics::published(alert, at)));
            ready.push((message_id, Ready { record: Some(record), metrics }));
        }
        for (message_id, alerts) in swept {
            let Some(published) = round.publish(&alerts).await else {
                failed.push(message_id);
                continue;
            };
            let at = metrics::time(now);
            let metrics: Vec<_> = published.iter().map(|alert| metrics::published(alert, at)).collect();
            if !metrics.is_empty() {
                ready.push((message_id, Ready { record: None, metrics }));
            }
        }
        failed.extend(self.store_all(ready).await);
        BatchAnswer { batch_item_failures: failed.into_iter().map(|id| ItemFailure { item_identifier: id }).collect() }
    }

    /// Stores messages together. If CloudWatch rejects them together, stores each alone. Otherwise one bad message
    /// would keep back the others. Returns the ids of messages that are not stored.
    async fn store_all(&self, requests: Vec<(String, Ready)>) -> Vec<String> {
        let all = requests.iter().map(|(_, request)| request);
        if requests.is_empty() || self.store(all).await {
            return Vec::new();
        }
        let alone = requests.len() > 1;
        let mut failed = Vec::new();
        for (id, request) in requests {
            if !(alone && self.store([&request]).await) {
                failed.push(id);
            }
        }
        failed
    }

    /// Stores the metrics of `requests` with one call, then writes their audit lines. Returns `true` if CloudWatch
    /// stored them.
    async fn store(&self, requests: impl IntoIterator<Item = &Ready> + Clone) -> bool {
        let data = requests.clone().into_iter().flat_map(|request| request.metrics.iter().cloned()).collect();
        let put = self.client.put_metric_data().namespace(METRIC_NAMESPACE).set_metric_data(Some(data)).send();
        match put.await {
            Ok(_) => {
                requests.into_iter().filter_map(|request| request.record.as_ref()).for_each(audit::write);
                true
            }
            Err(error) => {
                error!(
                    requests = requests.into_iter().count(),
                    cause = cause(&error),
                    "CloudWatch did not store metrics"
                );
                false
            }
        }
    }
}

#[derive(Debug)]
enum Understood {
    /// The message of a decided request.
    Request(Box<Request>),
    /// A message that belongs to no decided request.
    Task(QueuedTask),
}

#[derive(Debug)]
struct Request {
    record: MetricsRecord,
    metrics: Vec<MetricDatum>,
}

/// A message whose metrics and audit line remain to be written. Messages of the sweep have no audit line.
#[derive(Debug)]
struct Ready {
    record: Option<MetricsRecord>,
    metrics: Vec<MetricDatum>,
}

/// A message that no version of the sentry sends. Its content is left out, because logs have no texts of requests.
#[derive(Debug, ThisError)]
enum UnreadableMessage {
    #[error("{:?} error at column {}", .0.classify(), .0.column())]
    Syntax(serde_json::Error),
    #[error(transparent)]
    Timestamp(#[from] NoTimestamp),
}

fn read(body: &str, now: DateTime<Utc>) -> Result<Understood, UnreadableMessage> {
    if let Ok(task) = serde_json::from_str(body) {
        return Ok(Understood::Task(task));
    }
    let record: MetricsRecord = serde_json::from_str(body).map_err(UnreadableMessage::Syntax)?;
    let metrics = metrics::of(&record, now)?;
    Ok(Understood::Request(Box::new(Request { record, metrics })))
}

#[cfg(test)]
mod tests;
