//! The forms of requests and answers: that of Converse, and the bodies of vendors in `InvokeModel`.

use axum::http::HeaderMap;
use serde_json::{Map, Value};

use crate::{
    converse,
    directives::Directives,
    error::ApiError,
    invoke, messages,
    models::{Dialect, Model},
    nova,
    prompt::Prompt,
    reply::Reply,
    stream::{self, Event},
};

/// An operation that calls a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operation {
    /// `true` if the body has the form of the model's vendor, as in `InvokeModel`.
    pub invokes: bool,
    /// `true` if the answer is a stream of events.
    pub streams: bool,
}

/// The form of a request and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// That of Converse and `ConverseStream`, for every model.
    Converse,
    /// Anthropic's Messages, the body of Claude in `InvokeModel`.
    Messages,
    /// The body of Amazon Nova in `InvokeModel`.
    Nova,
}

impl Form {
    /// The form of an operation with a model.
    ///
    /// # Errors
    /// A `ValidationException` if the simulator does not have the form of the model's vendor.
    pub fn of(operation: Operation, model: Option<Model<'_>>) -> Result<Self, ApiError> {
        if !operation.invokes {
            return Ok(Self::Converse);
        }
        match model.map(|model| model.dialect()) {
            Some(Dialect::Claude) => Ok(Self::Messages),
            Some(Dialect::Nova) => Ok(Self::Nova),
            _ => Err(ApiError::validation(
                "bedrock-sim: InvokeModel is served only for Anthropic Claude and Amazon Nova.",
            )),
        }
    }

    /// Parses a request to the model.
    ///
    /// # Errors
    /// An exception if Bedrock would return one.
    pub fn read(
        self,
        headers: &HeaderMap,
        body: Map<String, Value>,
        model: Option<Model<'_>>,
    ) -> Result<Prompt, ApiError> {
        let mut document = match self {
            Self::Converse => return converse::parse(&body, model),
            Self::Messages => messages::document(&body)?,
            Self::Nova => nova::document(&body)?,
        };
        invoke::read_headers(headers, &mut document)?;
        converse::parse(&document, model).map_err(ApiError::of_invoke_model)
    }

    /// The body of the answer for a reply of the foundation model `base`.
    pub fn answer(self, reply: &Reply, prompt: &Prompt, base: &str) -> Value {
        let mut answer = match self {
            Self::Converse => return converse::answer(reply, prompt.service_tier.as_deref()),
            Self::Messages => messages::answer(reply, prompt, base),
            Self::Nova => nova::answer(reply),
        };
        invoke::set_action(&mut answer, prompt);
        answer
    }

    /// The events for a reply of the foundation model `base`.
    pub fn events(self, reply: &Reply, prompt: &Prompt, base: &str, directives: &Directives) -> Vec<Event> {
        let words = stream::words(directives);
        let parts = match self {
            Self::Converse => return converse::events(reply, prompt.service_tier.as_deref(), words),
            Self::Messages => messages::events(reply, base, words),
            Self::Nova => nova::events(reply, words),
        };
        invoke::chunks(parts, reply, prompt, directives)
    }

    /// `true` if an answer in this form can have the stop reason.
    pub fn knows_stop_reason(self, reason: &str) -> bool {
        match self {
            Self::Converse | Self::Nova => converse::knows_stop_reason(reason),
            Self::Messages => messages::knows_stop_reason(reason),
        }
    }
}
