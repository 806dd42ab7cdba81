#![doc = include_str!("../README.md")]

mod audit;
mod metrics;

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::types::MetricDatum;
use sentry_contract::METRIC_NAMESPACE;
use sentry_contract::states::MetricsRecord;
use sentry_lambda::cause;
use serde::{Deserialize, Serialize};
use tracing::error;

/// Messages of the metrics queue, as Lambda's event source mapping hands them over.
#[derive(Debug, Deserialize)]
pub struct Batch {
    /// The messages.
    #[serde(rename = "Records")]
    pub records: Vec<Message>,
}

/// One message.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Message {
    /// SQS's id.
    pub message_id: String,
    /// The record as JSON.
    pub body: String,
}

/// The messages that must be delivered again (`ReportBatchItemFailures`).
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct BatchAnswer {
    /// Empty when all went well.
    pub batch_item_failures: Vec<ItemFailure>,
}

/// One message that must be delivered again.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ItemFailure {
    /// SQS's id of it.
    pub item_identifier: String,
}

/// Stores metrics and writes audit lines.
#[derive(Debug)]
pub struct Emitter {
    client: Client,
}

impl Emitter {
    /// Stores through `client`.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }

    /// Stores the metrics of a batch in one call; what cannot be read or stored is reported for another delivery.
    pub async fn emit(&self, batch: Batch) -> BatchAnswer {
        let mut failed = Vec::new();
        let mut readable = Vec::new();
        for message in batch.records {
            match read(&message.body) {
                Ok(request) => readable.push((message.message_id, request)),
                Err(problem) => {
                    error!(message_id = message.message_id, problem, "a message of the metrics queue cannot be read");
                    failed.push(message.message_id);
                }
            }
        }
        failed.extend(self.store_all(readable).await);
        BatchAnswer { batch_item_failures: failed.into_iter().map(|id| ItemFailure { item_identifier: id }).collect() }
    }

    /// Stores requests together, or, when CloudWatch refuses them together, each on its own: one that it does not take must not keep
    /// back the others. Returns the ids of those that are not stored.
    async fn store_all(&self, requests: Vec<(String, Request)>) -> Vec<String> {
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

    /// Puts the metrics of `requests` with one call, then writes their audit lines. Whether it worked.
    async fn store(&self, requests: impl IntoIterator<Item = &Request> + Clone) -> bool {
        let data = requests.clone().into_iter().flat_map(|request| request.metrics.iter().cloned()).collect();
        let put = self.client.put_metric_data().namespace(METRIC_NAMESPACE).set_metric_data(Some(data)).send();
        match put.await {
            Ok(_) => {
                requests.into_iter().for_each(|request| audit::write(&request.record));
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

/// A message, understood.
#[derive(Debug)]
struct Request {
    record: MetricsRecord,
    metrics: Vec<MetricDatum>,
}

fn read(body: &str) -> Result<Request, String> {
    let record: MetricsRecord = serde_json::from_str(body)
        .map_err(|error| format!("{:?} error at column {}", error.classify(), error.column()))?;
    let metrics = metrics::of(&record)?;
    Ok(Request { record, metrics })
}

#[cfg(test)]
mod tests;
