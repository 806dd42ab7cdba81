//! The form of a prompt in Converse: separate system blocks, and turns that alternate.

use sentry_contract::content::{Block, Content};
use sentry_contract::request::{Prompt, Role};
use serde::{Deserialize, Serialize};

/// The speaker of a turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Speaker {
    /// The person or program that asks.
    User,
    /// The model, which answers.
    Assistant,
}

/// Consecutive messages of one speaker.
pub struct Turn<'r> {
    pub speaker: Speaker,
    /// The content of each message. At least one.
    pub said: Vec<&'r Content>,
}

impl Turn<'_> {
    pub fn blocks(&self) -> Vec<Block> {
        blocks(&self.said)
    }
}

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

    pub fn system_blocks(&self) -> Vec<Block> {
        blocks(&self.system)
    }

    /// `true` if the system messages contain a block that Converse does not allow there.
    pub fn system_is_rich(&self) -> bool {
        let fits = |block: &Block| matches!(block, Block::Text(_) | Block::CachePoint(_) | Block::GuardContent(_));
        self.system.iter().flat_map(|content| content.blocks()).any(|block| !fits(block))
    }
}

fn blocks(said: &[&Content]) -> Vec<Block> {
    said.iter().flat_map(|content| content.to_blocks()).collect()
}
