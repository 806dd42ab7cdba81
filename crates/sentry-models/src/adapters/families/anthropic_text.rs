//! Anthropic Claude v2 and Instant: text completion. The body has no token counts.
//!
//! Sources: Amazon Bedrock User Guide, "Anthropic Claude Text Completions API", and "Supported models and model features": documents, but
//! neither images nor tools on Converse.

use sentry_contract::answer::StopReason;
use serde_json::Value;

use super::super::adapter::{Adapter, Call, Found, Native, Refusal, Support};
use super::super::body::{Fields, text, without_marks};
use super::super::conversation::{Conversation, Speaker};

const HUMAN: &str = "\n\nHuman:";
const ASSISTANT: &str = "\n\nAssistant:";

pub struct AnthropicText;

impl Adapter for AnthropicText {
    fn converse(&self, _: &str) -> Support {
        Support::ALL.no_tools()
    }

    fn native(&self, _: &str) -> Option<&'static dyn Native> {
        Some(&TextCompletion)
    }
}

struct TextCompletion;

impl Native for TextCompletion {
    fn support(&self) -> Support {
        Support::ALL.text_only()
    }

    fn body(&self, call: &Call<'_>) -> Result<Value, Refusal> {
        Ok(Fields::default()
            .with("prompt", transcript(&call.conversation)?)
            .with("max_tokens_to_sample", call.max_tokens)
            .maybe("temperature", call.parameters().temperature)
            .maybe("top_p", call.parameters().top_p)
            .maybe("top_k", call.parameters().top_k)
            .list("stop_sequences", &call.parameters().stop_sequences)
            .done())
    }

    fn read(&self, answer: &Value) -> Found {
        let stop_reason = match (text(answer, "/stop_reason"), text(answer, "/stop")) {
            (Some("stop_sequence"), None | Some(HUMAN)) => Some(StopReason::EndTurn),
            (Some("stop_sequence"), Some(_)) => Some(StopReason::StopSequence),
            (Some("max_tokens"), _) => Some(StopReason::MaxTokens),
            (other, _) => other.map(StopReason::word),
        };
        let completion = text(answer, "/completion").map(|text| text.trim_start().to_owned());
        Found { text: completion, stop_reason, usage: None }
    }
}

/// System text first, turns marked, and the assistant's turn open at the end: a conversation that ends with the assistant is continued there.
fn transcript(conversation: &Conversation<'_>) -> Result<String, Refusal> {
    let mut transcript = without_marks(conversation.system_text().unwrap_or_default(), &[HUMAN, ASSISTANT])?;
    for turn in &conversation.turns {
        transcript.push_str(if turn.speaker == Speaker::User { HUMAN } else { ASSISTANT });
        transcript.push(' ');
        transcript.push_str(&without_marks(turn.text(), &[HUMAN, ASSISTANT])?);
    }
    if !conversation.ends_with_assistant() {
        transcript.push_str(ASSISTANT);
    }
    Ok(transcript)
}
