//! AWS in memory: one table, three queues, an event bus, and a rate limiter with prepared answers.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex};

use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemInput, UpdateItemOutput};
use aws_sdk_dynamodb::types::AttributeValue::{self, N, S};
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_sdk_eventbridge::operation::put_events::PutEventsOutput;
use aws_sdk_eventbridge::types::PutEventsResultEntry;
use aws_sdk_sfn::operation::start_sync_execution::StartSyncExecutionOutput;
use aws_sdk_sfn::types::SyncExecutionStatus;
use aws_sdk_sqs::operation::change_message_visibility::ChangeMessageVisibilityOutput;
use aws_sdk_sqs::operation::get_queue_url::GetQueueUrlOutput;
use aws_sdk_sqs::operation::send_message::{SendMessageError, SendMessageInput, SendMessageOutput};
use aws_sdk_sqs::types::error::QueueDoesNotExist;
use aws_smithy_mocks::{MockResponse, Rule, RuleMode, mock};
use chrono::TimeDelta;
use sentry_lambda::sqs::{Attribute, Batch, Facts, Record};
use serde_json::{Value, json};
use test_support::mock_client;

use crate::{AnswersTable, EventBus, Limiter, Queues, Worker};

pub const REPLIES: &str = "arn:aws:sqs:us-east-1:123456789012:replies";
pub const MESSAGE: &str = "11111111-2222-3333-4444-555555555555";

/// An effect of the worker outside the table.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// The rate limiter was asked with this document.
    Asked(Value),
    /// A message of the request queue is invisible for these seconds.
    Invisible(i32),
    /// A message was sent: URL, body, text attributes, group, delay.
    Sent(String, String, HashMap<String, String>, Option<String>, Option<i32>),
    /// An event was put, with this detail.
    Event(Value),
}

type Item = HashMap<String, AttributeValue>;

#[derive(Default)]
pub struct World {
    pub items: Mutex<HashMap<String, Item>>,
    /// The answers of the rate limiter in turn. `None` is an execution that failed.
    pub answers: Mutex<VecDeque<Option<Value>>>,
    pub effects: Mutex<Vec<Effect>>,
    /// The URLs that take no messages, and `events` for the event bus.
    pub broken: Mutex<HashSet<&'static str>>,
    /// Written by the workflow while it runs, instead of by Settle.
    pub kept_meanwhile: Mutex<Option<Value>>,
}

impl World {
    pub fn answering(answers: impl IntoIterator<Item = Value>) -> Arc<Self> {
        let world = Self::default();
        world.answers.lock().unwrap().extend(answers.into_iter().map(Some));
        Arc::new(world)
    }

    pub fn worker(self: &Arc<Self>) -> Worker {
        let tables = self.table();
        let dynamodb = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[&tables[0], &tables[1]]);
        let sfn = mock_client!(aws_sdk_sfn, RuleMode::MatchAny, &[&self.limiter()]);
        let queues = self.queues();
        let sqs = mock_client!(aws_sdk_sqs, RuleMode::MatchAny, &[&queues[0], &queues[1], &queues[2]]);
        let events = mock_client!(aws_sdk_eventbridge, RuleMode::MatchAny, &[&self.bus()]);
        Worker::new(
            Limiter::new(sfn, "limiter".to_owned()),
            AnswersTable::new(dynamodb, "answers".to_owned(), TimeDelta::hours(24)),
            Queues::new(sqs, "requests".to_owned(), "dead".to_owned()),
            EventBus::new(events),
            vec![REPLIES.to_owned()],
        )
    }

    /// Delivers a message. Returns `true` if it left the queue.
    pub async fn deliver(self: &Arc<Self>, record: Record) -> bool {
        self.worker().serve(Batch { records: vec![record] }).await.batch_item_failures.is_empty()
    }

    pub fn effects(&self) -> Vec<Effect> {
        std::mem::take(&mut self.effects.lock().unwrap())
    }

    pub fn item(&self, request_id: &str) -> Item {
        self.items.lock().unwrap().get(request_id).cloned().unwrap_or_default()
    }

    pub fn text(&self, request_id: &str, name: &str) -> Option<String> {
        match self.item(request_id).get(name)? {
            S(text) | N(text) => Some(text.clone()),
            other => panic!("{other:?}"),
        }
    }

    pub fn put(&self, request_id: &str, attributes: &[(&str, AttributeValue)]) {
        let item = attributes.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        self.items.lock().unwrap().insert(request_id.to_owned(), item);
    }

    fn note(&self, effect: Effect) {
        self.effects.lock().unwrap().push(effect);
    }

    fn table(self: &Arc<Self>) -> [Rule; 2] {
        let (reader, writer) = (Arc::clone(self), Arc::clone(self));
        let read = mock!(aws_sdk_dynamodb::Client::get_item).then_compute_output(move |get| {
            let id = get.key().unwrap()["requestId"].as_s().unwrap();
            let item = reader.items.lock().unwrap().get(id).cloned();
            GetItemOutput::builder().set_item(item).build()
        });
        let write = mock!(aws_sdk_dynamodb::Client::update_item).then_compute_response(move |update| {
            let id = update.key().unwrap()["requestId"].as_s().unwrap();
            let mut items = writer.items.lock().unwrap();
            let item = items.entry(id.clone()).or_default();
            if !meets(item, update) {
                let failed = ConditionalCheckFailedException::builder().build();
                return MockResponse::Error(UpdateItemError::ConditionalCheckFailedException(failed));
            }
            change(item, update);
            MockResponse::Output(UpdateItemOutput::builder().build())
        });
        [read, write]
    }

    fn limiter(self: &Arc<Self>) -> Rule {
        let world = Arc::clone(self);
        mock!(aws_sdk_sfn::Client::start_sync_execution).then_compute_output(move |start| {
            let document: Value = serde_json::from_str(start.input().unwrap()).unwrap();
            let id = document["tags"]["requestId"].as_str().unwrap_or_default().to_owned();
            world.note(Effect::Asked(document));
            if let Some(kept) = world.kept_meanwhile.lock().unwrap().take() {
                let mut items = world.items.lock().unwrap();
                let item = items.get_mut(&id).unwrap();
                item.insert("state".to_owned(), S("done".to_owned()));
                item.insert("answer".to_owned(), S(kept.to_string()));
            }
            let answer = world.answers.lock().unwrap().pop_front().expect("an answer is prepared");
            let status = if answer.is_some() { SyncExecutionStatus::Succeeded } else { SyncExecutionStatus::Failed };
            StartSyncExecutionOutput::builder()
                .execution_arn("execution")
                .start_date(aws_sdk_sfn::primitives::DateTime::from_secs(0))
                .stop_date(aws_sdk_sfn::primitives::DateTime::from_secs(0))
                .status(status)
                .set_output(answer.map(|answer| answer.to_string()))
                .build()
                .unwrap()
        })
    }

    fn queues(self: &Arc<Self>) -> [Rule; 3] {
        let (sender, hider) = (Arc::clone(self), Arc::clone(self));
        let send = mock!(aws_sdk_sqs::Client::send_message).then_compute_response(move |sent| {
            if sender.broken.lock().unwrap().contains(sent.queue_url().unwrap()) {
                return MockResponse::Error(SendMessageError::QueueDoesNotExist(QueueDoesNotExist::builder().build()));
            }
            sender.note(sent_message(sent));
            MockResponse::Output(SendMessageOutput::builder().build())
        });
        let hide = mock!(aws_sdk_sqs::Client::change_message_visibility).then_compute_output(move |change| {
            assert_eq!((change.queue_url(), change.receipt_handle()), (Some("requests"), Some("receipt")));
            hider.note(Effect::Invisible(change.visibility_timeout().unwrap()));
            ChangeMessageVisibilityOutput::builder().build()
        });
        let find = mock!(aws_sdk_sqs::Client::get_queue_url)
            .match_requests(|find| {
                (find.queue_name(), find.queue_owner_aws_account_id()) == (Some("replies"), Some("123456789012"))
            })
            .then_output(|| GetQueueUrlOutput::builder().queue_url("https://replies").build());
        [send, hide, find]
    }

    fn bus(self: &Arc<Self>) -> Rule {
        let world = Arc::clone(self);
        mock!(aws_sdk_eventbridge::Client::put_events).then_compute_output(move |put| {
            let broken = world.broken.lock().unwrap().contains("events");
            let [entry] = put.entries() else { panic!("one entry") };
            assert_eq!((entry.source(), entry.detail_type()), (Some("cost-sentry"), Some("Request Finished")));
            if !broken {
                world.note(Effect::Event(serde_json::from_str(entry.detail().unwrap()).unwrap()));
            }
            let result = PutEventsResultEntry::builder().set_error_code(broken.then(|| "InternalFailure".to_owned()));
            PutEventsOutput::builder().failed_entry_count(i32::from(broken)).entries(result.build()).build()
        })
    }
}

fn sent_message(sent: &SendMessageInput) -> Effect {
    let attributes = sent.message_attributes().cloned().unwrap_or_default();
    let attributes = attributes.into_iter().map(|(name, value)| (name, value.string_value.unwrap()));
    Effect::Sent(
        sent.queue_url().unwrap().to_owned(),
        sent.message_body().unwrap().to_owned(),
        attributes.collect(),
        sent.message_group_id().map(str::to_owned),
        sent.delay_seconds(),
    )
}

/// The two conditions that the worker writes.
fn meets(item: &Item, update: &UpdateItemInput) -> bool {
    match update.condition_expression() {
        None => true,
        Some("attribute_not_exists(#version)") => !item.contains_key("version"),
        Some("#version = :seen") => {
            item.get("version") == update.expression_attribute_values().and_then(|values| values.get(":seen"))
        }
        Some(other) => panic!("{other}"),
    }
}

/// Applies an expression of the form `SET #a = :a, #b = :b REMOVE #c, #d`.
fn change(item: &mut Item, update: &UpdateItemInput) {
    let names = update.expression_attribute_names().unwrap();
    let values = update.expression_attribute_values().unwrap();
    let expression = update.update_expression().unwrap().strip_prefix("SET ").unwrap();
    let (sets, removals) = expression.split_once(" REMOVE ").unwrap_or((expression, ""));
    for set in sets.split(", ") {
        let (name, value) = set.split_once(" = ").unwrap();
        item.insert(names[name].clone(), values[value].clone());
    }
    for removal in removals.split(", ").filter(|name| !name.is_empty()) {
        item.remove(&names[removal]);
    }
}

/// A message with this body.
pub fn message(body: &Value) -> Record {
    Record {
        message_id: MESSAGE.to_owned(),
        receipt_handle: "receipt".to_owned(),
        body: body.to_string(),
        attributes: Facts::default(),
        message_attributes: HashMap::new(),
    }
}

/// A message with one more attribute.
pub fn with(mut record: Record, name: &str, value: &str) -> Record {
    record.message_attributes.insert(name.to_owned(), Attribute { string_value: Some(value.to_owned()) });
    record
}

pub fn document() -> Value {
    json!({"model": "nova-lite", "prompt": {"messages": [{"role": "user", "content": "a secret"}]},
           "tags": {"applicationId": "helper", "costCenter": "support"}})
}

pub fn named(request_id: &str) -> Value {
    let mut document = document();
    document["tags"]["requestId"] = request_id.into();
    document
}

pub fn succeeded() -> Value {
    json!({"outcome": "Succeeded", "statusCode": 200, "tags": {"costCenter": "support"}, "usage": {"totalTokens": 3},
           "output": {"message": {"content": "a secret answer"}}})
}

pub fn failed(code: &str, details: Value) -> Value {
    json!({"outcome": "Denied", "statusCode": 429, "tags": {},
           "error": {"code": code, "message": "a secret", "retryAfterSeconds": 40, "details": details}})
}
