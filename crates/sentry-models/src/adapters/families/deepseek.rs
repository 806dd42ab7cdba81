//! DeepSeek. R1 has a text completion of its own; of V3 the User Guide shows no prompt format, so it is called through Converse only.
//!
//! Sources: Amazon Bedrock User Guide, "DeepSeek models" (body, answer, and the prompt of a single question); for system text and
//! further turns, the chat template of DeepSeek-R1's tokenizer; "Supported models and model features": no images. The body has no token counts.
//! R1 has no tools on Converse either, V3.1 has: Bedrock tells them apart.

use serde_json::Value;

use super::super::adapter::{Adapter, Call, Found, Native, Refusal, Support};
use super::super::body::{Fields, text, without_marks};
use super::super::conversation::{Conversation, Speaker};
use super::openai;

const BEGIN: &str = "<｜begin▁of▁sentence｜>";
const USER: &str = "<｜User｜>";
const ASSISTANT: &str = "<｜Assistant｜>";
const END: &str = "<｜end▁of▁sentence｜>";
/// The prompt opens the model's reasoning, the model closes it.
const THINK: &str = "<think>\n";
const THINK_END: &str = "</think>";

pub struct Deepseek;

impl Adapter for Deepseek {
    fn converse(&self, _: &str) -> Support {
        Support::NO_TOP_K.no_images()
    }

    fn native(&self, model_id: &str) -> Option<&'static dyn Native> {
        if model_id.contains("deepseek.v") { None } else { Some(&TextCompletion) }
    }
}

struct TextCompletion;

impl Native for TextCompletion {
    fn support(&self) -> Support {
        Support::NO_TOP_K.text_only()
    }

    fn body(&self, call: &Call<'_>) -> Result<Value, Refusal> {
        Ok(Fields::default()
            .with("prompt", prompt(&call.conversation)?)
            .with("max_tokens", call.max_tokens)
            .maybe("temperature", call.parameters().temperature)
            .maybe("top_p", call.parameters().top_p)
            .list("stop", &call.parameters().stop_sequences)
            .done())
    }

    fn read(&self, answer: &Value) -> Found {
        Found {
            text: text(answer, "/choices/0/text").map(|text| without_reasoning(text).to_owned()),
            stop_reason: openai::stop_reason(answer),
            usage: openai::usage(answer),
        }
    }
}

/// An answer that is to be continued stays open; otherwise the model reasons first.
fn prompt(conversation: &Conversation<'_>) -> Result<String, Refusal> {
    let own = |text: String| without_marks(text, &[BEGIN, USER, ASSISTANT, END]);
    let mut prompt = format!("{BEGIN}{}", own(conversation.system_text().unwrap_or_default())?);
    for (index, turn) in conversation.turns.iter().enumerate() {
        let is_last = index + 1 == conversation.turns.len();
        let text = own(turn.text())?;
        prompt.push_str(&match turn.speaker {
            Speaker::User => format!("{USER}{text}"),
            Speaker::Assistant if is_last => format!("{ASSISTANT}{text}"),
            Speaker::Assistant => format!("{ASSISTANT}{text}{END}"),
        });
    }
    if !conversation.ends_with_assistant() {
        prompt.push_str(ASSISTANT);
        prompt.push_str(THINK);
    }
    Ok(prompt)
}

/// What follows the reasoning; everything where the answer ended before the reasoning did.
fn without_reasoning(text: &str) -> &str {
    text.split_once(THINK_END).map_or(text, |(_, answer)| answer).trim_start()
}
