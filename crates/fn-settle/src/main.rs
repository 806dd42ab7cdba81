//! The Lambda function behind the states `Settle` and `Cancel Reservation`.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use chrono::Utc;
use fn_settle::Settler;
use sentry_lambda::{StartError, env};
use sentry_ledger::Ledger;

/// A write takes milliseconds; past this the attempt is repeated.
const ATTEMPT: Duration = Duration::from_millis(800);
/// All attempts of one operation. The function has time for two of them, and its own error is the one that is seen.
const OPERATION: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let (table, requests) = (env::required("SENTRY_LEDGER_TABLE")?, env::required("SENTRY_REQUESTS_TABLE")?);
    let client = Client::new(&sentry_lambda::aws_config(ATTEMPT, OPERATION).await);
    sentry_lambda::warm_up(|greeting| client.list_tables().customize().interceptor(greeting).send()).await;
    let settler = &Settler::new(Ledger::new(client, table, requests));
    sentry_lambda::run(move |event| async move { settler.settle(event, Utc::now()).await }).await
}
