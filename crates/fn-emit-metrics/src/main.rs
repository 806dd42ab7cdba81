//! The Lambda function behind the metrics queue.

use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use fn_emit_metrics::{Batch, Emitter};
use sentry_lambda::StartError;

/// A put takes milliseconds; past this the attempt is repeated.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Less than the function has, so that its own error is the one that is seen.
const OPERATION: Duration = Duration::from_secs(6);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let emitter = &Emitter::new(Client::new(&sentry_lambda::aws_config(ATTEMPT, OPERATION).await));
    sentry_lambda::run(move |batch: Batch| async move { Ok(emitter.emit(batch).await) }).await
}
