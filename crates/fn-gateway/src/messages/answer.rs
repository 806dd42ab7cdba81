//! Answers and events of a model in Anthropic's form.

use sentry_contract::answer::{FinalAnswer, Output, StopReason, Usage};
use sentry_contract::content::{Block, ReasoningContent};
use sentry_contract::request::Tags;
use sentry_models::adapters::stream::Event;
use serde_json::{Value, json};

use crate::native::Native;

/// The form of the answer to one request.
#[derive(Debug, Default)]
pub struct Messages {
    /// The stop sequence of the request, if there is only one.
    only_stop: Option<String>,
    /// The stop sequence that a stream names at its end.
    named_stop: Option<String>,
    id: String,
    model: String,
    /// The number of blocks that have begun.
    blocks: usize,
    /// Converse's index of the block that has begun and not ended.
    open: Option<u64>,
    stop_reason: Option<StopReason>,
}

impl Messages {
    /// The form of an answer to a request with `only_stop` as its only stop sequence.
    pub fn new(only_stop: Option<String>) -> Self {
        Self { only_stop, ..Self::default() }
    }

    /// The fields of a message.
    fn message(id: &str, model: &str, content: Vec<Value>, stop: Value, usage: Value) -> Value {
        let mut message = json!({
            "id": format!("msg_{id}"), "type": "message", "role": "assistant", "model": model, "content": content,
        });
        if let (Some(message), Value::Object(stop)) = (message.as_object_mut(), stop) {
            message.extend(stop);
            message.insert("usage".to_owned(), usage);
        }
        message
    }

    /// The fields about the end of an answer. `named` is the stop sequence that the model says it wrote.
    fn stop(&self, reason: Option<&StopReason>, named: Option<&str>) -> Value {
        let sequence = named.or(self.only_stop.as_deref()).filter(|_| reason == Some(&StopReason::StopSequence));
        json!({"stop_reason": reason.map(stop_reason), "stop_sequence": sequence})
    }

    /// Begins the block that `content_block` describes, after the end of the block before.
    fn begin_block(&mut self, place: u64, content_block: Value, parts: &mut Vec<Value>) {
        self.end_block(parts);
        self.open = Some(place);
        parts.push(json!({"type": "content_block_start", "index": self.blocks, "content_block": content_block}));
        self.blocks += 1;
    }

    fn end_block(&mut self, parts: &mut Vec<Value>) {
        if self.open.take().is_some() {
            parts.push(json!({"type": "content_block_stop", "index": self.blocks - 1}));
        }
    }

    /// The parts of a block. Converse has no start for blocks other than tool uses.
    fn delta(&mut self, place: u64, delta: &Value, parts: &mut Vec<Value>) {
        let Some((kind, value)) = kind_of(delta) else { return };
        if self.open != Some(place) {
            let begins = match kind {
                Kind::Redacted => json!({"type": "redacted_thinking", "data": value}),
                Kind::Text => json!({"type": "text", "text": ""}),
                // A tool use has begun before.
                Kind::Input => return,
                Kind::Thinking | Kind::Signature => json!({"type": "thinking", "thinking": "", "signature": ""}),
            };
            self.begin_block(place, begins, parts);
        }
        let (name, field) = match kind {
            Kind::Text => ("text_delta", "text"),
            Kind::Input => ("input_json_delta", "partial_json"),
            Kind::Thinking => ("thinking_delta", "thinking"),
            Kind::Signature => ("signature_delta", "signature"),
            Kind::Redacted => return,
        };
        parts.push(json!({
            "type": "content_block_delta", "index": self.blocks - 1, "delta": {"type": name, field: value}}));
    }
}

impl Native for Messages {
    fn whole(&self, answer: &FinalAnswer, output: &Output) -> Value {
        let model = answer.model.as_ref().and_then(|model| model.model_id.as_deref()).unwrap_or_default();
        let id = answer.tags.get(Tags::REQUEST_ID).unwrap_or_default();
        let content = output.message.content.to_blocks().iter().filter_map(block).collect();
        let own = output.additional_model_response_fields.as_ref();
        let stop = self.stop(Some(&output.stop_reason), own.and_then(|own| named_stop(&own.0)));
        Self::message(id, model, content, stop, json!(answer.usage.as_ref().map(usage)))
    }

    fn begin(&mut self, request_id: &str, model: &str) {
        (self.id, self.model) = (request_id.to_owned(), model.to_owned());
    }

    fn parts(&mut self, event: &Event) -> Vec<Value> {
        let fields = &event.fields;
        let place = fields.get("contentBlockIndex").and_then(Value::as_u64).unwrap_or_default();
        let mut parts = Vec::new();
        match event.name {
            "messageStart" => {
                // Bedrock reports the tokens at the end only, so the figures are in `message_delta`. Some clients add
                // both and some replace the first by the second. With zeros, all of them have the true figures.
                let none = json!({"input_tokens": 0, "output_tokens": 0});
                let message = Self::message(&self.id, &self.model, Vec::new(), self.stop(None, None), none);
                parts.push(json!({"type": "message_start", "message": message}));
            }
            "contentBlockStart" => {
                if let Some(asked) = fields.get("start").and_then(|start| start.get("toolUse")) {
                    let (id, name) = (asked.get("toolUseId"), asked.get("name"));
                    let begins = json!({"type": "tool_use", "id": id, "name": name, "input": {}});
                    self.begin_block(place, begins, &mut parts);
                }
            }
            "contentBlockDelta" => {
                if let Some(delta) = fields.get("delta") {
                    self.delta(place, delta, &mut parts);
                }
            }
            "contentBlockStop" => self.end_block(&mut parts),
            "messageStop" => {
                self.end_block(&mut parts);
                let reason = fields.get("stopReason").cloned();
                self.stop_reason = reason.and_then(|reason| serde_json::from_value(reason).ok());
                let own = fields.get("additionalModelResponseFields");
                self.named_stop = own.and_then(named_stop).map(str::to_owned);
            }
            _ => {}
        }
        parts
    }

    fn end(&mut self, total: &Usage) -> Vec<Value> {
        let delta = self.stop(self.stop_reason.as_ref(), self.named_stop.as_deref());
        vec![json!({"type": "message_delta", "delta": delta, "usage": usage(total)}), json!({"type": "message_stop"})]
    }
}

/// The stop sequence in the fields of the model's own answer.
fn named_stop(own: &Value) -> Option<&str> {
    own.get("stop_sequence").and_then(Value::as_str)
}

/// The kinds of deltas.
#[derive(Clone, Copy)]
enum Kind {
    Text,
    Input,
    Thinking,
    Signature,
    Redacted,
}

fn kind_of(delta: &Value) -> Option<(Kind, &Value)> {
    let thought = delta.get("reasoningContent");
    let of_thought = |name| thought.and_then(|thought| thought.get(name));
    [
        (Kind::Text, delta.get("text")),
        (Kind::Input, delta.get("toolUse").and_then(|asked| asked.get("input"))),
        (Kind::Thinking, of_thought("text")),
        (Kind::Signature, of_thought("signature")),
        (Kind::Redacted, of_thought("redactedContent")),
    ]
    .into_iter()
    .find_map(|(kind, value)| Some((kind, value?)))
}

/// A block of an answer. `None` for a kind that no model writes.
fn block(block: &Block) -> Option<Value> {
    Some(match block {
        Block::Text(text) => json!({"type": "text", "text": text}),
        Block::ToolUse(asked) => {
            json!({"type": "tool_use", "id": asked.tool_use_id, "name": asked.name, "input": asked.input})
        }
        Block::ReasoningContent(ReasoningContent::ReasoningText(thought)) => {
            // A signature is a required field of Anthropic's clients. Models of other vendors do not sign.
            let signature = thought.signature.as_deref().unwrap_or_default();
            json!({"type": "thinking", "thinking": thought.text, "signature": signature})
        }
        Block::ReasoningContent(ReasoningContent::RedactedContent(data)) => {
            json!({"type": "redacted_thinking", "data": data})
        }
        _ => return None,
    })
}

/// A filter or a guardrail that stops an answer is Anthropic's `refusal`. Source: Claude Docs, "Handling stop reasons".
fn stop_reason(reason: &StopReason) -> Value {
    match reason {
        StopReason::ContentFiltered | StopReason::GuardrailIntervened => json!("refusal"),
        other => json!(other),
    }
}

fn usage(usage: &Usage) -> Value {
    let tokens = &usage.tokens;
    json!({
        "input_tokens": tokens.input,
        "output_tokens": tokens.output,
        "cache_read_input_tokens": tokens.cache_read,
        "cache_creation_input_tokens": tokens.cache_write,
        "cache_creation": {
            "ephemeral_5m_input_tokens": tokens.cache_write_5m(),
            "ephemeral_1h_input_tokens": tokens.cache_write_1h,
        },
    })
}
