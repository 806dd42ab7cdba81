//! The parts of answers that whole ones and events share.

use sentry_contract::answer::{Output, Usage};
use sentry_contract::content::Block;
use serde_json::{Value, json};

/// The id of the answer to the request `request_id`.
pub fn id_of(request_id: &str) -> String {
    format!("chatcmpl-{request_id}")
}

/// A whole answer of `model`, which came at `created` (seconds since 1970).
pub fn whole(request_id: &str, created: i64, model: &str, output: &Output, usage: Option<&Usage>) -> Value {
    let stop_reason = json!(output.stop_reason);
    let choice = json!({
        "index": 0,
        "message": message(output),
        "logprobs": null,
        "finish_reason": finish_reason(stop_reason.as_str().unwrap_or_default()),
    });
    json!({
        "id": id_of(request_id),
        "object": "chat.completion",
        "created": created,
        "model": model,
        "choices": [choice],
        "usage": usage.map(usage_of),
    })
}

/// The message of the assistant. Its thoughts have no place in it.
fn message(output: &Output) -> Value {
    let blocks = output.message.content.to_blocks();
    let text: String = blocks.iter().filter_map(Block::as_text).collect();
    let calls: Vec<Value> = blocks.iter().filter_map(call).collect();
    // OpenAI has `null` beside calls without a text.
    let content = if text.is_empty() && !calls.is_empty() { Value::Null } else { json!(text) };
    let mut message = json!({"role": "assistant", "content": content, "refusal": null});
    if let (false, Some(fields)) = (calls.is_empty(), message.as_object_mut()) {
        fields.insert("tool_calls".to_owned(), json!(calls));
    }
    message
}

fn call(block: &Block) -> Option<Value> {
    let Block::ToolUse(tool) = block else { return None };
    let function = json!({"name": tool.name, "arguments": tool.input.to_string()});
    Some(json!({"id": tool.tool_use_id, "type": "function", "function": function}))
}

/// OpenAI's word for a stop reason of Converse. Its words are `stop`, `length`, `tool_calls` and `content_filter`.
pub fn finish_reason(stop_reason: &str) -> &'static str {
    match stop_reason {
        "max_tokens" | "model_context_window_exceeded" => "length",
        "tool_use" => "tool_calls",
        "content_filtered" | "guardrail_intervened" | "refusal" => "content_filter",
        _ => "stop",
    }
}

/// The `usage` object. Unlike Converse's `inputTokens`, `prompt_tokens` includes cached tokens.
pub fn usage_of(usage: &Usage) -> Value {
    let tokens = &usage.tokens;
    let prompt = tokens.read();
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": tokens.output,
        "total_tokens": prompt.saturating_add(tokens.output),
        "prompt_tokens_details": {"cached_tokens": tokens.cache_read},
    })
}
