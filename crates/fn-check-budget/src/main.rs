//! The Lambda function behind the state `Check Budget`.

use fn_check_budget::check_budget;
use sentry_lambda::StartError;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    sentry_lambda::run(async |input| Ok(check_budget(input))).await
}
