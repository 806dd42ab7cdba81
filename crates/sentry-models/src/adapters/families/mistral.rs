//! Mistral AI: text completion for the first models, chat completion for Mistral Large and everything later.
//!
//! Sources: Amazon Bedrock User Guide, "Mistral AI text completion" (whose `top_k` only the Instruct models have) and "Mistral AI chat
//! completion" (which has neither `top_k` nor stop sequences); "Supported models and model features": Mistral AI Instruct has no system
//! messages, images or tools on Converse. Neither answer is documented to count tokens; where the chat completion does, it is read.

use sentry_contract::answer::StopReason;
use serde_json::Value;

use super::super::adapter::{Adapter, Call, Found, Native, Refusal, Support};
use super::super::body::{Fields, text, without_marks};
use super::super::conversation::{Conversation, Speaker};
use super::openai::Chat;

/// Mistral 7B Instruct and Mixtral 8x7B Instruct.
const INSTRUCT: [&str; 2] = ["mistral.mistral-7b-instruct", "mistral.mixtral-8x7b-instruct"];
/// Mistral Small (24.02) is the other one without chat completion.
const SMALL: &str = "mistral.mistral-small-2402";

const BEGIN: &str = "<s>";
const END: &str = "</s>";
const USER: &str = "[INST]";
const USER_END: &str = "[/INST]";

static CHAT: Chat = Chat {
    max_tokens: "max_tokens",
    support: Support { stop_sequences: false, ..Support::NO_TOP_K }.text_only(),
    reasoning: None,
};

pub struct Mistral;

impl Adapter for Mistral {
    fn converse(&self, model_id: &str) -> Support {
        if is_instruct(model_id) { Support { system: false, ..Support::ALL }.no_tools() } else { Support::NO_TOP_K }
    }

    fn native(&self, model_id: &str) -> Option<&'static dyn Native> {
        Some(if is_instruct(model_id) {
            &TextCompletion { top_k: true }
        } else if model_id.contains(SMALL) {
            &TextCompletion { top_k: false }
        } else {
            &CHAT
        })
    }
}

fn is_instruct(model_id: &str) -> bool {
    INSTRUCT.iter().any(|model| model_id.contains(model))
}

struct TextCompletion {
    top_k: bool,
}

impl Native for TextCompletion {
    fn support(&self) -> Support {
        Support { system: false, top_k: self.top_k, ..Support::ALL }.text_only()
    }

    fn body(&self, call: &Call<'_>) -> Result<Value, Refusal> {
        Ok(Fields::default()
            .with("prompt", prompt(&call.conversation)?)
            .with("max_tokens", call.max_tokens)
            .maybe("temperature", call.parameters().temperature)
            .maybe("top_p", call.parameters().top_p)
            .maybe("top_k", call.parameters().top_k)
            .list("stop", &call.parameters().stop_sequences)
            .done())
    }

    fn read(&self, answer: &Value) -> Found {
        let stop_reason = match text(answer, "/outputs/0/stop_reason") {
            Some("stop") => Some(StopReason::EndTurn),
            Some("length") => Some(StopReason::MaxTokens),
            other => other.map(StopReason::word),
        };
        let output = text(answer, "/outputs/0/text").map(|text| text.trim_start().to_owned());
        Found { text: output, stop_reason, usage: None }
    }
}

/// User and assistant in turn, from the user; an answer that is to be continued stays open.
fn prompt(conversation: &Conversation<'_>) -> Result<String, Refusal> {
    if conversation.turns.first().is_some_and(|turn| turn.speaker == Speaker::Assistant) {
        return Err(Refusal { parameter: "messages", because: "its conversations begin with the user" });
    }
    let mut prompt = BEGIN.to_owned();
    for (index, turn) in conversation.turns.iter().enumerate() {
        let text = without_marks(turn.text(), &[BEGIN, END, USER, USER_END])?;
        match turn.speaker {
            Speaker::User if index == 0 => prompt.push_str(&format!("{USER} {text} {USER_END}")),
            Speaker::User => prompt.push_str(&format!("{END} {USER} {text} {USER_END}")),
            Speaker::Assistant => prompt.push_str(&format!(" {text}")),
        }
    }
    Ok(prompt)
}
