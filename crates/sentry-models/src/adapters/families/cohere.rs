//! Cohere: Command, a text completion without conversation, and Command R, a chat. `top_k` is `k` in both.
//!
//! Sources: Amazon Bedrock User Guide, "Cohere Command models", "Cohere Command R and Command R+ models", and "Supported models and model
//! features": on Converse, Command has no chat, system messages or tools, and neither has images. The bodies have no token counts.

use sentry_contract::answer::StopReason;
use serde_json::{Value, json};

use super::super::adapter::{Adapter, Call, Found, Native, Refusal, Support};
use super::super::body::{Fields, text};
use super::super::conversation::{Speaker, Turn};

/// Command and Command Light.
const TEXT: [&str; 2] = ["cohere.command-text", "cohere.command-light-text"];
const TEXT_SUPPORT: Support = Support { system: false, multi_turn: false, ..Support::ALL }.no_tools();

pub struct Cohere;

impl Adapter for Cohere {
    fn converse(&self, model_id: &str) -> Support {
        if is_text(model_id) { TEXT_SUPPORT } else { Support::ALL.no_images() }
    }

    fn top_k(&self, top_k: u32) -> Value {
        json!({"k": top_k})
    }

    fn native(&self, model_id: &str) -> Option<&'static dyn Native> {
        Some(if is_text(model_id) { &Command } else { &CommandR })
    }
}

fn is_text(model_id: &str) -> bool {
    TEXT.iter().any(|model| model_id.contains(model))
}

struct Command;

impl Native for Command {
    fn support(&self) -> Support {
        TEXT_SUPPORT.text_only()
    }

    fn body(&self, call: &Call<'_>) -> Result<Value, Refusal> {
        let (prompt, _) = last_question(&call.conversation.turns)?;
        Ok(parameters(call).with("prompt", prompt.text()).done())
    }

    fn read(&self, answer: &Value) -> Found {
        Found {
            text: text(answer, "/generations/0/text").map(|text| text.trim_start().to_owned()),
            stop_reason: text(answer, "/generations/0/finish_reason").map(stop_reason),
            usage: None,
        }
    }
}

struct CommandR;

impl Native for CommandR {
    fn support(&self) -> Support {
        Support::ALL.text_only()
    }

    fn body(&self, call: &Call<'_>) -> Result<Value, Refusal> {
        let (message, before) = last_question(&call.conversation.turns)?;
        let past = |turn: &Turn<'_>| {
            let role = if turn.speaker == Speaker::User { "USER" } else { "CHATBOT" };
            json!({"role": role, "message": turn.text()})
        };
        Ok(parameters(call)
            .with("message", message.text())
            .maybe("chat_history", (!before.is_empty()).then(|| before.iter().map(past).collect::<Value>()))
            .maybe("preamble", call.conversation.system_text())
            .done())
    }

    fn read(&self, answer: &Value) -> Found {
        Found {
            text: text(answer, "/text").map(str::to_owned),
            stop_reason: text(answer, "/finish_reason").map(stop_reason),
            usage: None,
        }
    }
}

fn parameters(call: &Call<'_>) -> Fields {
    Fields::default()
        .with("max_tokens", call.max_tokens)
        .maybe("temperature", call.parameters().temperature)
        .maybe("p", call.parameters().top_p)
        .maybe("k", call.parameters().top_k)
        .list("stop_sequences", &call.parameters().stop_sequences)
}

/// The user's turn that is to be answered, and those before it.
fn last_question<'t, 'r>(turns: &'t [Turn<'r>]) -> Result<(&'t Turn<'r>, &'t [Turn<'r>]), Refusal> {
    match turns.split_last() {
        Some((last, before)) if last.speaker == Speaker::User => Ok((last, before)),
        _ => Err(Refusal { parameter: "messages", because: "its conversations end with the user" }),
    }
}

/// The User Guide writes them in lower case for Command R; what the models send is in upper case.
fn stop_reason(reason: &str) -> StopReason {
    match reason.to_ascii_uppercase().as_str() {
        "COMPLETE" => StopReason::EndTurn,
        "MAX_TOKENS" => StopReason::MaxTokens,
        "STOP_SEQUENCE" => StopReason::StopSequence,
        "ERROR_TOXIC" => StopReason::ContentFiltered,
        _ => StopReason::word(reason),
    }
}
