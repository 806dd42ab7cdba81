//! The Lambda function behind the state `Month Range`.

use chrono::Utc;
use fn_month_range::month_range;
use sentry_lambda::StartError;
use serde_json::Value;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    sentry_lambda::run(async |_: Value| month_range(Utc::now())).await
}
