//! A prompt as every format wants it: system text apart, and turns that alternate.

use std::borrow::Cow;

use sentry_contract::content::{Block, Content};
use sentry_contract::request::{Prompt, Role};
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
    /// What each says; at least one.
    pub said: Vec<&'r Content>,
}

impl Turn<'_> {
    /// Every message's text.
    pub fn texts(&self) -> Vec<Cow<'_, str>> {
        texts(&self.said)
    }

    /// The turn as one text.
    pub fn text(&self) -> String {
        self.texts().join(BETWEEN)
    }

    /// The turn as content blocks.
    pub fn blocks(&self) -> Vec<Block> {
        blocks(&self.said)
    }
}

/// A prompt's messages.
pub struct Conversation<'r> {
    pub system: Vec<&'r Content>,
    pub turns: Vec<Turn<'r>>,
}

impl<'r> Conversation<'r> {
    pub fn of(prompt: &'r Prompt) -> Self {
        let mut conversation = Self { system: prompt.system.iter().collect(), turns: Vec::new() };
        for message in &prompt.messages {
            match message.role {
                Role::System => conversation.system.push(&message.content),
                Role::User => conversation.say(Speaker::User, &message.content),
                Role::Assistant => conversation.say(Speaker::Assistant, &message.content),
            }
        }
        conversation
    }

    fn say(&mut self, speaker: Speaker, content: &'r Content) {
        match self.turns.last_mut() {
            Some(turn) if turn.speaker == speaker => turn.said.push(content),
            _ => self.turns.push(Turn { speaker, said: vec![content] }),
        }
    }

    /// The text of every system message.
    pub fn system_texts(&self) -> Vec<Cow<'_, str>> {
        texts(&self.system)
    }

    /// The system messages as one text, if there are any.
    pub fn system_text(&self) -> Option<String> {
        (!self.system.is_empty()).then(|| self.system_texts().join(BETWEEN))
    }

    /// The system messages as content blocks.
    pub fn system_blocks(&self) -> Vec<Block> {
        blocks(&self.system)
    }

    /// Whether the system messages have something that is no text.
    pub fn system_is_rich(&self) -> bool {
        self.system.iter().flat_map(|content| content.blocks()).any(|block| block.as_text().is_none())
    }

    /// Whether the model is to go on with a turn of its own that is already begun.
    pub fn ends_with_assistant(&self) -> bool {
        self.turns.last().is_some_and(|turn| turn.speaker == Speaker::Assistant)
    }
}

fn texts<'c>(said: &[&'c Content]) -> Vec<Cow<'c, str>> {
    said.iter().map(|content| content.text()).collect()
}

fn blocks(said: &[&Content]) -> Vec<Block> {
    said.iter().flat_map(|content| content.to_blocks()).collect()
}
