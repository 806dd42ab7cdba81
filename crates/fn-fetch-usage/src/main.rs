//! The Lambda function behind the state `Fetch Usage`.

use std::time::{Duration, Instant};

use aws_sdk_cloudwatch::Client;
use chrono::Utc;
use fn_fetch_usage::UsageSource;
use sentry_contract::states::FetchUsageInput;
use sentry_lambda::{StartError, env};

/// A query of six metrics takes well under a second; past this the attempt is repeated.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Less than the function has, so that its own error is the one that is seen.
const OPERATION: Duration = Duration::from_secs(4);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let seconds = env::parsed("SENTRY_USAGE_CACHE_SECONDS", "a whole number of seconds")?;
    let client = Client::new(&sentry_lambda::aws_config(ATTEMPT, OPERATION).await);
    let source = &UsageSource::new(client, Duration::from_secs(seconds));
    sentry_lambda::run(
        move |input: FetchUsageInput| async move { source.fetch(&input, Utc::now(), Instant::now()).await },
    )
    .await
}
