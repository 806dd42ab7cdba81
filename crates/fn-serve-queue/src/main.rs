//! The Lambda function behind the request queue.

use std::time::Duration;

use chrono::TimeDelta;
use fn_serve_queue::{AnswersTable, EventBus, Limiter, Queues, Worker};
use sentry_lambda::sqs::Batch;
use sentry_lambda::{StartError, env};

/// Time limit of one attempt, which usually takes milliseconds. A slower attempt is retried.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Time limit of all attempts of one call. An execution of the rate limiter has its own.
const OPERATION: Duration = Duration::from_secs(5);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let limiter = env::required("SENTRY_RATE_LIMITER_ARN")?;
    let answers = env::required("SENTRY_ANSWERS_TABLE")?;
    let requests = env::required("SENTRY_REQUEST_QUEUE_URL")?;
    let dead_letters = env::required("SENTRY_DEAD_LETTER_QUEUE_URL")?;
    let hours: u16 = env::parsed("SENTRY_KEEP_ANSWERS_HOURS", "a whole number of hours")?;
    let replies = std::env::var("SENTRY_REPLY_QUEUE_ARNS").unwrap_or_default();
    let replies = replies.split(',').map(str::trim).filter(|arn| !arn.is_empty()).map(str::to_owned).collect();
    let config = sentry_lambda::aws_config(ATTEMPT, OPERATION).await;
    let dynamodb = aws_sdk_dynamodb::Client::new(&config);
    let worker = &Worker::new(
        Limiter::new(Limiter::client(&config), limiter),
        AnswersTable::new(dynamodb, answers, TimeDelta::hours(hours.into())),
        Queues::new(aws_sdk_sqs::Client::new(&config), requests, dead_letters),
        EventBus::new(aws_sdk_eventbridge::Client::new(&config)),
        replies,
    );
    sentry_lambda::run(move |batch: Batch| async move { Ok(worker.serve(batch).await) }).await
}
