//! A request through the request queue, and its answer from the answers table.

use std::time::Duration;

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::MessageAttributeValue;
use serde_json::Value;
use tokio::time::sleep;
use uuid::Uuid;

use crate::failure::Failure;
use crate::progress;
use crate::stack::Stack;

/// Time between two looks into the answers table.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// The name of a request in the answers table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub application_id: String,
    pub request_id: String,
}

/// A request in the table: its state, and its answer if it is done.
pub struct Kept {
    pub state: String,
    pub answer: Option<Value>,
}

/// Sends `document` to the queue. A document without a request id gets one, so that the answer can be found.
///
/// # Errors
/// If the stack has no queue, AWS cannot be reached, or the table already has a request with this id.
pub async fn send(stack: &Stack, mut document: Value, waits_for_reset: bool) -> Result<Ticket, Failure> {
    let url = output(stack, "RequestQueueUrl", "AsyncConcurrency=10")?;
    let ticket = ticket(&mut document)?;
    if let Some(kept) = look(stack, &ticket).await? {
        return Err(Failure::Conflict(format!(
            "the answers table already has the request {} of {} ({}). Read its answer with `sentry ask --answer {} \
             --application {}`, or give another --request-id",
            ticket.request_id, ticket.application_id, kept.state, ticket.request_id, ticket.application_id
        )));
    }
    let group = document.pointer("/tags/costCenter").and_then(Value::as_str).filter(|name| is_group(name));
    let mut call = stack.queues().send_message().queue_url(url).message_body(document.to_string());
    call = call.set_message_group_id(group.map(str::to_owned));
    if waits_for_reset {
        let wait = MessageAttributeValue::builder().data_type("String").string_value("wait").build();
        let wait = wait.map_err(|error| Failure::Usage(format!("the message cannot be written: {error}")))?;
        call = call.message_attributes("WhenExceeded", wait);
    }
    let sent = call.send().await;
    sent.map_err(|error| Failure::of_call("the request was not sent to the queue", &error))?;
    Ok(ticket)
}

/// Waits until a request is done, and returns its answer.
///
/// # Errors
/// If AWS cannot be reached, or the stack keeps no answers.
pub async fn wait(stack: &Stack, ticket: &Ticket) -> Result<Value, Failure> {
    let spinner = progress::spinner("The request is in the queue");
    let answer = loop {
        match look(stack, ticket).await {
            Ok(Some(Kept { answer: Some(answer), .. })) => break Ok(answer),
            Ok(Some(Kept { state, .. })) if state == "running" => spinner.set_message("The model answers"),
            Ok(Some(_)) => spinner.set_message("The request waits, and comes again by itself"),
            Ok(None) => {}
            Err(failure) => break Err(failure),
        }
        sleep(LOOK_EVERY).await;
    };
    spinner.finish_and_clear();
    answer
}

/// The answer of a request that was sent before.
///
/// # Errors
/// If there is none, or none yet.
pub async fn answer(stack: &Stack, ticket: &Ticket) -> Result<Value, Failure> {
    let Ticket { application_id, request_id } = ticket;
    match look(stack, ticket).await? {
        Some(Kept { answer: Some(answer), .. }) => Ok(answer),
        Some(Kept { state, .. }) => {
            Err(Failure::Refused(format!("the request {request_id} has no answer yet: {state}")))
        }
        None => Err(Failure::Refused(format!(
            "the answers table has no request {request_id} of the application {application_id}: it was not received yet, \
             its answer has expired, or --application is another one"
        ))),
    }
}

async fn look(stack: &Stack, ticket: &Ticket) -> Result<Option<Kept>, Failure> {
    let table = output(stack, "AnswersTableName", "KeepAnswersHours=24")?;
    let call = stack.dynamodb().get_item().table_name(table).consistent_read(true);
    let call = call.key("applicationId", AttributeValue::S(ticket.application_id.clone()));
    let call = call.key("requestId", AttributeValue::S(ticket.request_id.clone()));
    let found = call.send().await.map_err(|error| Failure::of_call("the answers table cannot be read", &error))?;
    let Some(item) = found.item else { return Ok(None) };
    let text = |name: &str| item.get(name).and_then(|value| value.as_s().ok());
    let answer = text("answer").map(|answer| serde_json::from_str(answer)).transpose();
    let answer = answer.map_err(|error| Failure::Refused(format!("the kept answer cannot be read: {error}")))?;
    Ok(Some(Kept { state: text("state").cloned().unwrap_or_default(), answer }))
}

fn output<'a>(stack: &'a Stack, name: &str, parameter: &str) -> Result<&'a str, Failure> {
    stack.output(name).map_err(|_| {
        Failure::Refused(format!("the stack {} has no {name}: deploy it with the parameter {parameter}", stack.name))
    })
}

/// The name of the document's request. A missing request id is added to the document.
fn ticket(document: &mut Value) -> Result<Ticket, Failure> {
    let Some(tags) = document.get_mut("tags").and_then(Value::as_object_mut) else {
        return Err(Failure::Usage("the document has no tags".to_owned()));
    };
    let application_id = match tags.get("applicationId").and_then(Value::as_str) {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => return Err(Failure::Usage("tags.applicationId is missing, so the answer has no place".to_owned())),
    };
    let request_id = match tags.get("requestId").and_then(Value::as_str) {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ => {
            let id = Uuid::new_v4().to_string();
            tags.insert("requestId".to_owned(), id.clone().into());
            id
        }
    };
    Ok(Ticket { application_id, request_id })
}

/// `true` if a cost center can be the group of a message.
///
/// Source: Amazon SQS API Reference, `SendMessage`, read in November 2026.
fn is_group(name: &str) -> bool {
    (1..=128).contains(&name.len()) && name.bytes().all(|byte| byte.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_request_without_an_id_gets_one() {
        let mut document = json!({"tags": {"applicationId": "helper"}});
        let made = ticket(&mut document).unwrap();
        assert_eq!(document["tags"]["requestId"], made.request_id.as_str());
        assert_eq!(made.application_id, "helper");
        let mut named = json!({"tags": {"applicationId": "helper", "requestId": "r-1"}});
        assert_eq!(ticket(&mut named).unwrap().request_id, "r-1");
        assert!(matches!(ticket(&mut json!({"tags": {}})), Err(Failure::Usage(_))));
    }

    #[test]
    fn only_a_name_that_sqs_takes_is_a_group() {
        assert!(is_group("support") && is_group("a/b:c"));
        assert!(!is_group("") && !is_group("two words") && !is_group("größe") && !is_group(&"x".repeat(129)));
    }
}
