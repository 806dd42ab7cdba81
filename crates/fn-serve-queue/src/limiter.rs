//! The rate limiter, which decides, calls the model and settles.

use std::time::Duration;

use aws_sdk_sfn::Client;
use aws_sdk_sfn::config::{retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_sfn::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_sfn::operation::start_sync_execution::StartSyncExecutionError;
use sentry_lambda::{SdkConfig, cause, without_sync_prefix};
use serde_json::Value;
use thiserror::Error as ThisError;

/// Time for an execution: the five minutes of an Express workflow, and the way there and back.
const EXECUTION: Duration = Duration::from_secs(305);

/// There is no answer document.
#[derive(Debug, ThisError)]
pub enum NoAnswer {
    /// Step Functions did not answer, so it is unknown if the execution started.
    #[error("Step Functions: {0}")]
    Unreachable(String),
    /// Step Functions does not accept the document, so no execution started.
    #[error("Step Functions does not accept the document")]
    NotAccepted,
    /// The execution ended without a document.
    #[error("the execution ended as {status} ({error})")]
    Ended {
        /// The word of Step Functions for the end.
        status: String,
        /// The name of the error.
        error: String,
    },
}

/// Starts executions of the rate limiter and waits for their answers.
#[derive(Clone, Debug)]
pub struct Limiter {
    client: Client,
    arn: String,
}

impl Limiter {
    /// The state machine `arn`, called through `client`.
    #[must_use]
    pub const fn new(client: Client, arn: String) -> Self {
        Self { client, arn }
    }

    /// A client that waits for an execution and does not repeat a call.
    #[must_use]
    pub fn client(config: &SdkConfig) -> Client {
        let limits = TimeoutConfig::builder().operation_timeout(EXECUTION).operation_attempt_timeout(EXECUTION);
        let config = aws_sdk_sfn::config::Builder::from(config)
            .timeout_config(limits.build())
            .retry_config(RetryConfig::disabled());
        Client::from_conf(config.build())
    }

    /// Sends a document, and returns the answer document.
    ///
    /// # Errors
    /// If there is no answer document. The request may have been paid for, and its `requestId` protects from a second
    /// payment.
    pub async fn ask(&self, document: &str) -> Result<Value, NoAnswer> {
        let call = self.client.start_sync_execution().state_machine_arn(&self.arn).input(document);
        let sent = call.customize().mutate_request(without_sync_prefix).send().await;
        let execution = sent.map_err(|error| no_answer(&error))?;
        let output = execution.output().and_then(|output| serde_json::from_str(output).ok());
        output.ok_or_else(|| NoAnswer::Ended {
            status: execution.status().as_str().to_owned(),
            error: execution.error().unwrap_or("no error name").to_owned(),
        })
    }
}

/// The failure of a call. The message of a service error can quote the document, so only its code is kept.
fn no_answer(error: &SdkError<StartSyncExecutionError>) -> NoAnswer {
    match error.as_service_error() {
        Some(StartSyncExecutionError::InvalidExecutionInput(_)) => NoAnswer::NotAccepted,
        Some(service) => NoAnswer::Unreachable(service.code().unwrap_or("an error without a code").to_owned()),
        None => NoAnswer::Unreachable(cause(error)),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_sfn::types::error::{InvalidExecutionInput, StateMachineDoesNotExist};
    use aws_smithy_mocks::{RuleMode, mock};
    use test_support::mock_client;

    use super::*;

    #[tokio::test]
    async fn a_failure_never_quotes_the_document() {
        let errors: [(fn() -> StartSyncExecutionError, bool); 2] = [
            (
                || {
                    let error = InvalidExecutionInput::builder().message("a secret").build();
                    StartSyncExecutionError::InvalidExecutionInput(error)
                },
                true,
            ),
            (
                || {
                    let error = StateMachineDoesNotExist::builder().message("a secret").build();
                    StartSyncExecutionError::StateMachineDoesNotExist(error)
                },
                false,
            ),
        ];
        for (error, not_accepted) in errors {
            let rule = mock!(Client::start_sync_execution).then_error(error);
            let client = mock_client!(aws_sdk_sfn, RuleMode::MatchAny, &[&rule]);
            let problem = Limiter::new(client, "limiter".to_owned()).ask("{}").await.unwrap_err();
            assert_eq!(matches!(problem, NoAnswer::NotAccepted), not_accepted);
            assert!(!problem.to_string().contains("secret"), "{problem}");
        }
    }
}
