//! A prompt as every format wants it: system text apart, and turns that alternate.

use sentry_contract::request::{Message, Role};
use serde::{Deserialize, Serialize};

/// What stands between messages that become one text.
const BETWEEN: &str = "\n\n";

/// Whose turn it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
}

/// Consecutive messages of one speaker.
pub struct Turn<'r> {
    pub speaker: Speaker,
    /// At least one.
    pub texts: Vec<&'r str>,
}

impl Turn<'_> {
    /// The turn as one text.
    pub fn text(&self) -> String {
        self.texts.join(BETWEEN)
    }
}

/// A prompt's messages.
pub struct Conversation<'r> {
    pub system: Vec<&'r str>,
    pub turns: Vec<Turn<'r>>,
}

impl<'r> Conversation<'r> {
    pub fn of(messages: &'r [Message]) -> Self {
        let mut conversation = Self { system: Vec::new(), turns: Vec::new() };
        for message in messages {
            let text = message.content.as_str();
            match message.role {
                Role::System => conversation.system.push(text),
                Role::User => conversation.say(Speaker::User, text),
                Role::Assistant => conversation.say(Speaker::Assistant, text),
            }
        }
        conversation
    }

    fn say(&mut self, speaker: Speaker, text: &'r str) {
        match self.turns.last_mut() {
            Some(turn) if turn.speaker == speaker => turn.texts.push(text),
            _ => self.turns.push(Turn { speaker, texts: vec![text] }),
        }
    }

    /// The system messages as one text, if there are any.
    pub fn system_text(&self) -> Option<String> {
        (!self.system.is_empty()).then(|| self.system.join(BETWEEN))
    }

    /// Whether the model is to go on with a turn of its own that is already begun.
    pub fn ends_with_assistant(&self) -> bool {
        self.turns.last().is_some_and(|turn| turn.speaker == Speaker::Assistant)
    }
}
