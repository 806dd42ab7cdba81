//! Marks of alerts: a claim to publish an alert, and the note that it is published.
//!
//! A mark is an attribute of the scope's own item, so it is kept as long as the figures of the window. Its value is
//! the end of a claim in seconds since 1970, or [`SENT`].

use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use chrono::{DateTime, Utc};
use sentry_domain::Alert;

use crate::attributes;
use crate::key::Key;
use crate::store::{Ledger, LedgerError, passes, pause, unavailable};

/// The value of a mark whose alert is published: a second that no claim reaches.
const SENT: i64 = 9_999_999_999;
/// The number of attempts for a write that DynamoDB rejects because of throttling or a conflict. The pauses between
/// them take less than a second, because alerts wait for each other.
const ROUNDS_OF_MARKING: u32 = 6;

/// The result of a claim to publish an alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// The claim was made. The caller must publish the alert.
    Made(ClaimedUntil),
    /// Somebody else has published the alert, or is about to.
    Taken,
    /// The item of the window is deleted, so nobody needs the alert any more.
    ItemGone,
}

/// The end of a claim, in whole seconds since 1970. Until then nobody else publishes the alert.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedUntil(i64);

impl Ledger {
    /// Claims an alert until `until`, unless it is published or somebody else has a claim at `now`.
    ///
    /// The SDK does not retry this write. A retry after a successful write would find the caller's own claim and take
    /// it for somebody else's. If the answer is lost, the claim expires at `until`.
    ///
    /// # Errors
    /// If the ledger cannot be reached, or is contended.
    pub async fn claim_alert(
        &self,
        alert: &Alert,
        now: DateTime<Utc>,
        until: DateTime<Utc>,
    ) -> Result<Claim, LedgerError> {
        let until = until.timestamp();
        let update = self
            .mark(alert, "SET #mark = :until")
            .condition_expression("attribute_exists(#scope) AND (attribute_not_exists(#mark) OR #mark < :now)")
            .expression_attribute_names("#scope", attributes::SCOPE)
            .expression_attribute_values(":until", second(until))
            .expression_attribute_values(":now", second(now.timestamp()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        Ok(match write(update, Config::builder().retry_config(RetryConfig::disabled())).await? {
            Marked::Done => Claim::Made(ClaimedUntil(until)),
            Marked::Refused { item_is_there: true } => Claim::Taken,
            Marked::Refused { item_is_there: false } => Claim::ItemGone,
        })
    }

    /// Removes a claim, so that anybody can claim the alert at once. A claim that has expired and was replaced by
    /// somebody else's is left alone.
    ///
    /// # Errors
    /// If the ledger cannot be reached, or is contended. The claim then expires by itself.
    pub async fn give_back_alert(&self, alert: &Alert, claimed: ClaimedUntil) -> Result<(), LedgerError> {
        let update = self
            .mark(alert, "REMOVE #mark")
            .condition_expression("#mark = :until")
            .expression_attribute_values(":until", second(claimed.0));
        write(update, Config::builder()).await.map(drop)
    }

    /// Notes that an alert is published. The note is kept as long as the item of the window.
    ///
    /// # Errors
    /// If the ledger cannot be reached, or is contended. The alert may then be published once more.
    pub async fn alert_is_sent(&self, alert: &Alert) -> Result<(), LedgerError> {
        let update = self
            .mark(alert, "SET #mark = :sent")
            .condition_expression("attribute_exists(#scope)")
            .expression_attribute_names("#scope", attributes::SCOPE)
            .expression_attribute_values(":sent", second(SENT));
        write(update, Config::builder()).await.map(drop)
    }

    fn mark(&self, alert: &Alert, update: &str) -> UpdateItemFluentBuilder {
        let key = Key { scope: alert.scope.clone(), window: alert.window_key.clone() };
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(attributes::key(&key)))
            .update_expression(update)
            .expression_attribute_names("#mark", format!("{}{}", attributes::ALERT, alert.threshold))
    }
}

/// The result of writing a mark.
enum Marked {
    Done,
    Refused { item_is_there: bool },
}

fn second(second: i64) -> AttributeValue {
    AttributeValue::N(second.to_string())
}

/// Sends `update` with `settings` that override the client's. Retries while DynamoDB rejects it because of throttling
/// or a conflict.
async fn write(
    update: UpdateItemFluentBuilder,
    settings: aws_sdk_dynamodb::config::Builder,
) -> Result<Marked, LedgerError> {
    for round in 0..ROUNDS_OF_MARKING {
        let Err(error) = update.clone().customize().config_override(settings.clone()).send().await else {
            return Ok(Marked::Done);
        };
        match error.as_service_error() {
            Some(UpdateItemError::ConditionalCheckFailedException(failed)) => {
                return Ok(Marked::Refused { item_is_there: failed.item.is_some() });
            }
            Some(refused) if passes(refused) => pause(round).await,
            _ => return Err(unavailable(error)),
        }
    }
    Err(LedgerError::Contended)
}
