//! A reply as the events of a streamed Message.

use serde_json::{Value, json};

use super::answer::{content, id, name, stop_reason, told};
use crate::{reply::Reply, stream::pieces};

/// The events of a reply of the foundation model `base`. Texts, thoughts and inputs are split after every `words` words.
pub fn events(reply: &Reply, base: &str, words: usize) -> Vec<Value> {
    let mut message = json!({
        "model": name(base), "id": id(), "type": "message", "role": "assistant", "content": [], "stop_reason": null,
        "stop_sequence": null,
    });
    if let Some(message) = message.as_object_mut() {
        // The model has written its first token by then.
        message.extend(told(reply, |usage| usage.output.min(1)));
    }
    let mut events = vec![json!({"type": "message_start", "message": message})];
    for (index, block) in content(reply).iter().enumerate() {
        events.push(json!({"type": "content_block_start", "index": index, "content_block": start(block)}));
        let deltas = deltas(block, words).into_iter();
        events.extend(deltas.map(|delta| json!({"type": "content_block_delta", "index": index, "delta": delta})));
        events.push(json!({"type": "content_block_stop", "index": index}));
    }
    let delta = json!({"stop_reason": stop_reason(&reply.stop_reason), "stop_sequence": reply.stop_sequence});
    let mut last = json!({"type": "message_delta", "delta": delta});
    if let Some(last) = last.as_object_mut().filter(|_| reply.usage_is_told) {
        last.insert("usage".to_owned(), json!({"output_tokens": reply.usage.output}));
    }
    events.extend([last, json!({"type": "message_stop"})]);
    events
}

/// A block before its deltas.
fn start(block: &Value) -> Value {
    match kind(block) {
        "text" => json!({"type": "text", "text": ""}),
        "thinking" => json!({"type": "thinking", "thinking": "", "signature": ""}),
        "tool_use" => json!({"type": "tool_use", "id": block.get("id"), "name": block.get("name"), "input": {}}),
        // Redacted thoughts come as a whole.
        _ => block.clone(),
    }
}

fn deltas(block: &Value, words: usize) -> Vec<Value> {
    let text = |name: &str| block.get(name).and_then(Value::as_str).unwrap_or_default();
    match kind(block) {
        "text" => pieces(text("text"), words).map(|part| json!({"type": "text_delta", "text": part})).collect(),
        "thinking" => {
            let thoughts = pieces(text("thinking"), words);
            let thoughts = thoughts.map(|part| json!({"type": "thinking_delta", "thinking": part}));
            let signature = block.get("signature").filter(|signature| !signature.is_null());
            let signature = signature.map(|signature| json!({"type": "signature_delta", "signature": signature}));
            thoughts.chain(signature).collect()
        }
        "tool_use" => {
            let input = block.get("input").map(Value::to_string).unwrap_or_default();
            // The first part is empty. Source: Claude docs, "Streaming messages", streaming request with tool use.
            let parts = std::iter::once(String::new()).chain(pieces(&input, words));
            parts.map(|part| json!({"type": "input_json_delta", "partial_json": part})).collect()
        }
        _ => Vec::new(),
    }
}

fn kind(block: &Value) -> &str {
    block.get("type").and_then(Value::as_str).unwrap_or_default()
}
