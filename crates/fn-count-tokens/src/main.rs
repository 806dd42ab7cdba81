//! The Lambda function behind the state `Count Tokens`.

use std::time::{Duration, Instant};

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::Builder;
use aws_sdk_bedrockruntime::config::retry::RetryConfig;
use fn_count_tokens::TokenCounter;
use sentry_contract::states::CountTokensInput;
use sentry_lambda::StartError;

/// Time limit of one attempt, which usually takes a fraction of a second. A slower attempt is retried.
const ATTEMPT: Duration = Duration::from_millis(800);
/// Time limit of all attempts, shorter than the function's two seconds. The request waits for the count, but does not
/// need it.
const OPERATION: Duration = Duration::from_millis(1_800);
/// Maximum number of attempts. More do not fit into `OPERATION`.
const ATTEMPTS: u32 = 2;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), StartError> {
    let config = sentry_lambda::aws_config(ATTEMPT, OPERATION).await;
    let retries = RetryConfig::standard().with_max_attempts(ATTEMPTS).with_initial_backoff(Duration::from_millis(100));
    let client = Client::from_conf(Builder::from(&config).retry_config(retries).build());
    let counter = &TokenCounter::new(client);
    sentry_lambda::run(move |input: CountTokensInput| async move { Ok(counter.count(&input, Instant::now()).await) })
        .await
}
