//! The Lambda function behind the state `Month Range`.

use chrono::Utc;
use fn_month_range::month_range;
use sentry_lambda::StartError;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    sentry_lambda::run(|input| async move { Ok(month_range(input, Utc::now())) }).await
}
