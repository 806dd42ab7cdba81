//! The Lambda function behind the state `Lookup Limit`.

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use chrono::Utc;
use fn_lookup_limit::{BudgetTags, InvalidBudgetTags, LimitsTable};
use sentry_contract::states::LookupLimitInput;
use sentry_lambda::{StartError, env};

/// A read takes milliseconds; past this the attempt is repeated.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Less than the function has, so that its own error is the one that is seen.
const OPERATION: Duration = Duration::from_secs(4);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let name = env::required("SENTRY_LIMITS_TABLE")?;
    let tags = std::env::var("SENTRY_BUDGET_TAGS").unwrap_or_default();
    let tags: BudgetTags = tags.parse().map_err(|error: InvalidBudgetTags| StartError::Unusable(error.to_string()))?;
    let client = Client::new(&sentry_lambda::aws_config(ATTEMPT, OPERATION).await);
    sentry_lambda::warm_up(|greeting| client.list_tables().customize().interceptor(greeting).send()).await;
    let table = &LimitsTable::new(client, name, tags);
    sentry_lambda::run(move |input: LookupLimitInput| async move { table.lookup(&input, Utc::now()).await }).await
}
