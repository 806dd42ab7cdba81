//! A request as every format comes down to it: system texts, turns, and settings.

use crate::{error::ApiError, tokens, tools::Tools};

/// Who wrote a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The caller.
    User,
    /// The model.
    Assistant,
}

/// One message of the conversation.
#[derive(Clone, PartialEq, Eq)]
pub struct Turn {
    /// Who wrote it.
    pub role: Role,
    /// What it says.
    pub text: String,
    /// Input tokens of what is neither text nor an image.
    pub more_tokens: u64,
    /// Width and height of its images, where they can be told.
    pub images: Vec<Option<(u64, u64)>>,
    /// The tools that it asks for, or answers, by the ids of their uses.
    pub tool_uses: Vec<String>,
}

impl Turn {
    /// A turn that is text.
    pub const fn of(role: Role, text: String) -> Self {
        Self { role, text, more_tokens: 0, images: Vec::new(), tool_uses: Vec::new() }
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
    /// Input tokens of all images, which depend on the model.
    pub image_tokens: u64,
}

impl Prompt {
    /// One text of the user, for bodies that have no list of messages.
    pub fn of_text(text: &str) -> Self {
        Self { turns: vec![Turn::of(Role::User, text.to_owned())], ..Self::default() }
    }

    /// The last text of the user, which may carry directives.
    pub fn last_user_text(&self) -> &str {
        self.turns.iter().rev().find(|turn| turn.role == Role::User).map_or("", |turn| &turn.text)
    }

    /// Input tokens of everything.
    pub fn input_tokens(&self) -> u64 {
        let texts = self.system.iter().chain(self.turns.iter().map(|turn| &turn.text)).map(String::as_str);
        let more = self.turns.iter().map(|turn| turn.more_tokens).chain([self.tools.input_tokens, self.image_tokens]);
        more.fold(tokens::input_tokens(texts), u64::saturating_add).min(tokens::MAX_TOKENS)
    }

    /// Checks the order of the turns as Converse does.
    ///
    /// # Errors
    /// A ValidationException if there is no turn, the first is not the user's, or two of one role follow each other.
    pub fn check_turns(&self) -> Result<(), ApiError> {
        if self.turns.first().is_none_or(|turn| turn.role != Role::User) {
            return Err(ApiError::validation(
                "A conversation must start with a user message. Try again with a conversation that starts with a user message.",
            ));
        }
        if self.turns.windows(2).any(|pair| matches!(pair, [a, b] if a.role == b.role)) {
            return Err(ApiError::validation(
                "A conversation must alternate between user and assistant roles. Make sure the conversation alternates \
                 between user and assistant roles and try again.",
            ));
        }
        Ok(())
    }

    /// Checks that a reply begun for Claude does not end with white space.
    ///
    /// # Errors
    /// A ValidationException if it does.
    pub fn check_claude_prefill(&self) -> Result<(), ApiError> {
        let last = self.turns.last();
        if last.is_some_and(|turn| turn.role == Role::Assistant && turn.text.ends_with(char::is_whitespace)) {
            return Err(ApiError::validation("messages: final assistant content cannot end with trailing whitespace"));
        }
        Ok(())
    }
}
