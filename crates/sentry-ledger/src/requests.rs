//! The requests table: the requests that have a hold or were settled, so that no id is paid twice.

use aws_sdk_dynamodb::operation::delete_item::DeleteItemError;
use aws_sdk_dynamodb::operation::put_item::PutItemError;
use aws_sdk_dynamodb::operation::put_item::builders::PutItemFluentBuilder;
use aws_sdk_dynamodb::types::{AttributeValue, ReturnValue, ReturnValuesOnConditionCheckFailure};
use chrono::{DateTime, Utc};

use crate::attributes::Attributes;
use crate::holder::Holder;
use crate::store::{Ledger, LedgerError, is, unavailable};

// Attributes of the requests table: the key, the execution that has the request, and the second since 1970 after which
// DynamoDB may delete it.
const REQUEST_ID: &str = "requestId";
const OWNER: &str = "owner";
const EXPIRES_AT: &str = "expiresAt";
/// Present if the execution that had the request has given it up. That execution cannot register it again, but another
/// one can.
const GIVEN_UP: &str = "givenUp";
/// The second since 1970 at which the hold of the request expires.
const HELD_UNTIL: &str = "heldUntil";
/// The text that the settlement left for repeated requests.
const TOLD: &str = "told";
/// Seconds for which [`GIVEN_UP`] is remembered. This is much longer than a write of one of its functions can be on
/// its way.
const GIVEN_UP_SECONDS: i64 = 120;
/// Seconds for which a request is remembered: twice the 24 hours that are promised.
pub(crate) const REMEMBERED_SECONDS: i64 = 48 * 3_600;
/// The request that has the id of a repeated request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Earlier {
    /// It is not settled, and its hold has not expired.
    InFlight,
    /// It is settled, or its hold has expired and counts in full.
    Settled {
        /// The text in [`Used`](crate::Used). Absent if the usage is unknown.
        told: Option<String>,
    },
}

impl Earlier {
    /// Reads an entry of the requests table.
    fn of(entry: Option<&Attributes>, now: DateTime<Utc>) -> Self {
        let text = |name: &str| entry.and_then(|entry| entry.get(name)?.as_s().ok());
        let number = |name: &str| entry.and_then(|entry| entry.get(name)?.as_n().ok()?.parse::<i64>().ok());
        match text(TOLD) {
            Some(told) => Self::Settled { told: Some(told.clone()) },
            None if number(HELD_UNTIL).is_some_and(|second| second <= now.timestamp()) => Self::Settled { told: None },
            None => Self::InFlight,
        }
    }
}

/// An entry of the requests table, for the story of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The owner name of the execution that has the request.
    pub owner: String,
    /// The state of the request.
    pub earlier: Earlier,
    /// `true` if the execution gave the request up.
    pub given_up: bool,
}

/// The result of registering a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Registered {
    /// The request had no entry, or none that still counts. It belongs to this execution now.
    First,
    /// The entry is this execution's own, from an earlier call that did not finish.
    Again,
    /// The entry belongs to another execution.
    Other(Earlier),
    /// The entry is this execution's own, and the execution has given the request up.
    GivenUp,
}

impl Ledger {
    /// The entry of the request with the key `id`. `None` if there is none, or none that still counts.
    ///
    /// # Errors
    /// If the table cannot be reached.
    pub async fn entry(&self, id: &str, now: DateTime<Utc>) -> Result<Option<Entry>, LedgerError> {
        let get = self.client.get_item().table_name(&self.requests).consistent_read(true);
        let answer = get.key(REQUEST_ID, AttributeValue::S(id.to_owned())).send().await.map_err(unavailable)?;
        let expires = |item: &Attributes| item.get(EXPIRES_AT)?.as_n().ok()?.parse::<i64>().ok();
        let counts = answer.item.filter(|item| expires(item).is_none_or(|second| now.timestamp() < second));
        Ok(counts.map(|item| Entry {
            owner: item.get(OWNER).and_then(|owner| owner.as_s().ok()).cloned().unwrap_or_default(),
            earlier: Earlier::of(Some(&item), now),
            given_up: item.contains_key(GIVEN_UP),
        }))
    }

    /// Registers the request for `owner`, unless it belongs to another execution. Its hold expires at `held_until`.
    pub(crate) async fn register(
        &self,
        id: &str,
        owner: &str,
        now: DateTime<Utc>,
        held_until: DateTime<Utc>,
    ) -> Result<Registered, LedgerError> {
        let condition = "attribute_not_exists(#id) OR #expires <= :now \
                         OR (#owner = :owner AND attribute_not_exists(#given_up)) \
                         OR (#owner <> :owner AND attribute_exists(#given_up))";
        let put = self
            .note(id, owner, now, REMEMBERED_SECONDS, condition)
            .item(HELD_UNTIL, AttributeValue::N(held_until.timestamp().to_string()))
            .expression_attribute_names("#given_up", GIVEN_UP)
            .return_values(ReturnValue::AllOld)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match put.send().await {
            Ok(answer) => {
                let known = answer.attributes().and_then(|old| old.get(OWNER)?.as_s().ok());
                Ok(if known.is_some_and(|known| known == owner) { Registered::Again } else { Registered::First })
            }
            Err(error) => match error.as_service_error() {
                Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                    let entry = failed.item();
                    let known = entry.and_then(|item| item.get(OWNER)?.as_s().ok());
                    let is_own = known.is_some_and(|known| known == owner);
                    Ok(if is_own { Registered::GivenUp } else { Registered::Other(Earlier::of(entry, now)) })
                }
                _ => Err(unavailable(error)),
            },
        }
    }

    /// The write of an entry that says that `owner` has the request. The entry is kept for `remembered` seconds. The
    /// condition must use `#id`, `#owner`, `#expires`, `:owner` and `:now`.
    fn note(
        &self,
        id: &str,
        owner: &str,
        now: DateTime<Utc>,
        remembered: i64,
        condition: &str,
    ) -> PutItemFluentBuilder {
        let (seconds, owner) = (now.timestamp(), AttributeValue::S(owner.to_owned()));
        self.client
            .put_item()
            .table_name(&self.requests)
            .item(REQUEST_ID, AttributeValue::S(id.to_owned()))
            .item(OWNER, owner.clone())
            .item(EXPIRES_AT, AttributeValue::N((seconds + remembered).to_string()))
            .condition_expression(condition)
            .expression_attribute_names("#id", REQUEST_ID)
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_names("#expires", EXPIRES_AT)
            .expression_attribute_values(":owner", owner)
            .expression_attribute_values(":now", AttributeValue::N(seconds.to_string()))
    }

    /// Keeps `told` for requests that repeat the id of a settled request. Does nothing if `holder` does not have the
    /// request any more.
    pub(crate) async fn tell(&self, holder: Holder<'_>, told: &str, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let condition = "attribute_exists(#id) AND #owner = :owner AND #expires > :now";
        let put = self.note(holder.request_id, &holder.owner(), now, REMEMBERED_SECONDS, condition);
        match put.item(TOLD, AttributeValue::S(told.to_owned())).send().await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, PutItemError::is_conditional_check_failed_exception) => Ok(()),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Deletes the entry of the request. Nothing was spent on the request, so its id may be used again.
    pub(crate) async fn forget(&self, id: &str, owner: &str) -> Result<(), LedgerError> {
        let delete = self
            .client
            .delete_item()
            .table_name(&self.requests)
            .key(REQUEST_ID, AttributeValue::S(id.to_owned()))
            .condition_expression("#owner = :owner")
            .expression_attribute_names("#owner", OWNER)
            .expression_attribute_values(":owner", AttributeValue::S(owner.to_owned()));
        match delete.send().await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, DeleteItemError::is_conditional_check_failed_exception) => Ok(()),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// Frees the request id as [`Self::forget`] does, and prevents the execution from registering it again. The
    /// registration of this execution may still be on its way.
    pub(crate) async fn give_up(&self, id: &str, owner: &str, now: DateTime<Utc>) -> Result<(), LedgerError> {
        let condition = "attribute_not_exists(#id) OR #owner = :owner OR #expires <= :now";
        let put = self.note(id, owner, now, GIVEN_UP_SECONDS, condition).item(GIVEN_UP, AttributeValue::Bool(true));
        match put.send().await {
            Ok(_) => Ok(()),
            Err(error) if is(&error, PutItemError::is_conditional_check_failed_exception) => Ok(()),
            Err(error) => Err(unavailable(error)),
        }
    }
}
