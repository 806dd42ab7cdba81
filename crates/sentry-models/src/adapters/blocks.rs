//! Puts the blocks of an answer together from its events.

use std::collections::BTreeMap;

use aws_smithy_types::base64;
use serde_json::{Map, Value};

use super::converse::{AnswerBlock, AnswerReasoning, AnswerReasoningText, AnswerToolUse};
use super::event::Event;

/// The blocks of an answer so far, by their index.
#[derive(Clone, Default)]
pub struct Blocks(BTreeMap<u64, Part>);

/// A block that grows.
#[derive(Clone, Default)]
struct Part {
    block: AnswerBlock,
    /// The input of a tool, as JSON that is not complete yet.
    input: String,
}

/// Hides the texts from logs.
impl std::fmt::Debug for Blocks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Blocks({})", self.0.len())
    }
}

impl Blocks {
    /// Reads an event. Events that are not about a block change nothing.
    pub fn read(&mut self, event: &Event) {
        let Some(index) = event.fields.get("contentBlockIndex").and_then(Value::as_u64) else { return };
        let part = self.0.entry(index).or_default();
        if let Some(tool) = event.fields.pointer("/start/toolUse") {
            part.block.tool_use = Some(AnswerToolUse {
                tool_use_id: text(tool, "toolUseId").to_owned(),
                name: text(tool, "name").to_owned(),
                input: Value::Null,
            });
        }
        if let Some(delta) = event.fields.get("delta") {
            part.add(delta);
        }
    }

    /// The blocks in their order.
    pub fn all(self) -> Vec<AnswerBlock> {
        self.0.into_values().map(Part::whole).collect()
    }
}

impl Part {
    fn add(&mut self, delta: &Value) {
        if let Some(more) = delta.get("text").and_then(Value::as_str) {
            self.block.text.get_or_insert_default().push_str(more);
        }
        if let Some(tool) = delta.get("toolUse") {
            self.input.push_str(text(tool, "input"));
        }
        if let Some(thought) = delta.get("reasoningContent") {
            self.think(thought);
        }
    }

    fn think(&mut self, thought: &Value) {
        let AnswerReasoning { reasoning_text, redacted_content } = self.block.reasoning_content.get_or_insert_default();
        let part = |name| thought.get(name).and_then(Value::as_str);
        if let Some(more) = part("text") {
            reasoning_text.get_or_insert_default().text.push_str(more);
        }
        if let Some(more) = part("signature") {
            let AnswerReasoningText { signature, .. } = reasoning_text.get_or_insert_default();
            signature.get_or_insert_default().push_str(more);
        }
        if let Some(more) = part("redactedContent") {
            let encrypted = redacted_content.get_or_insert_default();
            *encrypted = joined(encrypted, more);
        }
    }

    /// The block. The input of a tool is an object. If the answer ended within it, it is the text that came.
    fn whole(mut self) -> AnswerBlock {
        if let Some(tool) = &mut self.block.tool_use {
            tool.input = match self.input.as_str() {
                "" => Value::Object(Map::new()),
                input => serde_json::from_str(input).unwrap_or(Value::String(self.input)),
            };
        }
        self.block
    }
}

/// The base64 of the bytes of two texts in base64. A text that is not base64 adds nothing.
fn joined(one: &str, other: &str) -> String {
    let bytes = [one, other].into_iter().flat_map(|text| base64::decode(text).unwrap_or_default());
    base64::encode(bytes.collect::<Vec<u8>>())
}

fn text<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(events: Vec<(&'static str, Value)>) -> Blocks {
        let mut blocks = Blocks::default();
        events.into_iter().for_each(|(name, fields)| blocks.read(&Event { name, fields }));
        blocks
    }

    fn delta(index: u64, delta: Value) -> (&'static str, Value) {
        ("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}))
    }

    #[test]
    fn the_blocks_are_those_of_a_whole_answer() {
        let tool = json!({"contentBlockIndex": 2, "start": {"toolUse": {"toolUseId": "t1", "name": "find"}}});
        let blocks = read(vec![
            ("messageStart", json!({"role": "assistant"})),
            delta(0, json!({"reasoningContent": {"text": "Let me "}})),
            delta(0, json!({"reasoningContent": {"text": "see"}})),
            delta(0, json!({"reasoningContent": {"signature": "c2ln"}})),
            delta(1, json!({"text": "I "})),
            delta(1, json!({"text": "look"})),
            ("contentBlockStart", tool),
            delta(2, json!({"toolUse": {"input": "{\"place\": "}})),
            delta(2, json!({"toolUse": {"input": "\"harbor\"}"}})),
            delta(3, json!({"reasoningContent": {"redactedContent": "YQ=="}})),
            delta(3, json!({"reasoningContent": {"redactedContent": "Yg=="}})),
            ("messageStop", json!({"stopReason": "tool_use"})),
        ]);
        assert!(!format!("{blocks:?}").contains("harbor"));
        let expected = json!([
            {"reasoningContent": {"reasoningText": {"text": "Let me see", "signature": "c2ln"}}},
            {"text": "I look"},
            {"toolUse": {"toolUseId": "t1", "name": "find", "input": {"place": "harbor"}}},
            {"reasoningContent": {"redactedContent": "YWI="}},
        ]);
        assert_eq!(serde_json::to_value(blocks.all()).unwrap(), expected);
    }

    #[test]
    fn an_input_that_is_empty_is_an_object_and_one_that_broke_off_is_its_text() {
        let start = |index: u64| {
            let tool = json!({"toolUse": {"toolUseId": "t", "name": "n"}});
            ("contentBlockStart", json!({"contentBlockIndex": index, "start": tool}))
        };
        let blocks = read(vec![start(0), start(1), delta(1, json!({"toolUse": {"input": "{\"a"}}))]);
        let inputs: Vec<Value> = blocks.all().into_iter().map(|block| block.tool_use.unwrap().input).collect();
        assert_eq!(inputs, [json!({}), json!("{\"a")]);
    }
}
