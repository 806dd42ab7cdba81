//! The Lambda function that a schedule starts every minute.

use std::time::Duration;

use chrono::Utc;
use fn_index_profiles::IndexProfiles;
use sentry_lambda::{StartError, env};
use sentry_profiles::{Directory, Listing, SharedProfiles};
use serde::de::IgnoredAny;

/// Time limit of one attempt. A page of `GetResources` usually takes less than a second. A slower attempt is retried.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Time limit of all attempts of one call.
const OPERATION: Duration = Duration::from_secs(12);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let table = env::required("SENTRY_LEDGER_TABLE")?;
    let config = sentry_lambda::aws_config(ATTEMPT, OPERATION).await;
    let bedrock = aws_sdk_bedrock::Client::new(&config);
    let directory = Directory::new(bedrock, aws_sdk_resourcegroupstagging::Client::new(&config));
    let listing = Listing::new(directory, env::optional("SENTRY_PROFILE_MAP"), &config);
    let shared = SharedProfiles::new(aws_sdk_dynamodb::Client::new(&config), table);
    let job = &IndexProfiles::new(listing, shared, aws_sdk_cloudwatch::Client::new(&config));
    sentry_lambda::run(move |_event: IgnoredAny| job.run(Utc::now)).await
}
