//! The Lambda function behind the metrics queue.

use std::time::Duration;

use chrono::Utc;
use fn_emit_metrics::{Alerts, Emitter, LateSettlements, MetricValues, UsageHistory};
use sentry_history::History;
use sentry_lambda::sqs::Batch;
use sentry_lambda::{StartError, env};
use sentry_ledger::Ledger;

/// Time limit of one attempt, which usually takes milliseconds. A slower attempt is retried.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Time limit of all attempts. It is shorter than the function's own, so the function reports its own error.
const OPERATION: Duration = Duration::from_secs(6);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let (table, requests) = (env::required("SENTRY_LEDGER_TABLE")?, env::required("SENTRY_REQUESTS_TABLE")?);
    let topic_arn = env::required("SENTRY_ALERT_TOPIC_ARN")?;
    let usage = env::required("SENTRY_USAGE_TABLE")?;
    let history_days: u16 = env::parsed("SENTRY_HISTORY_DAYS", "a whole number of days")?;
    let most_values: usize = env::parsed("SENTRY_METRIC_VALUES", "a whole number of values")?;
    let budget_tags = std::env::var("SENTRY_BUDGET_TAGS").unwrap_or_default();
    let config = sentry_lambda::aws_config(ATTEMPT, OPERATION).await;
    let (dynamodb, sns) = (aws_sdk_dynamodb::Client::new(&config), aws_sdk_sns::Client::new(&config));
    let ledger = Ledger::new(dynamodb.clone(), table, requests);
    let values = MetricValues::new(dynamodb.clone(), usage.clone(), most_values);
    let history = History::new(dynamodb, usage).keeping(history_days);
    let late = LateSettlements::new(ledger.clone());
    let alerts = Alerts::new(ledger, sns, topic_arn).remembering(history.clone());
    let history = UsageHistory::new(history, &budget_tags);
    let emitter = &Emitter::new(aws_sdk_cloudwatch::Client::new(&config), late, history, alerts, values);
    sentry_lambda::run(move |batch: Batch| async move { Ok(emitter.emit(batch, Utc::now()).await) }).await
}
