//! A kept answer as events, for a client that repeats a request for events.

use sentry_contract::answer::{Output, Usage};
use sentry_contract::content::{Block, ReasoningContent};
use sentry_models::adapters::stream::Event;
use serde_json::{Value, json};

use crate::converse::usage_of;

/// The events that `ConverseStream` sends for `output`. Each block has one part.
pub fn events_of(output: &Output, usage: Option<&Usage>) -> Vec<Event> {
    let mut events = vec![event("messageStart", json!({"role": output.message.role}))];
    for (index, block) in output.message.content.to_blocks().iter().enumerate() {
        events.extend(
            start(block).map(|start| event("contentBlockStart", json!({"contentBlockIndex": index, "start": start}))),
        );
        events.extend(
            deltas(block)
                .into_iter()
                .map(|delta| event("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}))),
        );
        events.push(event("contentBlockStop", json!({"contentBlockIndex": index})));
    }
    events.push(event("messageStop", stop(output)));
    events.extend(usage.map(metadata));
    events
}

const fn event(name: &'static str, fields: Value) -> Event {
    Event { name, fields }
}

/// The start of a block. Only a request for a tool has one.
fn start(block: &Block) -> Option<Value> {
    let Block::ToolUse(tool) = block else { return None };
    Some(json!({"toolUse": {"toolUseId": tool.tool_use_id, "name": tool.name}}))
}

/// The parts of a block. Blocks of other kinds do not occur in answers.
fn deltas(block: &Block) -> Vec<Value> {
    match block {
        Block::Text(text) => vec![json!({"text": text})],
        Block::ToolUse(tool) => vec![json!({"toolUse": {"input": tool.input.to_string()}})],
        Block::ReasoningContent(ReasoningContent::ReasoningText(thought)) => {
            let text = json!({"reasoningContent": {"text": thought.text}});
            let signature = thought.signature.as_ref();
            let signature = signature.map(|signature| json!({"reasoningContent": {"signature": signature}}));
            [Some(text), signature].into_iter().flatten().collect()
        }
        Block::ReasoningContent(ReasoningContent::RedactedContent(bytes)) => {
            vec![json!({"reasoningContent": {"redactedContent": bytes}})]
        }
        _ => Vec::new(),
    }
}

fn stop(output: &Output) -> Value {
    let mut fields = json!({"stopReason": output.stop_reason});
    if let (Some(own), Some(all)) = (&output.additional_model_response_fields, fields.as_object_mut()) {
        all.insert("additionalModelResponseFields".to_owned(), json!(own));
    }
    fields
}

fn metadata(usage: &Usage) -> Event {
    let mut fields = json!({"usage": usage_of(usage), "metrics": {"latencyMs": 0}});
    let tier = json!(usage).get("serviceTier").cloned();
    if let (Some(tier), Some(all)) = (tier, fields.as_object_mut()) {
        all.insert("serviceTier".to_owned(), json!({"type": tier}));
    }
    event("metadata", fields)
}

#[cfg(test)]
mod tests {
    use sentry_domain::Charges;
    use sentry_models::adapters::stream::Tally;

    use super::*;

    #[test]
    fn the_events_of_a_kept_answer_add_up_to_the_answer() {
        let content = json!([
            {"reasoningContent": {"reasoningText": {"text": "Let me see", "signature": "c2ln"}}},
            {"reasoningContent": {"redactedContent": "YWI="}},
            {"text": "I look"},
            {"toolUse": {"toolUseId": "t1", "name": "find", "input": {"place": "harbor"}}},
        ]);
        let output = json!({"message": {"role": "assistant", "content": content}, "stopReason": "tool_use"});
        let output: Output = serde_json::from_value(output).unwrap();
        let usage = json!({"inputTokens": 3, "outputTokens": 4, "totalTokens": 9, "cacheReadInputTokens": 2});
        let usage: Usage = serde_json::from_value(usage).unwrap();
        let mut tally = Tally::keeping_texts();
        events_of(&output, Some(&usage)).iter().for_each(|event| tally.read(event));
        let reply = tally.reply(Charges::default()).unwrap();
        assert_eq!(json!(reply.content), content);
        assert_eq!((reply.stop_reason, Usage::from(reply.usage)), (output.stop_reason, usage));
    }

    #[test]
    fn an_answer_of_another_tier_says_so_in_its_metadata() {
        let usage = json!({"inputTokens": 1, "outputTokens": 1, "totalTokens": 2, "serviceTier": "flex"});
        let usage: Usage = serde_json::from_value(usage).unwrap();
        let Event { fields, .. } = metadata(&usage);
        assert_eq!((&fields["serviceTier"], &fields["usage"]), (&json!({"type": "flex"}), &usage_of(&usage)));
    }
}
