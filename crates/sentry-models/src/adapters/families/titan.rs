//! Amazon Titan Text. No system messages on either transport, on Converse documents, but neither images nor tools (Amazon Bedrock User
//! Guide, "Supported models and model features").
//!
//! Source: Amazon Bedrock User Guide, "Amazon Titan Text models", whose form of a conversation is `User: …`, `Bot: …`, a line each.

use sentry_contract::answer::StopReason;
use serde_json::{Value, json};

use super::super::adapter::{Adapter, Call, Found, Native, Refusal, Support};
use super::super::body::{Fields, count, text, uncached, without_marks};
use super::super::conversation::{Conversation, Speaker};

const SUPPORT: Support = Support { system: false, ..Support::NO_TOP_K }.no_tools();
const USER: &str = "User:";
const BOT: &str = "Bot:";
const MARKS: [&str; 2] = ["\nUser:", "\nBot:"];

pub struct Titan;

impl Adapter for Titan {
    fn converse(&self, _: &str) -> Support {
        SUPPORT
    }

    fn native(&self, _: &str) -> Option<&'static dyn Native> {
        Some(&TitanText)
    }
}

struct TitanText;

impl Native for TitanText {
    fn support(&self) -> Support {
        SUPPORT.text_only()
    }

    fn body(&self, call: &Call<'_>) -> Result<Value, Refusal> {
        let config = Fields::default()
            .with("maxTokenCount", call.max_tokens)
            .maybe("temperature", call.parameters().temperature)
            .maybe("topP", call.parameters().top_p)
            .list("stopSequences", &call.parameters().stop_sequences);
        Ok(json!({"inputText": transcript(&call.conversation)?, "textGenerationConfig": config.done()}))
    }

    fn read(&self, answer: &Value) -> Found {
        let stop_reason = match text(answer, "/results/0/completionReason") {
            Some("FINISHED" | "FINISH") => Some(StopReason::EndTurn),
            Some("LENGTH") => Some(StopReason::MaxTokens),
            Some("STOP_CRITERIA_MET") => Some(StopReason::StopSequence),
            Some("CONTENT_FILTERED") => Some(StopReason::ContentFiltered),
            other => other.map(StopReason::word),
        };
        Found {
            text: text(answer, "/results/0/outputText").map(|text| text.trim_start().to_owned()),
            stop_reason,
            usage: uncached(count(answer, "/inputTextTokenCount"), count(answer, "/results/0/tokenCount")),
        }
    }
}

/// The bot's turn is open at the end.
fn transcript(conversation: &Conversation<'_>) -> Result<String, Refusal> {
    let mut lines = Vec::new();
    for turn in &conversation.turns {
        let name = if turn.speaker == Speaker::User { USER } else { BOT };
        lines.push(format!("{name} {}", without_marks(turn.text(), &MARKS)?));
    }
    if !conversation.ends_with_assistant() {
        lines.push(BOT.to_owned());
    }
    Ok(lines.join("\n"))
}
