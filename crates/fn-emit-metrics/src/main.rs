//! The Lambda function behind the metrics queue.

use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use fn_emit_metrics::{Batch, Emitter};
use sentry_lambda::StartError;

/// A put takes milliseconds; past this the attempt is repeated.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let emitter = &Emitter::new(Client::new(&sentry_lambda::aws_config(ATTEMPT_TIMEOUT).await));
    sentry_lambda::run(move |batch: Batch| async move { Ok(emitter.emit(batch).await) }).await
}
