//! A reply as a Message.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

use crate::{
    guardrail,
    prompt::Prompt,
    reply::{Reply, Thoughts},
    tokens::Usage,
};

/// Stop reasons. Source: Claude docs, "Handling stop reasons"
/// (<https://platform.claude.com/docs/en/build-with-claude/handling-stop-reasons>).
const STOP_REASONS: [&str; 7] =
    ["end_turn", "max_tokens", "stop_sequence", "tool_use", "pause_turn", "refusal", "model_context_window_exceeded"];

/// `true` if a Message can have the stop reason of a reply.
pub fn knows_stop_reason(reason: &str) -> bool {
    STOP_REASONS.contains(&stop_reason(reason))
}

/// The Message with this reply of the foundation model `base`.
pub fn answer(reply: &Reply, prompt: &Prompt, base: &str) -> Value {
    let content = content(reply);
    if guardrail::blocks_input(prompt) {
        // No model is called, so there are no figures. Source: an invocation log of such a call with Claude 3 Haiku
        // (panther-labs/panther-analysis, tests of the rule for Bedrock guardrails).
        return json!({"type": "message", "role": "assistant", "content": content});
    }
    let mut message = json!({
        "model": name(base), "id": id(), "type": "message", "role": "assistant", "content": content,
        "stop_reason": stop_reason(&reply.stop_reason), "stop_sequence": reply.stop_sequence,
    });
    if let Some(message) = message.as_object_mut() {
        message.extend(told(reply, |usage| usage.output));
    }
    message
}

/// The content blocks of a reply.
pub fn content(reply: &Reply) -> Vec<Value> {
    let thoughts = reply.thoughts.iter().map(|thoughts| match thoughts {
        Thoughts::Told { text, signature } => json!({"type": "thinking", "thinking": text, "signature": signature}),
        Thoughts::Redacted(data) => json!({"type": "redacted_thinking", "data": data}),
    });
    let text = reply.text.iter().map(|text| json!({"type": "text", "text": text}));
    let asked = reply.tool_use.iter().map(|asked| {
        // Claude's own ids begin with `toolu_`, and those on Bedrock with `toolu_bdrk_`.
        let id = format!("toolu_bdrk_{}", asked.id.trim_start_matches("tooluse_"));
        json!({"type": "tool_use", "id": id, "name": asked.name, "input": asked.input})
    });
    thoughts.chain(text).chain(asked).collect()
}

/// The stop reason of a Message. Converse's words for an answer that was filtered are `refusal` here. A guardrail does not
/// change the stop reason, because it is told apart.
pub fn stop_reason(reason: &str) -> &str {
    match reason {
        "content_filtered" => "refusal",
        "guardrail_intervened" => "end_turn",
        reason => reason,
    }
}

/// The field `usage`, with the output tokens that `output` tells. Empty if the answer shall not have it.
pub fn told(reply: &Reply, output: impl Fn(&Usage) -> u64) -> Map<String, Value> {
    let usage = &reply.usage;
    let (read, written) = (usage.cache_read.unwrap_or(0), usage.cache_write.unwrap_or(0));
    let long = usage.cache_write_long.min(written);
    let usage = json!({
        "input_tokens": usage.input,
        "cache_creation_input_tokens": written,
        "cache_read_input_tokens": read,
        "cache_creation": {"ephemeral_5m_input_tokens": written - long, "ephemeral_1h_input_tokens": long},
        "output_tokens": output(usage),
    });
    reply.usage_is_told.then(|| ("usage".to_owned(), usage)).into_iter().collect()
}

/// The name in Anthropic's list of models, such as `claude-haiku-4-5-20251001`.
pub fn name(base: &str) -> &str {
    let name = base.strip_prefix("anthropic.").unwrap_or(base);
    name.rsplit_once("-v").map_or(name, |(name, _)| name)
}

/// A new id of a Message on Bedrock.
pub fn id() -> String {
    static MESSAGES: AtomicU64 = AtomicU64::new(1);
    format!("msg_bdrk_{:024}", MESSAGES.fetch_add(1, Ordering::Relaxed))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_model_has_no_vendor_and_no_version_of_bedrock() {
        assert_eq!(name("anthropic.claude-haiku-4-5-20251001-v1:0"), "claude-haiku-4-5-20251001");
        assert_eq!(name("anthropic.claude-opus-5"), "claude-opus-5");
    }

    #[test]
    fn a_stop_reason_of_converse_has_a_word_of_anthropic() {
        for (given, expected, known) in [
            ("end_turn", "end_turn", true),
            ("content_filtered", "refusal", true),
            ("refusal", "refusal", true),
            ("malformed_tool_use", "malformed_tool_use", false),
        ] {
            assert_eq!((stop_reason(given), knows_stop_reason(given)), (expected, known));
        }
    }
}
