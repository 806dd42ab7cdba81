//! The marks of alerts: who publishes one, and that it is published.
//!
//! A mark is an attribute of the scope's own item, so it lives as long as the window's figures do. Its value is the second until which
//! somebody publishes, or [`SENT`].

use aws_sdk_dynamodb::config::Config;
use aws_sdk_dynamodb::config::retry::RetryConfig;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValuesOnConditionCheckFailure};
use chrono::{DateTime, Utc};
use sentry_contract::states::Alert;

use crate::expression;
use crate::key::Key;
use crate::store::{Ledger, LedgerError, passes, pause, unavailable};

/// The value of a mark whose alert is published: a second that no claim reaches.
const SENT: i64 = 9_999_999_999;
/// How often a write that DynamoDB refuses untouched is tried again: within a second, because alerts wait for each other.
const ROUNDS_OF_MARKING: u32 = 6;

/// What became of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Whoever claimed it is the one who publishes the alert.
    Made(ClaimedUntil),
    /// Somebody else has published the alert, or is about to.
    Taken,
    /// The window's item is deleted, and nobody needs the alert any more.
    ItemGone,
}

/// A claim that was made, in whole seconds: until then nobody else publishes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClaimedUntil(i64);

impl Ledger {
    /// Claims an alert until `until`, unless it is published or somebody else has claimed it at `now`.
    ///
    /// One attempt at the SDK's level: the repetition of one that was done would find the alert claimed, by itself. A claim whose answer is
    /// lost lapses.
    ///
    /// # Errors
    /// When the ledger cannot be reached, or is contended.
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
            .expression_attribute_names("#scope", expression::SCOPE)
            .expression_attribute_values(":until", second(until))
            .expression_attribute_values(":now", second(now.timestamp()))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        Ok(match write(update, Config::builder().retry_config(RetryConfig::disabled())).await? {
            Marked::Done => Claim::Made(ClaimedUntil(until)),
            Marked::Refused { item_is_there: true } => Claim::Taken,
            Marked::Refused { item_is_there: false } => Claim::ItemGone,
        })
    }

    /// Gives a claim back, for anybody to claim at once. One that has lapsed and is somebody else's is left alone.
    ///
    /// # Errors
    /// When the ledger cannot be reached, or is contended; the claim then lapses by itself.
    pub async fn give_back_alert(&self, alert: &Alert, claimed: ClaimedUntil) -> Result<(), LedgerError> {
        let update = self
            .mark(alert, "REMOVE #mark")
            .condition_expression("#mark = :until")
            .expression_attribute_values(":until", second(claimed.0));
        write(update, Config::builder()).await.map(drop)
    }

    /// Says that an alert is published, for as long as the window's item is kept.
    ///
    /// # Errors
    /// When the ledger cannot be reached, or is contended; the alert may then be published once more.
    pub async fn alert_is_sent(&self, alert: &Alert) -> Result<(), LedgerError> {
        let update = self
            .mark(alert, "SET #mark = :sent")
            .condition_expression("attribute_exists(#scope)")
            .expression_attribute_names("#scope", expression::SCOPE)
            .expression_attribute_values(":sent", second(SENT));
        write(update, Config::builder()).await.map(drop)
    }

    fn mark(&self, alert: &Alert, update: &str) -> UpdateItemFluentBuilder {
        let key = Key { scope: alert.scope.clone(), window: alert.window_key.clone() };
        self.client
            .update_item()
            .table_name(&self.table)
            .set_key(Some(expression::key(&key)))
            .update_expression(update)
            .expression_attribute_names("#mark", format!("{}{}", expression::ALERT, alert.threshold))
    }
}

/// How a write of a mark ended.
enum Marked {
    Done,
    Refused { item_is_there: bool },
}

fn second(second: i64) -> AttributeValue {
    AttributeValue::N(second.to_string())
}

/// Sends `update` with `settings` that differ from the client's, again and again while DynamoDB refuses it untouched.
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
