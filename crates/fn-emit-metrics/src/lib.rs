#![doc = include_str!("../README.md")]

mod metrics;

use aws_sdk_cloudwatch::Client;
use sentry_contract::METRIC_NAMESPACE;
use sentry_contract::states::MetricsRecord;
use sentry_lambda::cause;
use serde::{Deserialize, Serialize};
use tracing::{error, info};

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
        let mut data = Vec::new();
        for message in batch.records {
            match read(&message.body) {
                Ok((record, metrics)) => {
                    data.extend(metrics);
                    readable.push((message.message_id, record));
                }
                Err(problem) => {
                    error!(message_id = message.message_id, problem, "a message of the metrics queue cannot be read");
                    failed.push(message.message_id);
                }
            }
        }
        if !data.is_empty() {
            match self.client.put_metric_data().namespace(METRIC_NAMESPACE).set_metric_data(Some(data)).send().await {
                Ok(_) => readable.iter().for_each(|(_, record)| audit(record)),
                Err(error) => {
                    error!(
                        messages = readable.len(),
                        cause = cause(&error),
                        "CloudWatch did not store the metrics; they are delivered again"
                    );
                    failed.extend(readable.into_iter().map(|(id, _)| id));
                }
            }
        }
        BatchAnswer { batch_item_failures: failed.into_iter().map(|id| ItemFailure { item_identifier: id }).collect() }
    }
}

fn read(body: &str) -> Result<(MetricsRecord, Vec<aws_sdk_cloudwatch::types::MetricDatum>), String> {
    let record: MetricsRecord = serde_json::from_str(body)
        .map_err(|error| format!("{:?} error at column {}", error.classify(), error.column()))?;
    let metrics = metrics::of(&record)?;
    Ok((record, metrics))
}

/// The audit line: who asked for what, how it ended, what it took. No prompt and no answer comes this far.
fn audit(record: &MetricsRecord) {
    let tokens = record.usage.map(|usage| usage.tokens).unwrap_or_default();
    info!(
        outcome = ?record.outcome,
        code = record.code.map_or("", |code| code.name()),
        model = record.model.requested,
        model_id = record.model.model_id,
        input_tokens = tokens.read(),
        output_tokens = tokens.output,
        tags = serde_json::to_string(&record.tags).unwrap_or_default(),
        "request"
    );
}

#[cfg(test)]
mod tests;
