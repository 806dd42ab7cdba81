//! Calls whose answer arrives in events.

use std::time::Duration;

use backon::Retryable;
use sentry_contract::sizes::{MAX_ANSWER_BYTES, payload_bytes};
use sentry_contract::states::{AnswerTerms, CallFailure, Carried, Invoked, Target};
use sentry_models::adapters::stream::{Event, Events, Tally, open};
use sentry_models::adapters::{self, ModelFailure, Received, answer, failed, invoked, terms, timed_out};
use serde_json::value::RawValue;
use tokio::time::Instant;

use crate::{Invoker, backoff};

/// An answer that has begun.
pub struct Opened {
    events: Events,
    /// The longest pause before an event.
    patience: Duration,
    /// The time of the whole answer, and the moment at which it is over.
    limit: Duration,
    deadline: Instant,
    model: Target,
    terms: AnswerTerms,
    carried: Carried,
}

impl Opened {
    /// The next event. `None` at the end.
    ///
    /// # Errors
    /// If Bedrock ended the answer with an error, the connection was lost, the pause before the event is too long, or the
    /// time of the whole answer is over. Tokens may have been used.
    pub async fn next(&mut self) -> Result<Option<Event>, ModelFailure> {
        let pause_ends = Instant::now() + self.patience;
        let (until, time) =
            if pause_ends < self.deadline { (pause_ends, self.patience) } else { (self.deadline, self.limit) };
        tokio::time::timeout_at(until, self.events.next()).await.unwrap_or_else(|_| Err(timed_out(time)))
    }
}

impl Invoker {
    /// Calls the model that `event` names, for an answer in events. The event is that of [`Invoker::invoke`].
    ///
    /// # Errors
    /// As the failure of [`Invoker::invoke`], before the first event.
    pub async fn open(&self, event: Box<RawValue>) -> Result<Opened, Box<CallFailure>> {
        let Received { input, carried } =
            adapters::read_input(event.get()).map_err(|unreadable| failed(unreadable, Carried::Open))?;
        let max_tokens = adapters::max_tokens(&self.catalogue, &input);
        let (patience, limit) = (self.timeout.min(self.stream_limit), self.stream_limit);
        let deadline = Instant::now() + limit;
        let attempts = (|| open(&self.client, &input, max_tokens)).retry(backoff()).when(ModelFailure::repeatable);
        let opened = tokio::time::timeout(patience, attempts).await.unwrap_or_else(|_| Err(timed_out(patience)));
        let events = opened.map_err(|failure| failed(failure, carried))?;
        Ok(Opened { events, patience, limit, deadline, terms: terms(&input.prompt), model: input.model, carried })
    }

    /// The end of a call for the settlement. `ended` is the tally of all events, or the failure that ended them. The
    /// second value is `true` if the end has everything that the client was told, so that it can be kept. Texts that do
    /// not fit into a document are left out, because the client has them already.
    #[must_use]
    pub fn close(&self, opened: Opened, ended: Result<Tally, ModelFailure>) -> (Invoked, bool) {
        let Opened { model, terms, carried, .. } = opened;
        let tally = match ended {
            Ok(tally) => tally,
            Err(failure) => return (Invoked::Failure(failed(failure, carried)), true),
        };
        let priced = |tally: Tally| {
            let reply = tally.reply(terms.charges)?;
            Ok::<_, ModelFailure>(answer(&self.catalogue, &self.region, &model, reply, terms))
        };
        if tally.has_texts()
            && let Ok(answer) = priced(tally.clone())
            && payload_bytes(&answer).is_ok_and(|bytes| bytes <= MAX_ANSWER_BYTES)
        {
            return (invoked(answer, carried), true);
        }
        match priced(tally.without_texts()) {
            Ok(answer) => (invoked(answer, carried), false),
            Err(failure) => (Invoked::Failure(failed(failure, carried)), true),
        }
    }
}
