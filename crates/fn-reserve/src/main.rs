//! The Lambda function behind the state `Reserve`.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use chrono::{TimeDelta, Utc};
use fn_reserve::Reserver;
use sentry_history::History;
use sentry_lambda::{StartError, env};
use sentry_ledger::Ledger;

/// Time limit of one attempt, which usually takes milliseconds. A slower attempt is retried.
const ATTEMPT: Duration = Duration::from_millis(800);
/// Time limit of all attempts of one operation. The function has time for two operations, so it reports its own error.
const OPERATION: Duration = Duration::from_secs(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let (table, requests) = (env::required("SENTRY_LEDGER_TABLE")?, env::required("SENTRY_REQUESTS_TABLE")?);
    let hold_seconds: u32 = env::parsed("SENTRY_HOLD_SECONDS", "a whole number of seconds")?;
    let client = Client::new(&sentry_lambda::aws_config(ATTEMPT, OPERATION).await);
    sentry_lambda::warm_up(|greeting| client.list_tables().customize().interceptor(greeting).send()).await;
    let history = History::new(client.clone(), env::required("SENTRY_USAGE_TABLE")?);
    let ledger = Ledger::new(client, table, requests).with_history(history);
    let reserver = &Reserver::new(ledger, TimeDelta::seconds(hold_seconds.into()));
    sentry_lambda::run(move |input| async move { reserver.reserve(input, Utc::now()).await }).await
}
