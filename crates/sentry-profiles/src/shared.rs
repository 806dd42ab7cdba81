//! The last list of profiles, shared by all execution environments: one item of the ledger table, under a partition key
//! that no scope has.

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::operation::update_item::builders::UpdateItemFluentBuilder;
use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::Sealed;
use sentry_contract::sealed::Unsealable;
use serde_json::Value;

use crate::snapshot::TaggedProfile;

/// Attributes of the table's key, and their values in the item.
const SCOPE: (&str, &str) = ("scope", "profiles");
const WINDOW: (&str, &str) = ("window", "latest");
/// The packed list of profiles.
const PROFILES: &str = "profiles";
/// The time at which the list began to be made, in milliseconds since 1970.
const AS_OF: &str = "asOf";
/// The time until which one environment makes the list, in milliseconds since 1970.
const CLAIMED_UNTIL: &str = "claimedUntil";

/// The stored list of profiles, and its age.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// The profiles that have tags.
    pub profiles: Vec<TaggedProfile>,
    /// The time at which the list began to be made.
    pub as_of: DateTime<Utc>,
}

/// The stored list cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum SharedError {
    /// The item cannot be read.
    #[error("the stored list of inference profiles cannot be read")]
    Read(#[source] Box<SdkError<GetItemError>>),
    /// The item cannot be written.
    #[error("the list of inference profiles cannot be stored")]
    Write(#[source] Box<SdkError<UpdateItemError>>),
    /// The list is not of the form that this version writes.
    #[error("the stored list of inference profiles cannot be understood")]
    Form(#[source] Unsealable),
    /// The list cannot be packed.
    #[error("the list of inference profiles cannot be packed")]
    Pack(#[source] serde_json::Error),
}

/// Access to the stored list.
#[derive(Clone, Debug)]
pub struct SharedProfiles {
    client: Client,
    table: String,
    writes: bool,
}

impl SharedProfiles {
    /// The list in the ledger table `table`.
    #[must_use]
    pub const fn new(client: Client, table: String) -> Self {
        Self { client, table, writes: true }
    }

    /// The same list, but nothing is written: a claim always succeeds, and a list is not stored.
    #[must_use]
    pub fn without_writes(self) -> Self {
        Self { writes: false, ..self }
    }

    /// The stored list. `None` if none was stored yet.
    ///
    /// # Errors
    /// [`SharedError::Read`] and [`SharedError::Form`].
    pub async fn read(&self) -> Result<Option<Stored>, SharedError> {
        // A consistent read would cost twice as much. A claim is refused if there is a list that the read does not see yet.
        let get = self.client.get_item().table_name(&self.table).consistent_read(false);
        let get = get.key(SCOPE.0, S(SCOPE.1.to_owned())).key(WINDOW.0, S(WINDOW.1.to_owned()));
        let answer = get.send().await.map_err(|error| SharedError::Read(Box::new(error)))?;
        let item = answer.item.unwrap_or_default();
        let packed = item.get(PROFILES).and_then(|packed| packed.as_s().ok());
        let as_of = item.get(AS_OF).and_then(|as_of| as_of.as_n().ok()?.parse().ok());
        let as_of = as_of.and_then(DateTime::from_timestamp_millis);
        let (Some(packed), Some(as_of)) = (packed, as_of) else { return Ok(None) };
        let sealed: Sealed = serde_json::from_value(Value::String(packed.clone())).map_err(SharedError::Pack)?;
        Ok(Some(Stored { profiles: sealed.open().map_err(SharedError::Form)?, as_of }))
    }

    /// Claims the making of the list for `duration`. Returns `false` if another environment has the claim, or if the
    /// stored list is from after `oldest`, because another environment has just made it.
    ///
    /// # Errors
    /// [`SharedError::Write`].
    pub async fn claim(
        &self,
        now: DateTime<Utc>,
        duration: TimeDelta,
        oldest: DateTime<Utc>,
    ) -> Result<bool, SharedError> {
        if !self.writes {
            return Ok(true);
        }
        let update = self
            .update()
            .update_expression("SET #claimed = :until")
            .condition_expression(
                "(attribute_not_exists(#claimed) OR #claimed <= :now) AND (attribute_not_exists(#as_of) OR #as_of <= :oldest)",
            )
            .expression_attribute_names("#claimed", CLAIMED_UNTIL)
            .expression_attribute_names("#as_of", AS_OF)
            .expression_attribute_values(":oldest", millis(oldest))
            .expression_attribute_values(":until", millis(now + duration))
            .expression_attribute_values(":now", millis(now));
        applied(update).await
    }

    /// Stores `profiles`, which began to be listed at `as_of`, and ends the claim. Changes nothing if the stored list is
    /// newer.
    ///
    /// # Errors
    /// [`SharedError::Write`] and [`SharedError::Pack`].
    pub async fn store(&self, profiles: &[TaggedProfile], as_of: DateTime<Utc>) -> Result<(), SharedError> {
        if !self.writes {
            return Ok(());
        }
        let sealed = Sealed::new(&profiles).and_then(serde_json::to_value);
        let Value::String(packed) = sealed.map_err(SharedError::Pack)? else { return Ok(()) };
        let update = self
            .update()
            .update_expression("SET #profiles = :profiles, #as_of = :as_of REMOVE #claimed")
            .condition_expression("attribute_not_exists(#as_of) OR #as_of <= :as_of")
            .expression_attribute_names("#profiles", PROFILES)
            .expression_attribute_names("#as_of", AS_OF)
            .expression_attribute_names("#claimed", CLAIMED_UNTIL)
            .expression_attribute_values(":profiles", S(packed))
            .expression_attribute_values(":as_of", millis(as_of));
        applied(update).await.map(drop)
    }

    fn update(&self) -> UpdateItemFluentBuilder {
        let update = self.client.update_item().table_name(&self.table);
        update.key(SCOPE.0, S(SCOPE.1.to_owned())).key(WINDOW.0, S(WINDOW.1.to_owned()))
    }
}

/// Sends an update. Returns `false` if its condition does not hold.
async fn applied(update: UpdateItemFluentBuilder) -> Result<bool, SharedError> {
    match update.send().await {
        Ok(_) => Ok(true),
        Err(error) if error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception) => {
            Ok(false)
        }
        Err(error) => Err(SharedError::Write(Box::new(error))),
    }
}

fn millis(instant: DateTime<Utc>) -> AttributeValue {
    N(instant.timestamp_millis().to_string())
}
