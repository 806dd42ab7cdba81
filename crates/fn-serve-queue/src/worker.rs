//! One message, from the queue to its answer.

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use futures_util::future::join_all;
use sentry_contract::{ErrorBody, ErrorCode};
use serde_json::{Map, Value, json};
use thiserror::Error as ThisError;
use tracing::{error, info, warn};

use crate::answers::{AnswersTable, Item, State, TableError};
use crate::event_bus::{EventBus, EventError};
use crate::limiter::{Limiter, NoAnswer};
use crate::message::Asked;
use crate::queues::{PutOff, QueueError, Queues};
use crate::verdict::{Verdict, verdict};
use sentry_lambda::sqs::{Batch, BatchAnswer, ItemFailure, Record};

/// Wait after a failure of a service, in seconds.
const FAILURE_WAIT: u64 = 20;
/// Wait for another message with the same request, in seconds.
const TWIN_WAIT: u64 = 4;
/// Time for which the delivery of an answer is tried, in seconds. Afterwards the message is a dead letter, and the answer
/// stays in the table.
const TELLING: i64 = 30 * 60;
/// A request whose function died this often, or whose executions ended this often without an answer, is given up.
const MOST_INTERRUPTIONS: u32 = 5;

/// A service that the worker needs did not do its part. The message comes again.
#[derive(Debug, ThisError)]
enum Trouble {
    #[error(transparent)]
    Table(#[from] TableError),
    #[error(transparent)]
    Queue(#[from] QueueError),
    #[error(transparent)]
    Event(#[from] EventError),
}

/// The next step of the queue for a message.
#[derive(Debug, PartialEq, Eq)]
enum Next {
    /// The message is done and leaves the queue.
    Leaves,
    /// The message comes again after this number of seconds.
    Again(u64),
}

/// Serves the requests of the queue.
#[derive(Debug)]
pub struct Worker {
    limiter: Limiter,
    answers: AnswersTable,
    queues: Queues,
    events: EventBus,
    reply_queues: Vec<String>,
}

impl Worker {
    /// A worker that may reply to the queues with the ARNs `reply_queues`.
    #[must_use]
    pub const fn new(
        limiter: Limiter,
        answers: AnswersTable,
        queues: Queues,
        events: EventBus,
        reply_queues: Vec<String>,
    ) -> Self {
        Self { limiter, answers, queues, events, reply_queues }
    }

    /// Serves a batch, all messages at the same time. A message that is not done is reported, so that it stays in the queue.
    pub async fn serve(&self, batch: Batch) -> BatchAnswer {
        let served = join_all(batch.records.iter().map(|record| self.message(record))).await;
        let staying = batch.records.into_iter().zip(served).filter(|(_, leaves)| !leaves);
        BatchAnswer {
            batch_item_failures: staying
                .map(|(record, _)| ItemFailure { item_identifier: record.message_id })
                .collect(),
        }
    }

    /// Serves a message. Returns `true` if it leaves the queue.
    async fn message(&self, record: &Record) -> bool {
        let next = match Asked::read(record, &self.reply_queues) {
            Ok(asked) => self.request(record, &asked).await,
            Err(poison) => {
                let reason = poison.to_string();
                warn!(message_id = record.message_id, reason, "a message of the request queue is a dead letter");
                self.queues.bury(record, &reason).await.map(|()| Next::Leaves).map_err(Trouble::from)
            }
        };
        let seconds = match next {
            Ok(Next::Leaves) => return true,
            Ok(Next::Again(seconds)) => seconds,
            Err(Trouble::Table(TableError::Conflict)) => TWIN_WAIT,
            Err(trouble) => {
                error!(message_id = record.message_id, %trouble, "a request of the queue comes again");
                FAILURE_WAIT
            }
        };
        match self.queues.put_off(record, seconds.saturating_add(jitter(seconds))).await {
            Ok(put_off) => put_off == PutOff::Replaced,
            Err(problem) => {
                warn!(message_id = record.message_id, %problem, "a message comes again only after its visibility timeout");
                false
            }
        }
    }

    async fn request(&self, record: &Record, asked: &Asked) -> Result<Next, Trouble> {
        let now = Utc::now();
        let seen = self.answers.read(asked, now).await?;
        if let Some(item) = &seen {
            if item.first_id.as_ref().is_some_and(|first| *first != asked.first_id) {
                if let Some(next) = self.twin(asked, item, now).await? {
                    return Ok(next);
                }
            } else if let Some(answer) = &item.answer {
                // The workflow can have kept it after the function died, whatever the state is.
                return self.kept(record, asked, item, answer, now).await;
            } else if item.state == State::Waiting && item.not_before > now.timestamp() {
                return Ok(Next::Again(u64::try_from(item.not_before - now.timestamp()).unwrap_or_default()));
            }
        }
        let own = seen.as_ref().filter(|item| item.first_id.as_ref() == Some(&asked.first_id));
        let interrupted = own.map_or(0, |item| item.interrupted + u32::from(item.state == State::Running));
        let item = self.answers.start(asked, seen.as_ref(), interrupted, now).await?;
        if let Some(refusal) = &asked.refusal {
            return self.finish(asked, &item, &own_answer(asked, refusal, now)).await;
        }
        if interrupted >= MOST_INTERRUPTIONS {
            return self.give_up(record, asked, &item).await;
        }
        self.ask(asked, item).await
    }

    /// Sends the request to the rate limiter, and does what the answer asks for.
    async fn ask(&self, asked: &Asked, item: Item) -> Result<Next, Trouble> {
        let answer = match self.limiter.ask(&asked.document).await {
            Ok(answer) => answer,
            Err(NoAnswer::NotAccepted) => {
                let message = "Step Functions does not accept the document as JSON.";
                let error = ErrorBody::new(ErrorCode::InvalidRequest, message).with("path", "$");
                return self.finish(asked, &item, &own_answer(asked, &error, Utc::now())).await;
            }
            Err(problem) => {
                error!(request_id = asked.request_id, %problem, "a request of the queue has no answer yet");
                let ended = matches!(problem, NoAnswer::Ended { .. });
                let item = Item { interrupted: item.interrupted + u32::from(ended), ..item };
                return self.wait(asked, &item, None, FAILURE_WAIT).await;
            }
        };
        match verdict(&answer, asked.waits_for_reset, Utc::now()) {
            Verdict::Answer => self.finish(asked, &item, &answer).await,
            Verdict::Wait(seconds) => {
                let code = answer.pointer("/error/code").and_then(Value::as_str);
                self.wait(asked, &item, code.filter(|code| *code != "DuplicateRequest"), seconds).await
            }
            Verdict::Settled => {
                // Settle keeps an answer before it returns it, so the first answer is here unless that write failed.
                let kept = self.answers.read(asked, Utc::now()).await?.and_then(|item| item.answer);
                let answer = kept.unwrap_or_else(|| with_earlier(answer, item.code.as_deref()));
                self.finish(asked, &item, &answer).await
            }
        }
    }

    async fn wait(&self, asked: &Asked, item: &Item, code: Option<&str>, seconds: u64) -> Result<Next, Trouble> {
        let now = Utc::now();
        let not_before = now + TimeDelta::seconds(i64::try_from(seconds).unwrap_or(i64::MAX / 2_000));
        self.answers.wait(asked, item, code, not_before, now).await?;
        info!(request_id = asked.request_id, code, seconds, "a request of the queue waits");
        Ok(Next::Again(seconds))
    }

    async fn finish(&self, asked: &Asked, item: &Item, answer: &Value) -> Result<Next, Trouble> {
        let now = Utc::now();
        self.answers.finish(asked, item, answer, now).await?;
        self.tell(asked, answer, now).await
    }

    /// Delivers an answer that was in the table before the rate limiter was asked.
    async fn kept(
        &self,
        record: &Record,
        asked: &Asked,
        item: &Item,
        answer: &Value,
        now: DateTime<Utc>,
    ) -> Result<Next, Trouble> {
        if item.first_id.is_none() {
            return self.of_direct_caller(asked).await;
        }
        if item.told {
            return Ok(Next::Leaves);
        }
        let Some(done_at) = item.done_at else { return self.finish(asked, item, answer).await };
        match self.tell(asked, answer, now).await {
            Err(Trouble::Queue(_) | Trouble::Event(_)) if now.timestamp() - done_at > TELLING => {
                let reason = "the answer is in the answers table, but its reply or event could not be sent";
                error!(request_id = asked.request_id, reason, "a request of the queue is a dead letter");
                self.queues.bury(record, reason).await?;
                self.answers.told(asked, now).await?;
                Ok(Next::Leaves)
            }
            told => told,
        }
    }

    /// Delivers the answer to a request whose id a client has used at the rate limiter itself. The rate limiter returns the
    /// first answer to the same document, and refuses another one. The item stays as it is.
    async fn of_direct_caller(&self, asked: &Asked) -> Result<Next, Trouble> {
        if let Some(refusal) = &asked.refusal {
            self.send(asked, &own_answer(asked, refusal, Utc::now())).await?;
            return Ok(Next::Leaves);
        }
        let answer = match self.limiter.ask(&asked.document).await {
            Ok(answer) => answer,
            Err(problem) => {
                error!(request_id = asked.request_id, %problem, "a request of the queue has no answer yet");
                return Ok(Next::Again(FAILURE_WAIT));
            }
        };
        if let Verdict::Wait(seconds) = verdict(&answer, asked.waits_for_reset, Utc::now()) {
            return Ok(Next::Again(seconds));
        }
        self.send(asked, &answer).await?;
        Ok(Next::Leaves)
    }

    /// Sends the reply and the event. A failure between them sends the reply twice.
    async fn tell(&self, asked: &Asked, answer: &Value, now: DateTime<Utc>) -> Result<Next, Trouble> {
        self.send(asked, answer).await?;
        self.answers.told(asked, now).await?;
        Ok(Next::Leaves)
    }

    async fn send(&self, asked: &Asked, answer: &Value) -> Result<(), Trouble> {
        if let Some(arn) = &asked.reply_to {
            self.queues.reply(arn, asked, answer).await?;
        }
        self.events.finished(asked, answer, self.answers.name()).await?;
        Ok(())
    }

    /// Another message with the same ids has the item. Returns `None` if this message takes the item over.
    async fn twin(&self, asked: &Asked, item: &Item, now: DateTime<Utc>) -> Result<Option<Next>, Trouble> {
        if item.digest.as_ref() != Some(&asked.digest) {
            if may_ask_again(item) {
                return Ok(None);
            }
            let message = format!(
                "Another message has the requestId {} with another document, so nothing was sent to the model. Give a new requestId.",
                asked.request_id
            );
            let state = if item.state == State::Done { "settled" } else { "in_flight" };
            let error = ErrorBody::new(ErrorCode::DuplicateRequest, message)
                .with("requestId", asked.request_id.clone())
                .with("state", state);
            self.send(asked, &own_answer(asked, &error, now)).await?;
            return Ok(Some(Next::Leaves));
        }
        match (item.state, &item.answer) {
            _ if may_ask_again(item) => Ok(None),
            (State::Done, Some(answer)) => {
                self.send(asked, &replayed(answer)).await?;
                Ok(Some(Next::Leaves))
            }
            _ => Ok(Some(Next::Again(TWIN_WAIT))),
        }
    }

    /// Buries the message. The client gets an answer that names the dead-letter queue.
    async fn give_up(&self, record: &Record, asked: &Asked, item: &Item) -> Result<Next, Trouble> {
        let reason = format!("the request had no answer in {MOST_INTERRUPTIONS} attempts");
        error!(request_id = asked.request_id, reason, "a request of the queue is a dead letter");
        self.queues.bury(record, &reason).await?;
        let message = format!("The queue gave up: {reason}. The message is in the dead-letter queue.");
        let error = ErrorBody::new(ErrorCode::LedgerUnavailable, message).with("reason", "GivenUp");
        self.finish(asked, item, &own_answer(asked, &error, Utc::now())).await
    }
}

/// `true` if the request of the item ended without a model's answer, so that another message may ask again. If it was paid
/// for in spite of that, the rate limiter refuses it by its id.
fn may_ask_again(item: &Item) -> bool {
    let outcome = item.answer.as_ref().and_then(|answer| answer.get("outcome")?.as_str());
    item.state == State::Done && outcome != Some("Succeeded")
}

/// An answer of the queue itself. It has the tags of the document that are text.
fn own_answer(asked: &Asked, error: &ErrorBody, now: DateTime<Utc>) -> Value {
    let mut tags = asked.tags.as_object().cloned().unwrap_or_default();
    tags.insert("requestId".to_owned(), json!(asked.request_id));
    tags.insert("timestamp".to_owned(), json!(now.to_rfc3339_opts(SecondsFormat::Micros, true)));
    let mut answer = Map::new();
    answer.insert("outcome".to_owned(), json!(error.code.outcome()));
    answer.insert("statusCode".to_owned(), json!(error.code.status()));
    answer.insert("tags".to_owned(), tags.into());
    answer.insert("error".to_owned(), json!(error));
    if error.code.outcome() == sentry_contract::Outcome::Denied {
        answer.insert("budget".to_owned(), json!([]));
    }
    answer.into()
}

/// The answer to an earlier request with the same ids.
fn replayed(answer: &Value) -> Value {
    let mut answer = answer.clone();
    if let Some(fields) = answer.as_object_mut() {
        fields.insert("replayed".to_owned(), true.into());
    }
    answer
}

/// A `DuplicateRequest` with the code of the attempt before, such as a model call whose end is unknown.
fn with_earlier(mut answer: Value, code: Option<&str>) -> Value {
    if let (Some(details), Some(code)) = (answer.pointer_mut("/error/details").and_then(Value::as_object_mut), code) {
        details.insert("earlierCode".to_owned(), code.into());
    }
    answer
}

/// A random part of a wait, so that requests do not come again all at once: up to half of it, and at most a minute.
fn jitter(seconds: u64) -> u64 {
    fastrand::u64(0..=(seconds / 2).clamp(1, 60))
}

#[cfg(test)]
mod tests;
