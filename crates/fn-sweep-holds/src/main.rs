//! The Lambda function that a schedule starts every minute.

use std::time::Duration;

use chrono::Utc;
use fn_sweep_holds::{AlertQueue, Responses, sweep};
use sentry_history::History;
use sentry_lambda::{StartError, env};
use sentry_ledger::Ledger;
use serde::de::IgnoredAny;

/// Time limit of one attempt. A page of the index usually takes tens of milliseconds. A slower attempt is retried.
const ATTEMPT: Duration = Duration::from_secs(3);
/// Time limit of all attempts to read one page.
const OPERATION: Duration = Duration::from_secs(8);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let (table, requests) = (env::required("SENTRY_LEDGER_TABLE")?, String::new());
    let queue = env::required("SENTRY_METRICS_QUEUE_URL")?;
    let (usage, limits) = (env::required("SENTRY_USAGE_TABLE")?, env::required("SENTRY_LIMITS_TABLE")?);
    let config = sentry_lambda::aws_config(ATTEMPT, OPERATION).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let responses = &Responses::new(History::new(dynamodb.clone(), usage), dynamodb.clone(), limits);
    let ledger = &Ledger::new(dynamodb, table, requests);
    let queue = &AlertQueue::new(aws_sdk_sqs::Client::new(&config), queue);
    sentry_lambda::run(move |_event: IgnoredAny| async move {
        let ended = responses.end(queue, Utc::now()).await;
        let report = sweep(ledger, queue, Utc::now).await?;
        ended.map(|_| report)
    })
    .await
}
