//! The automated responses that are in force, so that their end can be noticed.

use aws_sdk_dynamodb::types::AttributeValue;
use chrono::{DateTime, TimeDelta, Utc};

use crate::error::{HistoryError, unavailable};
use crate::record::number;
use crate::ungoverned::written;
use crate::{DAY, EXPIRES_AT, History, SCOPE};

/// Partition key of all responses.
const RESPONSES: &str = "responses";
/// Attribute with the response as JSON.
const RESPONSE: &str = "response";

/// Attribute with the second since 1970 at which a run claimed the end of the response.
const CLAIMED_AT: &str = "endClaimedAt";
/// Time that a run has to record an end that it claimed. A run of the sweep is stopped after 55 seconds.
pub const CLAIMED: TimeDelta = TimeDelta::minutes(1);

/// A response in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Remembered {
    /// The sort key of the response's item.
    pub name: String,
    /// The response as JSON.
    pub text: String,
}

impl History {
    /// Remembers a response until it is forgotten, or until `expires_at` if that is given. Returns the first text that
    /// was remembered under `name`, so a repeated call changes nothing.
    ///
    /// # Errors
    /// If the table cannot be reached.
    pub async fn remember_response(
        &self,
        name: &str,
        text: &str,
        expires_at: Option<DateTime<Utc>>,
    ) -> Result<String, HistoryError> {
        let expires = if expires_at.is_some() { ", #expires = :expires" } else { "" };
        let mut update = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(SCOPE, AttributeValue::S(RESPONSES.to_owned()))
            .key(DAY, AttributeValue::S(name.to_owned()))
            .update_expression(format!("SET #response = if_not_exists(#response, :response){expires}"))
            .expression_attribute_names("#response", RESPONSE)
            .expression_attribute_values(":response", AttributeValue::S(text.to_owned()))
            .return_values(aws_sdk_dynamodb::types::ReturnValue::AllNew);
        if let Some(at) = expires_at {
            update = update
                .expression_attribute_names("#expires", EXPIRES_AT)
                .expression_attribute_values(":expires", number(at.timestamp()));
        }
        let updated = update.send().await.map_err(unavailable)?;
        let first = updated.attributes().and_then(|item| item.get(RESPONSE)?.as_s().ok().cloned());
        Ok(first.unwrap_or_else(|| text.to_owned()))
    }

    /// All responses that are remembered.
    ///
    /// # Errors
    /// If the table cannot be reached.
    pub async fn responses(&self) -> Result<Vec<Remembered>, HistoryError> {
        let mut found = Vec::new();
        let mut start = None;
        loop {
            let query = self
                .client
                .query()
                .table_name(&self.table)
                .consistent_read(true)
                .key_condition_expression("#scope = :responses")
                .expression_attribute_names("#scope", SCOPE)
                .expression_attribute_values(":responses", AttributeValue::S(RESPONSES.to_owned()))
                .set_exclusive_start_key(start);
            let page = query.send().await.map_err(unavailable)?;
            let text = |value: Option<&AttributeValue>| value?.as_s().ok().cloned();
            let read = page.items().iter().map(|item| Some((text(item.get(DAY))?, text(item.get(RESPONSE))?)));
            found.extend(read.flatten().map(|(name, text)| Remembered { name, text }));
            start = page.last_evaluated_key.filter(|key| !key.is_empty());
            if start.is_none() {
                return Ok(found);
            }
        }
    }

    /// Claims the end of a response at `now`, for [`CLAIMED`]. Returns `false` if another run has claimed it, or if the
    /// response was forgotten.
    ///
    /// # Errors
    /// If the table cannot be reached.
    pub async fn claim_end(&self, name: &str, now: DateTime<Utc>) -> Result<bool, HistoryError> {
        let claim = self
            .client
            .update_item()
            .table_name(&self.table)
            .key(SCOPE, AttributeValue::S(RESPONSES.to_owned()))
            .key(DAY, AttributeValue::S(name.to_owned()))
            .update_expression("SET #claimed = :now")
            .condition_expression(
                "attribute_exists(#response) AND (attribute_not_exists(#claimed) OR #claimed <= :stale)",
            )
            .expression_attribute_names("#claimed", CLAIMED_AT)
            .expression_attribute_names("#response", RESPONSE)
            .expression_attribute_values(":now", number(now.timestamp()))
            .expression_attribute_values(":stale", number((now - CLAIMED).timestamp()));
        written(claim).await
    }

    /// Forgets a response that has ended.
    ///
    /// # Errors
    /// If the table cannot be reached.
    pub async fn forget_response(&self, name: &str) -> Result<(), HistoryError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.table)
            .key(SCOPE, AttributeValue::S(RESPONSES.to_owned()))
            .key(DAY, AttributeValue::S(name.to_owned()));
        delete.send().await.map(drop).map_err(unavailable)
    }
}
