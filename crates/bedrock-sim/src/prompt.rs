//! A parsed request: system texts, turns, and settings.

use serde_json::{Map, Value};

use crate::{cache::CachePoint, tokens};

/// Author of a turn in the conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The caller of the model.
    User,
    /// The model that is called.
    Assistant,
}

/// Kind of the first block of an assistant turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// A block of text.
    Text,
    /// Thoughts, which may be encrypted.
    Thoughts,
    /// A request to use a tool.
    ToolUse,
}

/// One message of the conversation.
#[derive(Clone, PartialEq, Eq)]
pub struct Turn {
    /// Author of the message.
    pub role: Role,
    /// Text of all text blocks, joined with newlines.
    pub text: String,
    /// `true` if the message has a text block.
    pub has_text: bool,
    /// Input tokens of everything except the text.
    pub more_tokens: u64,
    /// Width and height of the images, in pixels. An entry is `None` if the size is not known.
    pub images: Vec<Option<(u64, u64)>>,
    /// Ids of the tool uses that this message requests (assistant) or answers (user).
    pub tool_uses: Vec<String>,
    /// Kind of the first text, thoughts, or tool use in the message. `None` if it has none of them.
    pub begins_with: Option<Kind>,
}

impl Turn {
    /// A turn that consists only of text.
    pub const fn of(role: Role, text: String) -> Self {
        let has_text = !text.is_empty();
        Self { role, text, has_text, more_tokens: 0, images: Vec::new(), tool_uses: Vec::new(), begins_with: None }
    }

    /// Input tokens of this message.
    pub fn tokens(&self) -> u64 {
        tokens::input_tokens([self.text.as_str()]).saturating_add(self.more_tokens)
    }
}

/// The tools of a request.
#[derive(Clone, Default)]
pub struct Tools {
    /// Names of the tools, in the order of the request.
    pub names: Vec<String>,
    /// The `default` values in each tool's schema. A tool use passes them on unchanged.
    pub defaults: Vec<Map<String, Value>>,
    /// The tool that the request forces the model to use.
    pub chosen: Option<String>,
    /// Input tokens of all tools and of their instructions.
    pub input_tokens: u64,
}

/// The form in which the caller sees the thoughts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Text with a signature.
    Signed,
    /// A signature with an empty text.
    Unseen,
    /// Text without a signature.
    Plain,
    /// `[REDACTED]` instead of the text, as Nova returns it.
    Masked,
    /// Bytes that only the model can read.
    Encrypted,
}

/// The thoughts that come before a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Thinking {
    /// Number of tokens of the thoughts.
    pub tokens: u64,
    /// The form of the thoughts in the answer.
    pub form: Form,
    /// `true` if the request sets a budget for the thoughts.
    pub by_budget: bool,
}

/// A parsed request to a model. It has no `Debug`, because prompts must not appear in logs.
#[derive(Clone, Default)]
pub struct Prompt {
    /// System texts, without cache points.
    pub system: Vec<String>,
    /// The conversation, with the first turn first.
    pub turns: Vec<Turn>,
    /// Maximum number of output tokens. `None` if the request has no maximum.
    pub max_tokens: Option<u64>,
    /// Texts at which the reply ends.
    pub stop_sequences: Vec<String>,
    /// Sampling temperature, from 0 to 1.
    pub temperature: Option<f64>,
    /// Nucleus sampling threshold, from 0 to 1.
    pub top_p: Option<f64>,
    /// Tools that the model can ask for.
    pub tools: Tools,
    /// Id or ARN of the guardrail, if there is one.
    pub guardrail: Option<String>,
    /// Service tier in the request, such as `flex`.
    pub service_tier: Option<String>,
    /// Thoughts before the reply. `None` if the model does not think.
    pub thinking: Option<Thinking>,
    /// JSON schema that the text of the reply must match.
    pub schema: Option<Value>,
    /// Checkpoints for the prompt cache.
    pub cache_points: Vec<CachePoint>,
    /// JSON Pointers to the fields of the model's own answer that the caller wants.
    pub response_paths: Vec<String>,
}

impl Prompt {
    /// The text of the last user turn, which may contain directives.
    pub fn last_user_text(&self) -> &str {
        self.turns.iter().rev().find(|turn| turn.role == Role::User).map_or("", |turn| &turn.text)
    }

    /// Input tokens of the whole request.
    pub fn input_tokens(&self) -> u64 {
        let system = tokens::input_tokens(self.system.iter().map(String::as_str));
        let turns = self.turns.iter().map(Turn::tokens);
        turns.chain([self.tools.input_tokens]).fold(system, u64::saturating_add).min(tokens::MAX_TOKENS)
    }
}
