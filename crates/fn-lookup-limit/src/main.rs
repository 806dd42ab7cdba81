//! The Lambda function behind the state `Lookup Limit`.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use chrono::Utc;
use fn_lookup_limit::{BudgetTags, InvalidBudgetTags, LimitsTable};
use sentry_contract::states::LookupLimitInput;
use sentry_lambda::{StartError, env};

/// Time limit of one attempt, which usually takes milliseconds. A slower attempt is retried.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Time limit of all attempts. It is shorter than the function's own, so the function reports its own error.
const OPERATION: Duration = Duration::from_secs(4);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let name = env::required("SENTRY_LIMITS_TABLE")?;
    let tags = std::env::var("SENTRY_BUDGET_TAGS").unwrap_or_default();
    let tags: BudgetTags = tags.parse().map_err(|error: InvalidBudgetTags| StartError::Invalid(error.to_string()))?;
    let client = Client::new(&sentry_lambda::aws_config(ATTEMPT, OPERATION).await);
    sentry_lambda::warm_up(|greeting| client.list_tables().customize().interceptor(greeting).send()).await;
    let table = &LimitsTable::new(client, name, tags);
    sentry_lambda::run(move |input: LookupLimitInput| async move { table.lookup(&input, Utc::now()).await }).await
}
