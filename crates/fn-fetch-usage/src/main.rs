//! The Lambda function behind the state `Fetch Usage`.

use std::time::Duration;

use chrono::Utc;
use fn_fetch_usage::{SharedFigures, UsageSource};
use sentry_contract::usage::FetchUsageInput;
use sentry_lambda::{StartError, env};

/// Time limit of one attempt. A query of six metrics takes well under a second. A slower attempt is retried.
const ATTEMPT: Duration = Duration::from_millis(1_500);
/// Time limit of all attempts. Together with the read of the shared figure before and its renewal after, it is shorter
/// than the function's 7 seconds, so the function reports its own error.
const OPERATION: Duration = Duration::from_millis(3_500);
/// Time limit of one attempt to read or write an item, which usually takes milliseconds.
const ITEM_ATTEMPT: Duration = Duration::from_millis(300);
const ITEM_OPERATION: Duration = Duration::from_millis(500);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let table = env::required("SENTRY_LEDGER_TABLE")?;
    let seconds = env::parsed("SENTRY_USAGE_CACHE_SECONDS", "a whole number of seconds")?;
    let cloudwatch = aws_sdk_cloudwatch::Client::new(&sentry_lambda::aws_config(ATTEMPT, OPERATION).await);
    let dynamodb = aws_sdk_dynamodb::Client::new(&sentry_lambda::aws_config(ITEM_ATTEMPT, ITEM_OPERATION).await);
    tokio::join!(
        sentry_lambda::warm_up(|greeting| cloudwatch.list_dashboards().customize().interceptor(greeting).send()),
        sentry_lambda::warm_up(|greeting| dynamodb.list_tables().customize().interceptor(greeting).send()),
    );
    let source = &UsageSource::new(cloudwatch, SharedFigures::new(dynamodb, table), seconds);
    sentry_lambda::run(move |input: FetchUsageInput| async move { source.fetch(&input, Utc::now()).await }).await
}
