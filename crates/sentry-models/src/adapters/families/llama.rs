//! Meta Llama 3 and 4. Its own format has neither `top_k` nor stop sequences.
//!
//! Sources: Amazon Bedrock User Guide, "Meta Llama models"; the templates: Meta, "Llama 3 model card and prompt formats", and the same of
//! Llama 4, which names its tokens differently.

use sentry_contract::answer::StopReason;
use serde_json::Value;

use super::super::adapter::{Adapter, Call, Found, Native, Refusal, Support};
use super::super::body::{Fields, count, text, uncached, without_marks};
use super::super::conversation::{Conversation, Speaker};

const BEGIN: &str = "<|begin_of_text|>";

pub struct Llama;

impl Adapter for Llama {
    fn converse(&self, _: &str) -> Support {
        Support::NO_TOP_K
    }

    fn native(&self, model_id: &str) -> Option<&'static dyn Native> {
        if model_id.contains("meta.llama2") {
            // Its template is another one, and Bedrock has retired it.
            return None;
        }
        Some(if model_id.contains("meta.llama3") { &LLAMA_3 } else { &LLAMA_4 })
    }
}

/// The tokens that separate turns.
struct Template {
    start: &'static str,
    end: &'static str,
    end_of_turn: &'static str,
}

static LLAMA_3: Template =
    Template { start: "<|start_header_id|>", end: "<|end_header_id|>", end_of_turn: "<|eot_id|>" };
static LLAMA_4: Template = Template { start: "<|header_start|>", end: "<|header_end|>", end_of_turn: "<|eot|>" };

impl Native for Template {
    fn support(&self) -> Support {
        Support { stop_sequences: false, ..Support::NO_TOP_K }.text_only()
    }

    fn body(&self, call: &Call<'_>) -> Result<Value, Refusal> {
        Ok(Fields::default()
            .with("prompt", self.prompt(&call.conversation)?)
            .with("max_gen_len", call.max_tokens)
            .maybe("temperature", call.parameters().temperature)
            .maybe("top_p", call.parameters().top_p)
            .done())
    }

    fn read(&self, answer: &Value) -> Found {
        let stop_reason = match text(answer, "/stop_reason") {
            Some("stop") => Some(StopReason::EndTurn),
            Some("length") => Some(StopReason::MaxTokens),
            other => other.map(StopReason::word),
        };
        Found {
            text: text(answer, "/generation").map(|text| text.trim_start().to_owned()),
            stop_reason,
            usage: uncached(count(answer, "/prompt_token_count"), count(answer, "/generation_token_count")),
        }
    }
}

impl Template {
    /// The assistant's turn is open at the end: a conversation that ends with the assistant is continued there.
    fn prompt(&self, conversation: &Conversation<'_>) -> Result<String, Refusal> {
        let mut prompt = BEGIN.to_owned();
        if let Some(system) = conversation.system_text() {
            self.say(&mut prompt, "system", system)?;
            prompt.push_str(self.end_of_turn);
        }
        for (index, turn) in conversation.turns.iter().enumerate() {
            let role = if turn.speaker == Speaker::User { "user" } else { "assistant" };
            self.say(&mut prompt, role, turn.text())?;
            if index + 1 < conversation.turns.len() || turn.speaker == Speaker::User {
                prompt.push_str(self.end_of_turn);
            }
        }
        if !conversation.ends_with_assistant() {
            self.say(&mut prompt, "assistant", String::new())?;
        }
        Ok(prompt)
    }

    fn say(&self, prompt: &mut String, role: &str, text: String) -> Result<(), Refusal> {
        let text = without_marks(text, &[BEGIN, self.start, self.end, self.end_of_turn])?;
        for part in [self.start, role, self.end, "\n\n", text.as_str()] {
            prompt.push_str(part);
        }
        Ok(())
    }
}
