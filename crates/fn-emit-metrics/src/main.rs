//! The Lambda function behind the metrics queue.

use std::time::Duration;

use chrono::Utc;
use fn_emit_metrics::{Alerts, Batch, Emitter};
use sentry_lambda::{StartError, env};

/// A call takes milliseconds; past this the attempt is repeated.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Less than the function has, so that its own error is the one that is seen.
const OPERATION: Duration = Duration::from_secs(6);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let table = env::required("SENTRY_LEDGER_TABLE")?;
    let topic_arn = env::required("SENTRY_ALERT_TOPIC_ARN")?;
    let config = sentry_lambda::aws_config(ATTEMPT, OPERATION).await;
    let (ledger, sns) = (aws_sdk_dynamodb::Client::new(&config), aws_sdk_sns::Client::new(&config));
    let alerts = Alerts::new(ledger, table, sns, topic_arn);
    let emitter = &Emitter::new(aws_sdk_cloudwatch::Client::new(&config), alerts);
    sentry_lambda::run(move |batch: Batch| async move { Ok(emitter.emit(batch, Utc::now()).await) }).await
}
