//! Answers in OpenAI's form: whole, or in chunks. They are sent as server-sent events, or as the events of `InvokeModel`.

use std::collections::BTreeMap;

use axum::body::Bytes;
use sentry_contract::answer::{FinalAnswer, Output, Usage};
use sentry_models::adapters::ModelFailure;
use sentry_models::adapters::stream::Event;
use serde_json::{Map, Value, json};

use super::errors;
use super::response::{self, finish_reason, usage_of};
use crate::api::Form;
use crate::native::Native;
use crate::sse;

/// The form of the answer to one request.
pub struct Chat {
    id: String,
    /// The time of the request, in seconds since 1970.
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
    fn chunk(&self, delta: &Value, finish_reason: Option<&str>) -> Value {
        let choice = json!({"index": 0, "delta": delta, "logprobs": null, "finish_reason": finish_reason});
        self.chunk_of(json!([choice]), &Value::Null)
    }

    /// A chunk. `usage` is only there if the client wants it.
    fn chunk_of(&self, choices: Value, usage: &Value) -> Value {
        let mut fields = Map::from_iter([
            ("id".to_owned(), json!(self.id)),
            ("object".to_owned(), json!("chat.completion.chunk")),
            ("created".to_owned(), json!(self.created)),
            ("model".to_owned(), json!(self.model)),
            ("choices".to_owned(), choices),
        ]);
        if self.with_usage || !usage.is_null() {
            fields.insert("usage".to_owned(), usage.clone());
        }
        Value::Object(fields)
    }

    /// The first chunk of a call.
    fn begin_call(&mut self, index: u64, tool: &Value) -> Value {
        let place = self.calls.len();
        self.calls.insert(index, Call { place, has_arguments: false });
        let function = json!({"name": tool.get("name"), "arguments": ""});
        let call = json!({"index": place, "id": tool.get("toolUseId"), "type": "function", "function": function});
        self.chunk(&json!({"tool_calls": [call]}), None)
    }

    /// A part of the arguments of a call.
    fn arguments(&mut self, index: u64, part: &str) -> Option<Value> {
        let call = self.calls.get_mut(&index).filter(|_| !part.is_empty())?;
        call.has_arguments = true;
        let call = json!({"index": call.place, "function": {"arguments": part}});
        Some(self.chunk(&json!({"tool_calls": [call]}), None))
    }

    fn delta(&mut self, index: u64, delta: &Value) -> Option<Value> {
        if let Some(text) = delta.get("text") {
            return Some(self.chunk(&json!({"content": text}), None));
        }
        // A thought has no place in a chunk.
        self.arguments(index, delta.pointer("/toolUse/input")?.as_str()?)
    }

    /// The chunk after `event`, if there is one.
    fn after(&mut self, Event { name, fields }: &Event) -> Option<Value> {
        let index = fields.get("contentBlockIndex").and_then(Value::as_u64).unwrap_or_default();
        let field = |name| fields.get(name).unwrap_or(&Value::Null);
        match *name {
            "messageStart" => Some(self.chunk(&json!({"role": "assistant", "content": "", "refusal": null}), None)),
            "contentBlockStart" => Some(self.begin_call(index, field("start").get("toolUse")?)),
            "contentBlockDelta" => self.delta(index, field("delta")),
            // A call without arguments still has a JSON object.
            "contentBlockStop" if self.calls.get(&index).is_some_and(|call| !call.has_arguments) => {
                self.arguments(index, "{}")
            }
            "messageStop" => {
                let reason = finish_reason(field("stopReason").as_str().unwrap_or_default());
                Some(self.chunk(&json!({}), Some(reason)))
            }
            "metadata" if self.with_usage => {
                let usage: Usage = serde_json::from_value(field("usage").clone()).ok()?;
                Some(self.chunk_of(json!([]), &usage_of(&usage)))
            }
            _ => None,
        }
    }

    fn whole_answer(&self, answer: &FinalAnswer, output: &Output) -> Value {
        let request_id = answer.tags.get("requestId").unwrap_or_default();
        let model = answer.model.as_ref().map(|model| model.model_id.as_ref().unwrap_or(&model.requested));
        let model = model.map(String::as_str).unwrap_or_default();
        response::whole(request_id, self.created, model, output, answer.usage.as_ref())
    }

    fn answers(&mut self, request_id: &str, model: &str) {
        self.id = response::id_of(request_id);
        model.clone_into(&mut self.model);
    }
}

/// The form of `InvokeModel`.
impl Native for Chat {
    fn whole(&self, answer: &FinalAnswer, output: &Output) -> Value {
        self.whole_answer(answer, output)
    }

    fn begin(&mut self, request_id: &str, model: &str) {
        self.answers(request_id, model);
    }

    fn parts(&mut self, event: &Event) -> Vec<Value> {
        self.after(event).into_iter().collect()
    }

    fn end(&mut self, usage: &Usage) -> Vec<Value> {
        vec![self.chunk_of(json!([]), &usage_of(usage))]
    }
}

impl Form for Chat {
    fn whole(&self, answer: &FinalAnswer, output: &Output, _latency_ms: u64) -> Value {
        self.whole_answer(answer, output)
    }

    fn begin(&mut self, request_id: &str, model: &str) {
        self.answers(request_id, model);
    }

    fn content_type(&self) -> &'static str {
        sse::EVENT_STREAM
    }

    fn event(&mut self, event: &Event) -> Bytes {
        self.after(event).map(|chunk| sse::data(&chunk)).unwrap_or_default()
    }

    fn broken(&mut self, failure: &ModelFailure) -> Bytes {
        sse::data(&errors::of_stream(failure))
    }

    /// An answer whose usage is unknown ends like any other, because its text is complete.
    fn end(&mut self, _answer: &FinalAnswer) -> Bytes {
        sse::text("[DONE]")
    }
}
