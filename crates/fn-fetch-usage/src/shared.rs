//! The last figure of each model, shared by all environments of the function, and the claim to ask CloudWatch for the
//! next one.
//!
//! Each figure is an item of the ledger table, under a partition key that no scope has.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::usage::UsageSeries;
use sentry_lambda::cause;
use thiserror::Error;

/// Attributes of the table's key, and the sort key of every figure.
const SCOPE: &str = "scope";
const WINDOW: &str = "window";
const LATEST: &str = "latest";
/// Prefix of the model's name in the partition key.
const PREFIX: &str = "usage#";
/// The time at which CloudWatch returned the figure, in milliseconds since 1970.
const AS_OF: &str = "asOf";
/// The figure as JSON.
const SERIES: &str = "series";
/// The time until which an environment asks CloudWatch, in milliseconds since 1970.
const ASKED_UNTIL: &str = "askedUntil";
/// The time after which DynamoDB may delete the item, in seconds since 1970.
const EXPIRES_AT: &str = "expiresAt";
/// Time for which an item is kept without a renewal.
const KEPT: TimeDelta = TimeDelta::days(1);

/// The error if the table does not answer, or if an item has another form.
#[derive(Debug, Error)]
#[error("the shared usage figure cannot be used: {0}")]
pub struct Unshared(String);

/// The item of one model.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Figure {
    /// The model's last figure; absent before the first.
    pub series: Option<UsageSeries>,
    /// Time until which an environment asks CloudWatch, in milliseconds since 1970; 0 if none does.
    pub asked_until_ms: i64,
}

/// Access to the items of all models in the ledger table.
#[derive(Debug)]
pub struct SharedFigures {
    client: Client,
    table: String,
}

impl SharedFigures {
    /// Reads and writes the figures in `table`.
    #[must_use]
    pub const fn new(client: Client, table: String) -> Self {
        Self { client, table }
    }

    /// Reads the item of `metric`.
    ///
    /// # Errors
    /// Returns an error if the item cannot be read or parsed.
    pub async fn read(&self, metric: &str) -> Result<Figure, Unshared> {
        let get = self.client.get_item().table_name(&self.table).consistent_read(true);
        let answer = get.key(SCOPE, scope(metric)).key(WINDOW, S(LATEST.to_owned())).send().await;
        let answer = answer.map_err(|error| Unshared(cause(&error)))?;
        let item = answer.item.unwrap_or_default();
        let series = item.get(SERIES).and_then(|json| json.as_s().ok());
        let series = series.map(|json| serde_json::from_str(json)).transpose();
        let asked_until = item.get(ASKED_UNTIL).and_then(|until| until.as_n().ok()?.parse().ok());
        Ok(Figure {
            series: series.map_err(|error| Unshared(error.to_string()))?,
            asked_until_ms: asked_until.unwrap_or_default(),
        })
    }

    /// Claims the next query of `metric` until `until`. Returns `false` if another environment has the claim.
    ///
    /// # Errors
    /// Returns an error if the table cannot be written.
    pub async fn claim(&self, metric: &str, now: DateTime<Utc>, until: DateTime<Utc>) -> Result<bool, Unshared> {
        let update = self
            .update(metric, now)
            .update_expression("SET #asked = :until, #expires = :expires")
            .condition_expression("attribute_not_exists(#asked) OR #asked <= :now")
            .expression_attribute_names("#asked", ASKED_UNTIL)
            .expression_attribute_values(":until", millis(until))
            .expression_attribute_values(":now", millis(now));
        applied(update).await
    }

    /// Stores a figure and ends the claim. Returns `false` and changes nothing if the stored figure is as new or newer.
    ///
    /// # Errors
    /// Returns an error if the table cannot be written.
    pub async fn store(&self, metric: &str, series: &UsageSeries, now: DateTime<Utc>) -> Result<bool, Unshared> {
        let json = serde_json::to_string(series).map_err(|error| Unshared(error.to_string()))?;
        let update = self
            .update(metric, now)
            .update_expression("SET #as_of = :as_of, #series = :series, #asked = :none, #expires = :expires")
            .condition_expression("attribute_not_exists(#as_of) OR #as_of < :as_of")
            .expression_attribute_names("#as_of", AS_OF)
            .expression_attribute_names("#series", SERIES)
            .expression_attribute_names("#asked", ASKED_UNTIL)
            .expression_attribute_values(":as_of", millis(series.as_of))
            .expression_attribute_values(":series", S(json))
            .expression_attribute_values(":none", N("0".to_owned()));
        applied(update).await
    }

    fn update(&self, metric: &str, now: DateTime<Utc>) -> UpdateItemFluentBuilder {
        self.client
            .update_item()
            .table_name(&self.table)
            .key(SCOPE, scope(metric))
            .key(WINDOW, S(LATEST.to_owned()))
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_values(":expires", N((now + KEPT).timestamp().to_string()))
    }
}

/// Sends an update. Returns `false` if its condition does not hold.
async fn applied(update: UpdateItemFluentBuilder) -> Result<bool, Unshared> {
    match update.send().await {
        Ok(_) => Ok(true),
        Err(error)
            if error.as_service_error().is_some_and(
                aws_sdk_dynamodb::operation::update_item::UpdateItemError::is_conditional_check_failed_exception,
            ) =>
        {
            Ok(false)
        }
        Err(error) => Err(Unshared(cause(&error))),
    }
}

fn scope(metric: &str) -> AttributeValue {
    S(format!("{PREFIX}{metric}"))
}

fn millis(instant: DateTime<Utc>) -> AttributeValue {
    N(instant.timestamp_millis().to_string())
}
