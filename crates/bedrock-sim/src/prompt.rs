//! A request as the reply needs it: system texts, turns, and settings.

use serde_json::Value;

use crate::{cache::CachePoint, thinking::Thinking, tokens, tools::Tools};

/// Who wrote a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The caller.
    User,
    /// The model.
    Assistant,
}

/// What the assistant's turn begins with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A text.
    Text,
    /// Thoughts, readable or not.
    Thoughts,
    /// A tool.
    ToolUse,
}

/// One message of the conversation.
#[derive(Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who wrote it.
    pub role: Role,
    /// What it says.
    pub text: String,
    /// Whether it says anything.
    pub has_text: bool,
    /// Input tokens of what is not text.
    pub more_tokens: u64,
    /// Width and height of its images, where they can be told.
    pub images: Vec<Option<(u64, u64)>>,
    /// The tools that it asks for, or answers, by the ids of their uses.
    pub tool_uses: Vec<String>,
    /// Its first block, as far as that matters.
    pub begins_with: Option<Kind>,
}

impl Turn {
    /// A turn that is text.
    pub const fn of(role: Role, text: String) -> Self {
        let has_text = !text.is_empty();
        Self { role, text, has_text, more_tokens: 0, images: Vec::new(), tool_uses: Vec::new(), begins_with: None }
    }

    /// Its input tokens.
    pub fn tokens(&self) -> u64 {
        tokens::input_tokens([self.text.as_str()]).saturating_add(self.more_tokens)
    }
}

/// What the model is asked. Has no `Debug`: prompts are never written anywhere.
#[derive(Clone, Default)]
pub struct Prompt {
    /// System texts.
    pub system: Vec<String>,
    /// The conversation, first turn first.
    pub turns: Vec<Turn>,
    /// The most tokens to write.
    pub max_tokens: Option<u64>,
    /// Texts that end the reply.
    pub stop_sequences: Vec<String>,
    /// Randomness, 0 to 1.
    pub temperature: Option<f64>,
    /// Nucleus, 0 to 1.
    pub top_p: Option<f64>,
    /// The tools that the model has.
    pub tools: Tools,
    /// The guardrail that looks at it.
    pub guardrail: Option<String>,
    /// How it is processed.
    pub service_tier: Option<String>,
    /// How the model thinks, if it does.
    pub thinking: Option<Thinking>,
    /// The schema that the reply's text fits.
    pub schema: Option<Value>,
    /// Where prefixes of it are cached.
    pub cache_points: Vec<CachePoint>,
}

impl Prompt {
    /// The last text of the user, which may carry directives.
    pub fn last_user_text(&self) -> &str {
        self.turns.iter().rev().find(|turn| turn.role == Role::User).map_or("", |turn| &turn.text)
    }

    /// Input tokens of everything.
    pub fn input_tokens(&self) -> u64 {
        let system = tokens::input_tokens(self.system.iter().map(String::as_str));
        let turns = self.turns.iter().map(Turn::tokens);
        turns.chain([self.tools.input_tokens]).fold(system, u64::saturating_add).min(tokens::MAX_TOKENS)
    }
}
