//! The Lambda function that a schedule starts, every minute by default.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use fn_watch_usage::{Queues, Watch};
use sentry_history::History;
use sentry_lambda::{StartError, env};
use serde::de::IgnoredAny;

/// Time limit of one attempt. A page of CloudWatch usually takes less than a second. A slower attempt is retried.
const ATTEMPT: Duration = Duration::from_secs(5);
/// Time limit of all attempts of one call.
const OPERATION: Duration = Duration::from_secs(12);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let table = env::required("SENTRY_USAGE_TABLE")?;
    let history_days: u16 = env::parsed("SENTRY_HISTORY_DAYS", "a whole number of days")?;
    let window_seconds: u16 = env::parsed("SENTRY_METRICS_WINDOW_SECONDS", "a whole number of seconds")?;
    let queues = Queues {
        messages: env::required("SENTRY_METRICS_QUEUE_NAME")?,
        dead_letters: env::required("SENTRY_DEAD_LETTER_QUEUE_NAME")?,
    };
    let config = sentry_lambda::aws_config(ATTEMPT, OPERATION).await;
    let history = History::new(aws_sdk_dynamodb::Client::new(&config), table).keeping(history_days);
    let client = aws_sdk_cloudwatch::Client::new(&config);
    let watch = &Watch::new(client, history, queues, TimeDelta::seconds(window_seconds.into()));
    sentry_lambda::run(move |_event: IgnoredAny| watch.run(Utc::now())).await
}
