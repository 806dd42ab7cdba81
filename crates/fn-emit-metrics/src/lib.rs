#![doc = include_str!("../README.md")]

mod alerts;
mod audit;
mod budget;
mod call;
mod history;
mod late;
mod latency;
mod metrics;
mod notice;
mod responses;
mod values;

pub use alerts::Alerts;
use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::MetricDatum;
use call::Ready;
use chrono::{DateTime, Utc};
pub use history::UsageHistory;
pub use late::LateSettlements;
use late::Left;
use metrics::NoTimestamp;
use sentry_contract::METRIC_NAMESPACE;
use sentry_contract::states::{MetricsRecord, QueuedTask};
use sentry_domain::Alert;
use sentry_lambda::cause;
use sentry_lambda::sqs::{Batch, BatchAnswer, ItemFailure, Record};
use thiserror::Error as ThisError;
use tracing::error;
pub use values::MetricValues;

/// The dimension of metrics that concern a budget.
const SCOPE: &str = "Scope";

/// Makes late settlements, counts requests in the usage history, publishes alerts, stores metrics and writes audit
/// lines.
#[derive(Debug)]
pub struct Emitter {
    client: Client,
    late: LateSettlements,
    history: UsageHistory,
    alerts: Alerts,
    values: MetricValues,
}

impl Emitter {
    /// Stores metrics with the dimension values of `values` through `client`, settles through `late`, counts in `history`
    /// and publishes through `alerts`.
    #[must_use]
    pub const fn new(
        client: Client,
        late: LateSettlements,
        history: UsageHistory,
        alerts: Alerts,
        values: MetricValues,
    ) -> Self {
        Self { client, late, history, alerts, values }
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
        for Record { message_id, body, .. } in batch.records {
            match read(&body) {
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
        let mut values = self.values.round();
        for ((message_id, request), counted) in settled.into_iter().zip(counted) {
            let published = round.publish(&request.record.alerts).await;
            let (Some(published), true) = (published, counted) else {
                failed.push(message_id);
                continue;
            };
            ready.push((message_id, of_request(request, &published, &mut values, now).await));
        }
        for (message_id, alerts) in swept {
            let Some(published) = round.publish(&alerts).await else {
                failed.push(message_id);
                continue;
            };
            let metrics = of_alerts(&published, &mut values, now).await;
            if !metrics.is_empty() {
                ready.push((message_id, Ready { metrics, ..Ready::default() }));
            }
        }
        for group in call::groups(ready) {
            failed.extend(self.store_all(group).await);
        }
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
        let data = call::data(requests.clone().into_iter().collect::<Vec<_>>().into_iter());
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
    /// The time at which the request was validated.
    at: DateTime<Utc>,
}

/// The metrics of a request whose alerts in `published` were published. Alerts are counted at the time of the request that
/// caused them.
async fn of_request(
    Request { record, at }: Request,
    published: &[Alert],
    values: &mut values::Round<'_>,
    now: DateTime<Utc>,
) -> Ready {
    let five = values.combination(at, metrics::five(&record)).await;
    let mut metrics = metrics::of(&record, &five, at, now);
    metrics.extend(of_alerts(published, values, at).await);
    // A late settlement has the figures of now.
    let figures_at = record.times.last().filter(|_| record.settlement.is_none()).unwrap_or(now);
    let mut used = budget::of(&record.budget, figures_at);
    for used in &mut used {
        used.scope = values.shown(SCOPE, at, metrics::accepted(&used.scope)).await;
    }
    let [_, model_id, ..] = &five;
    let durations = latency::of(&record, model_id, at);
    Ready { metrics, used, durations, record: Some(record) }
}

async fn of_alerts(published: &[Alert], values: &mut values::Round<'_>, at: DateTime<Utc>) -> Vec<MetricDatum> {
    let mut metrics = Vec::new();
    for alert in published {
        let scope = values.shown(SCOPE, at, metrics::accepted(&alert.scope)).await;
        metrics.push(metrics::published(alert, &scope, metrics::time(at)));
    }
    metrics
}

/// A message that no version of the sentry sends. Its content is left out, because logs have no texts of requests.
#[derive(Debug, ThisError)]
enum UnreadableMessage {
    #[error("{:?} error at column {}", .0.classify(), .0.column())]
    Syntax(serde_json::Error),
    #[error(transparent)]
    Timestamp(#[from] NoTimestamp),
}

fn read(body: &str) -> Result<Understood, UnreadableMessage> {
    if let Ok(task) = serde_json::from_str(body) {
        return Ok(Understood::Task(task));
    }
    let record: MetricsRecord = serde_json::from_str(body).map_err(UnreadableMessage::Syntax)?;
    let at = metrics::instant(&record)?;
    Ok(Understood::Request(Box::new(Request { record, at })))
}

#[cfg(test)]
mod tests;
