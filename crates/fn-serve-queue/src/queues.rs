//! The request queue, its dead letters, and the queues of replies.

use std::collections::HashMap;

use aws_sdk_sqs::Client;
use aws_sdk_sqs::types::MessageAttributeValue;
use sentry_lambda::cause;
use serde_json::Value;
use thiserror::Error as ThisError;
use tokio::sync::Mutex;
use tracing::warn;

use crate::message::{Asked, FIRST_ID, REPLY_TO, WHEN_EXCEEDED};
use sentry_lambda::sqs::Record;

/// Attribute of a dead letter that says why it is one.
const REASON: &str = "Reason";
/// The longest visibility timeout, in seconds.
///
/// Source: Amazon SQS Developer Guide, "Amazon SQS visibility timeout", read in November 2026.
const MOST_INVISIBLE: u64 = 43_200;
/// The longest delay of a new message, in seconds.
///
/// Source: Amazon SQS API Reference, `SendMessage`, read in November 2026.
const MOST_DELAY: u64 = 900;
/// The most attributes of a message.
///
/// Source: Amazon SQS Developer Guide, "Amazon SQS message metadata", read in November 2026.
const MOST_ATTRIBUTES: usize = 10;

/// SQS did not do what it should.
#[derive(Debug, ThisError)]
#[error("SQS: {0}")]
pub struct QueueError(String);

/// The state of a message after it was put off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PutOff {
    /// A copy of the message was sent, so the message itself is done.
    Replaced,
    /// SQS did not accept a copy. The message stays in the queue and is hidden, so it must be reported.
    Hidden,
}

/// The request queue, its dead-letter queue, and the queues that may get answers.
#[derive(Debug)]
pub struct Queues {
    client: Client,
    requests: String,
    dead_letters: String,
    /// The URLs of reply queues by ARN, as far as they are known.
    replies: Mutex<HashMap<String, String>>,
}

impl Queues {
    /// The queues with these URLs.
    #[must_use]
    pub fn new(client: Client, requests: String, dead_letters: String) -> Self {
        Self { client, requests, dead_letters, replies: Mutex::default() }
    }

    /// Lets a message come again in about `seconds`, or earlier if they are more than the longest delay.
    ///
    /// A copy with a delay replaces the message. If the message were hidden instead, it would be in flight. SQS allows
    /// 120,000 messages in flight, and fair queues count them as the work of the consumers.
    ///
    /// # Errors
    /// If SQS accepts neither a copy nor another visibility timeout. The message then comes again after the visibility
    /// timeout of the queue.
    pub async fn put_off(&self, record: &Record, seconds: u64) -> Result<PutOff, QueueError> {
        // SQS refuses a copy if the first id makes it longer than a message can be.
        let Err(problem) = self.send_again(record, seconds).await else { return Ok(PutOff::Replaced) };
        warn!(message_id = record.message_id, %problem, "a copy of a message that waits was not sent");
        let seconds = i32::try_from(seconds.min(MOST_INVISIBLE)).unwrap_or_default();
        let call = self.client.change_message_visibility().queue_url(&self.requests).visibility_timeout(seconds);
        let changed = call.receipt_handle(&record.receipt_handle).send().await;
        changed.map(|_| PutOff::Hidden).map_err(|error| QueueError(cause(&error)))
    }

    /// Sends a copy of a message, which begins with no receives and the full retention. It keeps the first id, by which
    /// the rate limiter knows the request.
    async fn send_again(&self, record: &Record, seconds: u64) -> Result<(), QueueError> {
        let first = record.attribute(FIRST_ID).unwrap_or(&record.message_id).to_owned();
        let attributes = attributes(record, FIRST_ID, &first);
        let call = self.client.send_message().queue_url(&self.requests).message_body(&record.body);
        let call = call.delay_seconds(i32::try_from(seconds.min(MOST_DELAY)).unwrap_or_default());
        let call = call.set_message_attributes(Some(attributes));
        let call = call.set_message_group_id(record.attributes.message_group_id.clone());
        call.send().await.map(drop).map_err(|error| QueueError(cause(&error)))
    }

    /// Sends a message to the dead-letter queue, with `reason`.
    ///
    /// # Errors
    /// If SQS does not accept it.
    pub async fn bury(&self, record: &Record, reason: &str) -> Result<(), QueueError> {
        let call = self.client.send_message().queue_url(&self.dead_letters).message_body(&record.body);
        let call = call.set_message_attributes(Some(attributes(record, REASON, reason)));
        call.send().await.map(drop).map_err(|error| QueueError(cause(&error)))
    }

    /// Sends an answer to the queue `arn`.
    ///
    /// # Errors
    /// If the queue cannot be found, or does not accept the answer.
    pub async fn reply(&self, arn: &str, asked: &Asked, answer: &Value) -> Result<(), QueueError> {
        let url = self.url_of(arn).await?;
        let mut call = self.client.send_message().queue_url(url).message_body(answer.to_string());
        for (name, value) in [("applicationId", &asked.application_id), ("requestId", &asked.request_id)] {
            call = call.message_attributes(name, text(value)?);
        }
        call.send().await.map(drop).map_err(|error| QueueError(cause(&error)))
    }

    async fn url_of(&self, arn: &str) -> Result<String, QueueError> {
        let mut known = self.replies.lock().await;
        if let Some(url) = known.get(arn) {
            return Ok(url.clone());
        }
        let mut parts = arn.rsplit(':');
        let (name, account) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
        let call = self.client.get_queue_url().queue_name(name).queue_owner_aws_account_id(account);
        let found = call.send().await.map_err(|error| QueueError(cause(&error)))?;
        let url = found.queue_url.ok_or_else(|| QueueError("the reply queue has no URL".to_owned()))?;
        known.insert(arn.to_owned(), url.clone());
        Ok(url)
    }
}

/// The attributes of `record` that are text, with one more. If they are too many, those that the worker reads stay.
fn attributes(record: &Record, name: &str, value: &str) -> HashMap<String, MessageAttributeValue> {
    let mut sorted: Vec<_> = record.message_attributes.keys().filter(|other| *other != name).collect();
    sorted.sort_by_key(|other| (![REPLY_TO, WHEN_EXCEEDED, FIRST_ID].contains(&other.as_str()), *other));
    let kept = sorted.into_iter().filter_map(|other| Some((other.clone(), text(record.attribute(other)?).ok()?)));
    let mut all: HashMap<_, _> = kept.take(MOST_ATTRIBUTES - 1).collect();
    if let Ok(value) = text(value) {
        all.insert(name.to_owned(), value);
    }
    all
}

fn text(value: &str) -> Result<MessageAttributeValue, QueueError> {
    let built = MessageAttributeValue::builder().data_type("String").string_value(value).build();
    built.map_err(|error| QueueError(error.to_string()))
}
