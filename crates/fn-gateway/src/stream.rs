//! Answers in events: the task that forwards and settles them.
//!
//! One task holds, calls, forwards and settles. It goes on if the client leaves, because Bedrock bills what it has
//! written, and only the last event says how much that is.

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use futures_util::stream;
use sentry_contract::answer::FinalAnswer;
use sentry_contract::request::Tags;
use sentry_contract::states::{Admitted, Ended, Invoked};
use sentry_models::adapters::stream::Tally;
use serde_json::value::RawValue;
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tracing::warn;

use crate::api::Form;
use crate::caller::Caller;
use crate::errors::{ApiError, header_value};
use crate::facts;
use crate::gateway::Gateway;
use crate::replay::events_of;
use crate::steps::{Approved, Decided};
use fn_invoke_model::Opened;

/// The beginning of a response: the headers, and the frames to come.
struct Begun {
    headers: Vec<(&'static str, String)>,
    frames: mpsc::UnboundedReceiver<Bytes>,
}

/// The client of an answer. It may have left.
struct Client {
    sender: mpsc::UnboundedSender<Bytes>,
    form: Box<dyn Form>,
}

impl Client {
    /// Sends what `write` returns. A client that has left gets nothing; the events are still read to their end.
    fn tell(&mut self, write: impl FnOnce(&mut dyn Form) -> Bytes) {
        let bytes = write(self.form.as_mut());
        if !bytes.is_empty() {
            let _ = self.sender.send(bytes);
        }
    }
}

/// Answers a request with events, from the first one that Bedrock sends.
///
/// # Errors
/// If there is no answer: the request was refused or denied, or the model failed before its first event.
pub async fn respond(
    gateway: Arc<Gateway>,
    caller: Caller,
    document: Box<RawValue>,
    form: Box<dyn Form>,
) -> Result<Response, ApiError> {
    let (begin, begun) = oneshot::channel();
    let content_type = form.content_type();
    tokio::spawn(run(gateway, caller, document, form, begin));
    let Begun { headers, frames } = begun.await.unwrap_or_else(|_| Err(ApiError::unfinished()))?;
    let frames = stream::unfold(frames, |mut frames| async {
        let frame = frames.recv().await?;
        Some((Ok::<_, std::convert::Infallible>(frame), frames))
    });
    let mut response = Response::new(Body::from_stream(frames));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    for (name, value) in headers {
        response.headers_mut().insert(name, header_value(&value));
    }
    Ok(response)
}

async fn run(
    gateway: Arc<Gateway>,
    caller: Caller,
    document: Box<RawValue>,
    mut form: Box<dyn Form>,
    begin: oneshot::Sender<Result<Begun, ApiError>>,
) {
    // The client may have left. What is held is settled all the same.
    let tell = |begun| drop(begin.send(begun));
    let approved = match gateway.steps.decide(&document, &caller, true).await {
        Decided::Approved(approved) => *approved,
        Decided::Answered(answer) => return tell(replayed(&answer, form)),
        Decided::ModelNotAllowed(model) => return tell(Err(ApiError::model_not_allowed(&model))),
    };
    drop(document);
    match gateway.steps.open(&approved).await {
        Ok(opened) => {
            let (sender, frames) = mpsc::unbounded_channel();
            let Admitted { tags, model, .. } = &approved.admitted;
            form.begin(tags.get(Tags::REQUEST_ID).unwrap_or_default(), &model.model_id);
            let mut headers = facts::of_admitted(&approved.admitted);
            headers.extend(form.event_headers());
            tell(Ok(Begun { headers, frames }));
            forward(&gateway, approved, opened, Client { sender, form }).await;
        }
        Err(failure) => {
            let ended = Ended { failure: Some(*failure), ..Ended::default() };
            let answer = gateway.steps.settle(approved.admitted, ended, approved.times, true).await;
            tell(Err(ApiError::of_refusal(&answer)));
        }
    }
}

/// The events of a kept answer, all at once.
///
/// # Errors
/// The error of an answer without an output.
fn replayed(answer: &FinalAnswer, mut form: Box<dyn Form>) -> Result<Begun, ApiError> {
    let output = answer.output.as_ref().ok_or_else(|| ApiError::of_refusal(answer))?;
    let model = answer.model.as_ref().and_then(|model| model.model_id.as_deref());
    form.begin(answer.tags.get(Tags::REQUEST_ID).unwrap_or_default(), model.unwrap_or_default());
    let mut headers = facts::of_answer(answer);
    headers.extend(form.event_headers());
    let (sender, frames) = mpsc::unbounded_channel();
    let mut client = Client { sender, form };
    for event in events_of(output, answer.usage.as_ref()) {
        client.tell(|form| form.event(&event));
    }
    client.tell(|form| form.end(answer));
    Ok(Begun { headers, frames })
}

/// Forwards every event as it comes, then settles. The frames end after the settlement.
async fn forward(gateway: &Gateway, approved: Approved, mut opened: Opened, mut client: Client) {
    // Without a table of answers, no text is kept in memory.
    let keeps = gateway.steps.settler.answers().is_some();
    let mut tally = if keeps { Tally::keeping_texts() } else { Tally::default() };
    let ended = loop {
        match opened.next().await {
            Ok(Some(event)) => {
                tally.read(&event);
                client.tell(|form| form.event(&event));
            }
            Ok(None) => break Ok(tally),
            // Nothing is missing after the last event, so the usage is known.
            Err(_) if tally.is_complete() => break Ok(tally),
            Err(failure) => break Err(failure),
        }
    };
    let complete = ended.is_ok();
    if let Err(failure) = &ended {
        warn!(cause = failure.error.code.name(), "an answer broke off; its hold stays until it expires");
        client.tell(|form| form.broken(failure));
    }
    let (invoked, is_whole) = gateway.steps.invoker.close(opened, ended);
    let ended = match invoked {
        Invoked::Sealed(sealed) => Ended { sealed: Some(*sealed), ..Ended::default() },
        Invoked::Failure(failure) => Ended { failure: Some(*failure), ..Ended::default() },
        Invoked::Answer(_) => Ended::default(),
    };
    let answer = gateway.steps.settle(approved.admitted, ended, approved.times, is_whole).await;
    if complete {
        client.tell(|form| form.end(&answer));
    }
}
