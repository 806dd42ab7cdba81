//! The mark of an alert in the ledger: who publishes it, and that it is published.
//!
//! It is an attribute of the item that the alert is about, so it lives as long as the window's figures do. Its value is the
//! second until which somebody publishes, or [`SENT`].

use std::time::Duration;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use backon::{ExponentialBuilder, Retryable};
use sentry_contract::states::Alert;
use sentry_lambda::cause;

/// The value of a mark whose alert is published: a second that no lease reaches.
const SENT: i64 = 9_999_999_999;

/// Why a mark is not changed.
#[derive(Debug)]
pub enum Unchanged {
    /// Somebody else has published the alert, or is about to.
    Taken,
    /// The window's item is deleted.
    ItemGone,
    /// DynamoDB did not do it, or its answer is lost.
    Failed(String),
}

/// The marks of all alerts.
#[derive(Debug)]
pub struct Marks {
    client: Client,
    table: String,
}

impl Marks {
    /// Marks in the ledger `table`.
    pub fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Takes the mark until the second `lease`, unless it is published or somebody else has it at the second `now`.
    ///
    /// One attempt at the SDK's level: the repetition of one that was done would find the mark taken, by itself. A claim whose
    /// answer is lost lapses with its lease.
    pub async fn claim(&self, alert: &Alert, now: i64, lease: i64) -> Result<(), Unchanged> {
        let update = self
            .update(alert, "SET #mark = :lease")
            .condition_expression("attribute_exists(#scope) AND (attribute_not_exists(#mark) OR #mark < :now)")
            .expression_attribute_names("#scope", "scope")
            .expression_attribute_values(":lease", second(lease))
            .expression_attribute_values(":now", second(now))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        send(update, Config::builder().retry_config(RetryConfig::disabled())).await
    }

    /// Gives back what was claimed until the second `lease`, for anybody to claim at once.
    pub async fn give_back(&self, alert: &Alert, lease: i64) -> Result<(), Unchanged> {
        let update = self
            .update(alert, "REMOVE #mark")
            .condition_expression("#mark = :lease")
            .expression_attribute_values(":lease", second(lease));
        send(update, Config::builder()).await
    }

    /// Says that the alert is published.
    pub async fn sent(&self, alert: &Alert) -> Result<(), Unchanged> {
        let update = self
            .update(alert, "SET #mark = :sent")
            .condition_expression("attribute_exists(#scope)")
            .expression_attribute_names("#scope", "scope")
            .expression_attribute_values(":sent", second(SENT));
        send(update, Config::builder()).await
    }

    fn update(&self, alert: &Alert, expression: &str) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key("scope", AttributeValue::S(alert.scope.clone()))
            .key("window", AttributeValue::S(alert.window_key.clone()))
            .update_expression(expression)
            .expression_attribute_names("#mark", format!("a#{}", alert.threshold))
    }
}

fn second(second: i64) -> AttributeValue {
    AttributeValue::N(second.to_string())
}

/// Sends `update` with `settings` that differ from the client's, again and again while DynamoDB refuses it untouched.
async fn send(update: UpdateItemFluentBuilder, settings: aws_sdk_dynamodb::config::Builder) -> Result<(), Unchanged> {
    let attempt = || update.clone().customize().config_override(settings.clone()).send();
    let backoff = ExponentialBuilder::new().with_jitter().with_min_delay(Duration::from_millis(50)).with_max_times(4);
    let untouched = attempt.retry(backoff).when(|error| error.as_service_error().is_some_and(is_untouched));
    match untouched.await {
        Ok(_) => Ok(()),
        Err(error) => Err(match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) if failed.item.is_some() => Unchanged::Taken,
            Some(UpdateItemError::ConditionalCheckFailedException(_)) => Unchanged::ItemGone,
            _ => Unchanged::Failed(cause(&error)),
        }),
    }
}

/// Whether nothing was written: requests reserve and settle on the same item, with transactions that exclude other writes for a moment.
fn is_untouched(error: &UpdateItemError) -> bool {
    error.is_transaction_conflict_exception()
        || error.is_provisioned_throughput_exceeded_exception()
        || error.is_throttling_exception()
        || error.is_request_limit_exceeded()
}
