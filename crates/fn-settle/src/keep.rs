//! Keeps answers, so that a client that lost its connection can read the answer that it has paid for.

use std::collections::HashMap;
use std::fmt;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::AttributeValue::{N, S};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sentry_contract::ErrorCode;
use sentry_contract::answer::FinalAnswer;
use sentry_contract::request::Tags;
use sentry_contract::sizes::MAX_PAYLOAD_BYTES;
use sentry_contract::states::RepeatInput;
use sentry_lambda::{Failure, InvalidSetting, cause, env};
use serde_json::json;
use serde_json::value::RawValue;
use tracing::error;

/// Attribute with the digest of the document that was answered.
const DIGEST: &str = "documentDigest";

/// A request in the table of answers.
#[derive(Clone, PartialEq, Eq)]
pub struct Kept {
    /// `waiting`, `running` or `done`. Only the request queue writes the first two.
    pub state: String,
    /// The answer document, as JSON, if the state is `done`.
    pub answer: Option<String>,
}

/// Hides the answer from logs.
impl fmt::Debug for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Kept({})", self.state)
    }
}

/// The table in which answers are kept.
#[derive(Debug)]
pub struct AnswersTable {
    client: Client,
    name: String,
    keep: TimeDelta,
}

impl AnswersTable {
    /// The table `name`, in which an answer is kept for `keep`.
    #[must_use]
    pub const fn new(client: Client, name: String, keep: TimeDelta) -> Self {
        Self { client, name, keep }
    }

    /// The table that the environment names (`SENTRY_ANSWERS_TABLE`), with its hours (`SENTRY_KEEP_ANSWERS_HOURS`).
    /// `None` if answers are not kept.
    ///
    /// # Errors
    /// If the hours are not a whole number.
    pub fn from_environment(client: &Client) -> Result<Option<Self>, InvalidSetting> {
        let Some(name) = env::optional("SENTRY_ANSWERS_TABLE") else { return Ok(None) };
        let hours: u16 = env::parsed("SENTRY_KEEP_ANSWERS_HOURS", "a whole number of hours")?;
        Ok(Some(Self::new(client.clone(), name, TimeDelta::hours(hours.into()))))
    }

    /// The request `request_id` of `application`, by one consistent read. `None` if there is none, or if it has expired at
    /// `now`.
    ///
    /// # Errors
    /// `LedgerUnavailable` if the table cannot be read.
    pub async fn find(&self, application: &str, request_id: &str, now: DateTime<Utc>) -> Result<Option<Kept>, Failure> {
        let item = self.item(S(application.to_owned()), S(request_id.to_owned())).await.map_err(|reason| {
            Failure::new(ErrorCode::LedgerUnavailable, format!("the answers table cannot be read: {reason}"))
        })?;
        let Some(item) = item else { return Ok(None) };
        let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
        let expires = item.get("expiresAt").and_then(|value| value.as_n().ok()?.parse::<i64>().ok());
        let has_expired = expires.is_some_and(|at| at <= now.timestamp());
        let kept = text("state").map(|state| Kept { answer: text("answer").filter(|_| state == "done"), state });
        Ok(kept.filter(|_| !has_expired))
    }

    /// Keeps `document`, the answer to the request with this `digest`. An error is only logged, because the answer itself reaches the client in any case.
    pub async fn keep(&self, document: &FinalAnswer, digest: Option<&str>, now: DateTime<Utc>) {
        let tag = |name: &str| document.tags.get(name).unwrap_or_default().to_owned();
        let text = match serde_json::to_string(document) {
            Ok(text) => text,
            Err(problem) => {
                error!(%problem, "an answer cannot be written, so it is not kept");
                return;
            }
        };
        let outcome = json!(document.outcome).as_str().unwrap_or_default().to_owned();
        let put = self
            .client
            .update_item()
            .table_name(&self.name)
            .key(Tags::APPLICATION_ID, S(tag(Tags::APPLICATION_ID)))
            .key(Tags::REQUEST_ID, S(tag(Tags::REQUEST_ID)))
            .update_expression(
                "SET #state = :done, #answer = :answer, #outcome = :outcome, #updated = :updated, \
                 #digest = :digest, #expires = if_not_exists(#queued, :expires)",
            )
            // A message of the request queue can come later than a direct caller, and must find its answer.
            .expression_attribute_names("#queued", "queuedUntil")
            .expression_attribute_names("#state", "state")
            .expression_attribute_names("#digest", DIGEST)
            .expression_attribute_values(":digest", S(digest.unwrap_or_default().to_owned()))
            .expression_attribute_names("#answer", "answer")
            .expression_attribute_names("#outcome", "outcome")
            .expression_attribute_names("#updated", "updatedAt")
            .expression_attribute_names("#expires", "expiresAt")
            .expression_attribute_values(":done", S("done".to_owned()))
            .expression_attribute_values(":answer", S(text))
            .expression_attribute_values(":outcome", S(outcome))
            .expression_attribute_values(":updated", S(now.to_rfc3339_opts(SecondsFormat::Millis, true)))
            .expression_attribute_values(":expires", N((now + self.keep).timestamp().to_string()));
        if let Err(problem) = put.send().await {
            error!(request_id = tag(Tags::REQUEST_ID), cause = cause(&problem), "an answer is not kept");
        }
    }

    /// The kept answer to the document that `input` repeats, with `"replayed": true`. `None` if there is none, if it
    /// answers another document, or if the table does not answer, which is logged.
    pub async fn first(&self, input: &RepeatInput, now: DateTime<Utc>) -> Option<Box<RawValue>> {
        let tag = |name: &str| Some(S(input.repeated.get("tags")?.get(name)?.as_str()?.to_owned()));
        let item = match self.item(tag(Tags::APPLICATION_ID)?, tag(Tags::REQUEST_ID)?).await {
            Ok(item) => item?,
            Err(cause) => {
                error!(cause, "a kept answer cannot be read");
                return None;
            }
        };
        let expires = item.get("expiresAt")?.as_n().ok()?.parse::<i64>().ok()?;
        let same = item.get(DIGEST)?.as_s().ok() == input.digest.as_ref();
        let text = item.get("answer")?.as_s().ok()?;
        (same && expires > now.timestamp()).then(|| replayed(text)).flatten()
    }

    /// The item of a request, by one consistent read.
    async fn item(
        &self,
        application: AttributeValue,
        request_id: AttributeValue,
    ) -> Result<Option<HashMap<String, AttributeValue>>, String> {
        let get = self.client.get_item().table_name(&self.name).consistent_read(true);
        let get = get.key(Tags::APPLICATION_ID, application).key(Tags::REQUEST_ID, request_id);
        Ok(get.send().await.map_err(|error| cause(&error))?.item)
    }
}

/// The document `text` with one more field. The rest stays as it is written, numbers included. `None` if it would be too
/// large for the output of an execution.
fn replayed(text: &str) -> Option<Box<RawValue>> {
    let fields = text.trim_end().strip_suffix('}')?;
    let document = format!("{fields},\"replayed\":true}}");
    (document.len() <= MAX_PAYLOAD_BYTES).then(|| RawValue::from_string(document).ok()).flatten()
}
