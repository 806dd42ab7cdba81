//! `ConverseStream`: the answer of Converse in events.
//!
//! Source of the events: shape `ConverseStreamOutput` of the service model (botocore 1.44.8).

use serde_json::{Value, json};

use super::answer;
use crate::{
    reply::Reply,
    stream::{Event, pieces},
};

/// The events of a reply. Texts and thoughts are split after every `words` words.
pub fn events(reply: &Reply, service_tier: Option<&str>, words: usize) -> Vec<Event> {
    let answer = answer(reply, service_tier);
    let field = |name: &str| answer.get(name).cloned();
    let content = answer.pointer("/output/message/content").and_then(Value::as_array);
    let mut events = vec![("messageStart", json!({"role": "assistant"}))];
    for (index, block) in content.into_iter().flatten().enumerate() {
        if let Some(asked) = block.get("toolUse") {
            let start = json!({"toolUse": {"toolUseId": asked.get("toolUseId"), "name": asked.get("name")}});
            events.push(("contentBlockStart", json!({"contentBlockIndex": index, "start": start})));
        }
        let deltas = deltas(block, words);
        events.extend(deltas.map(|delta| ("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}))));
        events.push(("contentBlockStop", json!({"contentBlockIndex": index})));
    }
    let stop = ["stopReason", "additionalModelResponseFields"].into_iter();
    let stop = stop.filter_map(|name| Some((name.to_owned(), field(name)?)));
    events.push(("messageStop", stop.collect()));
    let metadata = ["usage", "metrics", "serviceTier"].into_iter();
    let metadata = metadata.filter_map(|name| Some((name.to_owned(), field(name)?)));
    events.push(("metadata", metadata.collect()));
    events
}

fn deltas(block: &Value, words: usize) -> std::vec::IntoIter<Value> {
    let text = |pointer: &str| block.pointer(pointer).and_then(Value::as_str);
    let deltas: Vec<Value> = if let Some(input) = block.pointer("/toolUse/input") {
        pieces(&input.to_string(), words).map(|part| json!({"toolUse": {"input": part}})).collect()
    } else if let Some(thought) = text("/reasoningContent/reasoningText/text") {
        let signature = text("/reasoningContent/reasoningText/signature");
        let signature = signature.map(|signature| json!({"reasoningContent": {"signature": signature}}));
        pieces(thought, words).map(|part| json!({"reasoningContent": {"text": part}})).chain(signature).collect()
    } else if let Some(redacted) = text("/reasoningContent/redactedContent") {
        vec![json!({"reasoningContent": {"redactedContent": redacted}})]
    } else {
        pieces(text("/text").unwrap_or_default(), words).map(|part| json!({"text": part})).collect()
    };
    deltas.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Usage;

    #[test]
    fn a_reply_begins_and_ends_as_a_stream_of_bedrock_does() {
        let usage = Usage { input: 1, output: 3, cache_read: None, cache_write: None, cache_write_long: 0 };
        let reply = Reply {
            text: Some("a b c".to_owned()),
            thoughts: None,
            tool_use: None,
            stop_reason: "end_turn".to_owned(),
            stop_sequence: None,
            usage,
            usage_is_told: true,
            latency_ms: 0,
            response_paths: vec!["/stop_reason".to_owned()],
        };
        let events = events(&reply, Some("flex"), 2);
        let names: Vec<&str> = events.iter().map(|(name, _)| *name).collect();
        let parts = ["contentBlockDelta", "contentBlockDelta", "contentBlockStop"];
        assert_eq!(names, [&["messageStart"][..], &parts, &["messageStop", "metadata"]].concat());
        let (_, stop) = events.iter().rev().nth(1).unwrap();
        let own = json!({"stop_reason": "end_turn"});
        assert_eq!(*stop, json!({"stopReason": "end_turn", "additionalModelResponseFields": own}));
        let (_, last) = events.last().unwrap();
        let usage = json!({"inputTokens": 1, "outputTokens": 3, "totalTokens": 4});
        assert_eq!(*last, json!({"usage": usage, "metrics": {"latencyMs": 0}, "serviceTier": {"type": "flex"}}));
    }
}
