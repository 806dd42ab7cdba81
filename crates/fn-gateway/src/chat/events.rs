//! Answers in OpenAI's form: whole, or in chunks.

use std::collections::BTreeMap;

use axum::body::Bytes;
use sentry_contract::answer::{FinalAnswer, Output, Usage};
use sentry_models::adapters::ModelFailure;
use sentry_models::adapters::stream::Event;
use serde_json::{Map, Value, json};

use super::errors;
use super::response::{self, finish_reason, usage_of};
use crate::api::Form;
use crate::sse;

/// The form of the answer to one request.
pub struct Chat {
    id: String,
    /// Seconds since 1970.
    created: i64,
    model: String,
    with_usage: bool,
    /// The calls of tools by the index of their block.
    calls: BTreeMap<u64, Call>,
}

/// A call of a tool, whose arguments come in parts.
struct Call {
    place: usize,
    has_arguments: bool,
}

impl Chat {
    /// The form of a request that came at `created` (seconds since 1970).
    pub fn new(created: i64, with_usage: bool) -> Self {
        Self { id: String::new(), created, model: String::new(), with_usage, calls: BTreeMap::new() }
    }

    /// A chunk with one choice.
    fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> Bytes {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        self.chunk_of(json!([choice]), &Value::Null)
    }

    /// A chunk. `usage` is only there if the client wants it.
    fn chunk_of(&self, choices: Value, usage: &Value) -> Bytes {
        let mut fields = Map::from_iter([
            ("id".to_owned(), json!(self.id)),
            ("object".to_owned(), json!("chat.completion.chunk")),
            ("created".to_owned(), json!(self.created)),
            ("model".to_owned(), json!(self.model)),
            ("choices".to_owned(), choices),
        ]);
        if self.with_usage {
            fields.insert("usage".to_owned(), usage.clone());
        }
        sse::data(&Value::Object(fields))
    }

    /// The first chunk of a call.
    fn begin_call(&mut self, index: u64, tool: &Value) -> Bytes {
        let place = self.calls.len();
        self.calls.insert(index, Call { place, has_arguments: false });
        let function = json!({"name": tool.get("name"), "arguments": ""});
        let call = json!({"index": place, "id": tool.get("toolUseId"), "type": "function", "function": function});
        self.chunk(&json!({"tool_calls": [call]}), None)
    }

    /// A part of the arguments of a call.
    fn arguments(&mut self, index: u64, part: &str) -> Bytes {
        let Some(call) = self.calls.get_mut(&index).filter(|_| !part.is_empty()) else { return Bytes::new() };
        call.has_arguments = true;
        let call = json!({"index": call.place, "function": {"arguments": part}});
        self.chunk(&json!({"tool_calls": [call]}), None)
    }

    fn delta(&mut self, index: u64, delta: &Value) -> Bytes {
        if let Some(text) = delta.get("text") {
            return self.chunk(&json!({"content": text}), None);
        }
        match delta.pointer("/toolUse/input").and_then(Value::as_str) {
            Some(part) => self.arguments(index, part),
            // A thought has no place in a chunk.
            None => Bytes::new(),
        }
    }
}

impl Form for Chat {
    fn whole(&self, answer: &FinalAnswer, output: &Output, _latency_ms: u64) -> Value {
        let request_id = answer.tags.get("requestId").unwrap_or_default();
        let model = answer.model.as_ref().map(|model| model.model_id.as_ref().unwrap_or(&model.requested));
        let model = model.map(String::as_str).unwrap_or_default();
        response::whole(request_id, self.created, model, output, answer.usage.as_ref())
    }

    fn begin(&mut self, request_id: &str, model: &str) {
        self.id = response::id_of(request_id);
        model.clone_into(&mut self.model);
    }

    fn content_type(&self) -> &'static str {
        sse::EVENT_STREAM
    }

    fn event(&mut self, Event { name, fields }: &Event) -> Bytes {
        let index = fields.get("contentBlockIndex").and_then(Value::as_u64).unwrap_or_default();
        let field = |name| fields.get(name).unwrap_or(&Value::Null);
        match *name {
            "messageStart" => self.chunk(&json!({"role": "assistant", "content": "", "refusal": null}), None),
            "contentBlockStart" => match field("start").get("toolUse") {
                Some(tool) => self.begin_call(index, tool),
                None => Bytes::new(),
            },
            "contentBlockDelta" => self.delta(index, field("delta")),
            // A call without arguments still has a JSON object.
            "contentBlockStop" if self.calls.get(&index).is_some_and(|call| !call.has_arguments) => {
                self.arguments(index, "{}")
            }
            "messageStop" => {
                let reason = finish_reason(field("stopReason").as_str().unwrap_or_default());
                self.chunk(&json!({}), Some(reason))
            }
            "metadata" if self.with_usage => match serde_json::from_value::<Usage>(field("usage").clone()) {
                Ok(usage) => self.chunk_of(json!([]), &usage_of(&usage)),
                Err(_) => Bytes::new(),
            },
            _ => Bytes::new(),
        }
    }

    fn broken(&mut self, failure: &ModelFailure) -> Bytes {
        sse::data(&errors::of_stream(failure))
    }

    /// An answer whose usage is unknown ends like any other, because its text is complete.
    fn end(&mut self, _answer: &FinalAnswer) -> Bytes {
        sse::text("[DONE]")
    }
}
