//! The Lambda function behind the states `Settle` and `Cancel Reservation`.

use std::time::Duration;

use chrono::Utc;
use fn_settle::{AnswersTable, MetricsQueue, Settler};
use sentry_lambda::{StartError, env};
use sentry_ledger::Ledger;

/// Time limit of one attempt, which usually takes milliseconds. A slower attempt is retried.
const ATTEMPT: Duration = Duration::from_millis(800);
/// Time limit of all attempts of one operation. The function has time for a settlement and a message, so it reports its
/// own error.
const OPERATION: Duration = Duration::from_millis(1_800);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let (table, requests) = (env::required("SENTRY_LEDGER_TABLE")?, env::required("SENTRY_REQUESTS_TABLE")?);
    let queue = env::required("SENTRY_METRICS_QUEUE_URL")?;
    let seconds = env::parsed("SENTRY_MODEL_TIMEOUT_SECONDS", "a whole number of seconds")?;
    let config = sentry_lambda::aws_config(ATTEMPT, OPERATION).await;
    let (dynamodb, sqs) = (aws_sdk_dynamodb::Client::new(&config), aws_sdk_sqs::Client::new(&config));
    tokio::join!(
        sentry_lambda::warm_up(|greeting| dynamodb.list_tables().customize().interceptor(greeting).send()),
        sentry_lambda::warm_up(|greeting| sqs.list_queues().customize().interceptor(greeting).send()),
    );
    let kept = AnswersTable::from_environment(&dynamodb)?;
    let (ledger, queue) = (Ledger::new(dynamodb, table, requests), MetricsQueue::new(sqs, queue));
    let settler = &Settler::new(ledger, queue, Duration::from_secs(seconds)).keeping(kept);
    sentry_lambda::run(move |event| async move { settler.settle(event, Utc::now()).await }).await
}
