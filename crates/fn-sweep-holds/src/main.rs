//! The Lambda function that a schedule starts every minute.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use chrono::Utc;
use fn_sweep_holds::sweep;
use sentry_lambda::{StartError, env};
use sentry_ledger::Ledger;
use serde::de::IgnoredAny;

/// A page of a scan takes tens of milliseconds; past this the attempt is repeated.
const ATTEMPT: Duration = Duration::from_secs(3);
/// All attempts of one page.
const OPERATION: Duration = Duration::from_secs(8);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let (table, requests) = (env::required("SENTRY_LEDGER_TABLE")?, String::new());
    let client = Client::new(&sentry_lambda::aws_config(ATTEMPT, OPERATION).await);
    let ledger = &Ledger::new(client, table, requests);
    sentry_lambda::run(move |_event: IgnoredAny| sweep(ledger, Utc::now)).await
}
