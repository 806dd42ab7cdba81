//! OpenAI's chat completion, the format of several families' own.
//!
//! Sources: Amazon Bedrock User Guide, "OpenAI models"; OpenAI API Reference, "Create chat completion" and "The chat completion object".

use sentry_contract::answer::StopReason;
use sentry_domain::TokenUsage;
use serde_json::{Value, json};

use super::super::adapter::{Call, Found, Native, Refusal, Support};
use super::super::body::{Fields, count, count_or_zero, text};

/// What the families do differently.
pub struct Chat {
    /// The name of the field that bounds the answer.
    pub max_tokens: &'static str,
    pub support: Support,
    /// Marks around a reasoning that stands before the answer, in its text.
    pub reasoning: Option<(&'static str, &'static str)>,
}

impl Native for Chat {
    fn support(&self) -> Support {
        self.support
    }

    fn body(&self, call: &Call<'_>) -> Result<Value, Refusal> {
        let conversation = &call.conversation;
        let system = conversation.system_text().map(|text| json!({"role": "system", "content": text}));
        let turns = conversation.turns.iter().map(|turn| json!({"role": turn.speaker, "content": turn.text()}));
        Ok(Fields::default()
            .with("messages", system.into_iter().chain(turns).collect::<Value>())
            .with(self.max_tokens, call.max_tokens)
            .maybe("temperature", call.parameters().temperature)
            .maybe("top_p", call.parameters().top_p)
            .list("stop", &call.parameters().stop_sequences)
            .done())
    }

    fn read(&self, answer: &Value) -> Found {
        // A message without content is one of tool calls, or of reasoning only.
        let message = answer.pointer("/choices/0/message").filter(|message| message.is_object());
        let content = message.map(|message| text(message, "/content").unwrap_or_default());
        Found {
            text: content.map(|text| self.without_reasoning(text).to_owned()),
            stop_reason: stop_reason(answer),
            usage: usage(answer),
        }
    }
}

impl Chat {
    fn without_reasoning<'t>(&self, text: &'t str) -> &'t str {
        let Some((begin, end)) = self.reasoning else { return text };
        text.strip_prefix(begin).and_then(|text| text.split_once(end)).map_or(text, |(_, answer)| answer)
    }
}

/// OpenAI calls it `finish_reason`, Mistral's page in the User Guide `stop_reason`. A stop sequence is not told from an end.
pub fn stop_reason(answer: &Value) -> Option<StopReason> {
    let reason = ["/choices/0/finish_reason", "/choices/0/stop_reason"];
    Some(match reason.iter().find_map(|pointer| text(answer, pointer))? {
        "stop" => StopReason::EndTurn,
        "length" => StopReason::MaxTokens,
        "content_filter" => StopReason::ContentFiltered,
        "tool_calls" | "function_call" => StopReason::ToolUse,
        other => StopReason::word(other),
    })
}

/// `prompt_tokens` has the cached ones in it.
pub fn usage(answer: &Value) -> Option<TokenUsage> {
    let cached = count_or_zero(answer, "/usage/prompt_tokens_details/cached_tokens")?;
    Some(TokenUsage {
        input: count(answer, "/usage/prompt_tokens")?.checked_sub(cached)?,
        output: count(answer, "/usage/completion_tokens")?,
        cache_read: cached,
        cache_write: 0,
        ..TokenUsage::default()
    })
}
