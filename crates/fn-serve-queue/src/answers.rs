//! The answers table: one item per request of an application.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use sentry_lambda::cause;
use serde_json::Value;
use thiserror::Error as ThisError;

use crate::message::Asked;

/// Time for which the item of an unfinished request outlives its next step: the longest retention of a queue. As long as
/// the message can come again, the item must know if the request was paid for.
const UNFINISHED: TimeDelta = TimeDelta::days(14);

/// The table could not be read or written.
#[derive(Debug, ThisError)]
pub enum TableError {
    /// Another delivery of the message changed the item at the same time.
    #[error("another delivery changed the item of the request")]
    Conflict,
    /// DynamoDB did not answer.
    #[error("the answers table: {0}")]
    Unavailable(String),
}

/// The state of a request in the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The request comes again.
    Waiting,
    /// The rate limiter has the request, or the function died meanwhile.
    Running,
    /// The answer is complete.
    Done,
}

impl State {
    const fn name(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Done => "done",
        }
    }
}

/// An item of the table, as it was read.
#[derive(Clone, Debug, PartialEq)]
pub struct Item {
    /// The state. An item that the workflow alone has written is `Done`.
    pub state: State,
    /// The id of the message that has the item. Absent if only the workflow has written it.
    pub first_id: Option<String>,
    /// The digest of that message's body.
    pub digest: Option<String>,
    /// The instant before which the request does not come again, in seconds since 1970.
    pub not_before: i64,
    /// The number of times that the function died, or that an execution ended without an answer.
    pub interrupted: u32,
    /// The code of the answer that made the request wait.
    pub code: Option<String>,
    /// The answer document of the rate limiter. Absent while the request waits or runs.
    pub answer: Option<Value>,
    /// The time at which this function wrote the answer, in seconds since 1970.
    pub done_at: Option<i64>,
    /// `true` if the event and the reply were sent.
    pub told: bool,
    /// The number of writes by this function. It detects a concurrent delivery.
    pub(crate) version: u64,
}

/// The table in which answers are kept.
#[derive(Clone, Debug)]
pub struct AnswersTable {
    client: Client,
    name: String,
    keep: TimeDelta,
}

type Names = Vec<(&'static str, Option<AttributeValue>)>;

impl AnswersTable {
    /// The table `name`, whose answers are kept for `keep` after they are complete.
    #[must_use]
    pub const fn new(client: Client, name: String, keep: TimeDelta) -> Self {
        Self { client, name, keep }
    }

    /// The name of the table.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Reads the item of a request, consistently. `None` if there is none, or if it has expired at `now`.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn read(&self, asked: &Asked, now: DateTime<Utc>) -> Result<Option<Item>, TableError> {
        let call = self.client.get_item().table_name(&self.name).set_key(Some(key(asked))).consistent_read(true);
        let answer = call.send().await.map_err(|error| TableError::Unavailable(cause(&error)))?;
        Ok(answer.item.filter(|item| number(item, "expiresAt").is_none_or(|at| at > now.timestamp())).map(|it| of(&it)))
    }

    /// Writes that the rate limiter gets the request now. `seen` is the item as it was read.
    ///
    /// # Errors
    /// [`TableError::Conflict`] if the item has changed since.
    pub async fn start(
        &self,
        asked: &Asked,
        seen: Option<&Item>,
        interrupted: u32,
        now: DateTime<Utc>,
    ) -> Result<Item, TableError> {
        let version = seen.map_or(0, |item| item.version) + 1;
        let mut changes = vec![
            ("state", Some(S(State::Running.name().to_owned()))),
            ("firstMessageId", Some(S(asked.first_id.clone()))),
            ("digest", Some(S(asked.digest.clone()))),
            ("interrupted", Some(N(interrupted.to_string()))),
            ("version", Some(N(version.to_string()))),
            ("expiresAt", Some(seconds(now + UNFINISHED + self.keep))),
            // The workflow keeps an answer for this time, not for that of a direct caller's.
            ("queuedUntil", Some(seconds(now + UNFINISHED + self.keep))),
            ("notBefore", None),
        ];
        let own = seen.filter(|item| item.first_id.as_ref() == Some(&asked.first_id));
        if own.is_none() {
            // The refusal, denial or failure of another message. An answer that the workflow keeps for this message must stay.
            changes
                .extend(["answer", "documentDigest", "outcome", "code", "doneAt", "toldAt"].map(|name| (name, None)));
        }
        let seen_version = Some(seen.map_or(0, |item| item.version));
        self.write(asked, changes, seen_version, now).await?;
        Ok(Item {
            state: State::Running,
            first_id: Some(asked.first_id.clone()),
            digest: Some(asked.digest.clone()),
            not_before: 0,
            interrupted,
            code: own.and_then(|item| item.code.clone()),
            answer: None,
            done_at: None,
            told: false,
            version,
        })
    }

    /// Writes that the request comes again at `not_before`, because of `code`.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn wait(
        &self,
        asked: &Asked,
        item: &Item,
        code: Option<&str>,
        not_before: DateTime<Utc>,
        now: DateTime<Utc>,
    ) -> Result<(), TableError> {
        let mut changes = vec![
            ("state", Some(S(State::Waiting.name().to_owned()))),
            ("interrupted", Some(N(item.interrupted.to_string()))),
            ("notBefore", Some(seconds(not_before))),
            ("expiresAt", Some(seconds(not_before + UNFINISHED + self.keep))),
            ("queuedUntil", Some(seconds(not_before + UNFINISHED + self.keep))),
        ];
        changes.extend(code.map(|code| ("code", Some(S(code.to_owned())))));
        self.write(asked, changes, Some(item.version), now).await
    }

    /// Writes the answer.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn finish(
        &self,
        asked: &Asked,
        item: &Item,
        answer: &Value,
        now: DateTime<Utc>,
    ) -> Result<(), TableError> {
        let outcome = answer.get("outcome").and_then(Value::as_str).unwrap_or_default();
        let changes = vec![
            ("state", Some(S(State::Done.name().to_owned()))),
            ("answer", Some(S(answer.to_string()))),
            ("outcome", Some(S(outcome.to_owned()))),
            ("code", answer.pointer("/error/code").and_then(Value::as_str).map(|code| S(code.to_owned()))),
            ("expiresAt", Some(seconds(now + UNFINISHED + self.keep))),
            ("doneAt", Some(seconds(now))),
            ("notBefore", None),
        ];
        self.write(asked, changes, Some(item.version), now).await
    }

    /// Writes that the event and the reply were sent. The answer is kept from now on.
    ///
    /// # Errors
    /// If DynamoDB does not answer.
    pub async fn told(&self, asked: &Asked, now: DateTime<Utc>) -> Result<(), TableError> {
        let changes =
            vec![("toldAt", Some(seconds(now))), ("expiresAt", Some(seconds(now + self.keep))), ("queuedUntil", None)];
        self.write(asked, changes, None, now).await
    }

    /// Sets the attributes of `changes`, and removes those without a value. With `version`, the item must still have this
    /// version; 0 is an item that this function has not written.
    async fn write(
        &self,
        asked: &Asked,
        changes: Names,
        version: Option<u64>,
        now: DateTime<Utc>,
    ) -> Result<(), TableError> {
        let mut call = self.client.update_item().table_name(&self.name).set_key(Some(key(asked)));
        let (mut sets, mut removals) = (vec!["#updatedAt = :updatedAt".to_owned()], Vec::new());
        call = call
            .expression_attribute_names("#updatedAt", "updatedAt")
            .expression_attribute_values(":updatedAt", S(now.to_rfc3339_opts(SecondsFormat::Millis, true)));
        for (name, value) in changes {
            call = call.expression_attribute_names(format!("#{name}"), name);
            match value {
                Some(value) => {
                    sets.push(format!("#{name} = :{name}"));
                    call = call.expression_attribute_values(format!(":{name}"), value);
                }
                None => removals.push(format!("#{name}")),
            }
        }
        let mut expression = format!("SET {}", sets.join(", "));
        if !removals.is_empty() {
            expression.push_str(&format!(" REMOVE {}", removals.join(", ")));
        }
        call = match version {
            None => call,
            Some(seen) => {
                call = call.expression_attribute_names("#version", "version");
                match seen {
                    0 => call.condition_expression("attribute_not_exists(#version)"),
                    seen => call
                        .condition_expression("#version = :seen")
                        .expression_attribute_values(":seen", N(seen.to_string())),
                }
            }
        };
        match call.update_expression(expression).send().await {
            Ok(_) => Ok(()),
            Err(SdkError::ServiceError(error)) if error.err().is_conditional_check_failed_exception() => {
                Err(TableError::Conflict)
            }
            Err(error) => Err(TableError::Unavailable(cause(&error))),
        }
    }
}

fn key(asked: &Asked) -> HashMap<String, AttributeValue> {
    HashMap::from([
        ("applicationId".to_owned(), S(asked.application_id.clone())),
        ("requestId".to_owned(), S(asked.request_id.clone())),
    ])
}

fn seconds(at: DateTime<Utc>) -> AttributeValue {
    N(at.timestamp().to_string())
}

fn number(item: &HashMap<String, AttributeValue>, name: &str) -> Option<i64> {
    item.get(name)?.as_n().ok()?.parse().ok()
}

fn of(item: &HashMap<String, AttributeValue>) -> Item {
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok()).cloned();
    let state = text("state").unwrap_or_default();
    let states = [State::Waiting, State::Running];
    Item {
        state: states.into_iter().find(|it| it.name() == state).unwrap_or(State::Done),
        first_id: text("firstMessageId"),
        digest: text("digest"),
        not_before: number(item, "notBefore").unwrap_or_default(),
        interrupted: number(item, "interrupted").and_then(|it| u32::try_from(it).ok()).unwrap_or_default(),
        code: text("code"),
        answer: text("answer").and_then(|answer| serde_json::from_str(&answer).ok()),
        done_at: number(item, "doneAt"),
        told: item.contains_key("toldAt"),
        version: number(item, "version").and_then(|it| u64::try_from(it).ok()).unwrap_or_default(),
    }
}
