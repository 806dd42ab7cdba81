//! The prompt of a request, and its parts.

use sentry_domain::{Charges, ServiceTier};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::{Block, CachePoint, Content, GuardContent, ResultBlock};
use crate::tools::{Guardrail, OutputFormat, Tool, ToolChoice};

/// The author of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person or program that sends the request.
    User,
    /// The model that answers.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// The author of the message.
    pub role: Role,
    /// The content of the message.
    pub content: Content,
}

/// The inference parameters of a request. Validation fills in the catalogue's defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Maximum number of output tokens, 1 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// Sampling temperature, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// Probability mass for nucleus sampling, from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Number of candidate tokens for sampling, 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Texts that end the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<String>,
}

/// The amount of reasoning before a model answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Reasoning {
    /// The model decides how long it reasons at this effort.
    Effort(Effort),
    /// The model reasons with at most this number of tokens, 1,024 or more. They count as output.
    BudgetTokens(u32),
    /// The model does not reason; always `true`.
    Off(bool),
}

crate::content::names! {
    /// The effort that a model puts into an answer.
    Effort { Low = "low", Medium = "medium", High = "high", Max = "max", }
}

/// A prompt, without the model and the tags.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prompt {
    /// Instructions to the model. They come before those of messages with the role `system`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Content>,
    /// The conversation. At least one message has a role other than `system`.
    pub messages: Vec<Message>,
    /// The inference parameters of the request.
    #[serde(default)]
    pub parameters: Parameters,
    /// Tools that the model may request.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// The rule that decides which tool the model requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// The guardrail that evaluates the prompt and the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<Guardrail>,
    /// The service tier. If it is absent, Bedrock's default applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<ServiceTier>,
    /// The amount of reasoning. If it is absent, the model's default applies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning>,
    /// The required format of the answer's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_format: Option<OutputFormat>,
    /// Fields of the model that Converse does not have: an object with keys that the catalogue allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_model_request_fields: Option<Value>,
    /// JSON Pointers to fields of the model's own answer that Converse does not have.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_model_response_field_paths: Vec<String>,
}

impl Prompt {
    /// `true` if the answer is a list of blocks. This is so if a message consists of blocks, if there are tools, or if
    /// the request sets the amount of reasoning.
    #[must_use]
    pub fn is_rich(&self) -> bool {
        !self.tools.is_empty()
            || self.reasoning.is_some()
            || self.messages.iter().any(|message| matches!(message.content, Content::Blocks(_)))
    }

    /// The properties of the prompt that decide which rates can apply.
    #[must_use]
    pub fn charges(&self) -> Charges {
        let ttl = |point: &CachePoint| point.ttl.unwrap_or_default();
        Charges { tier: self.service_tier.unwrap_or_default(), cache: self.cache_points().map(ttl).max() }
    }

    /// All cache points, including those of `system` and of the tools.
    pub fn cache_points(&self) -> impl Iterator<Item = &CachePoint> {
        let of_blocks = self.blocks().filter_map(|block| match block {
            Block::CachePoint(point) => Some(point),
            _ => None,
        });
        let of_tools = self.tools.iter().filter_map(|tool| match tool {
            Tool::CachePoint(point) => Some(point),
            Tool::ToolSpec(_) => None,
        });
        of_blocks.chain(of_tools)
    }

    /// All blocks of all lists, including those of `system`.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.system.iter().chain(self.messages.iter().map(|message| &message.content)).flat_map(Content::blocks)
    }

    /// `true` if the prompt contains an image, also if only a tool result contains it.
    #[must_use]
    pub fn has_images(&self) -> bool {
        let is_image = |block: &Block| matches!(block, Block::Image(_) | Block::GuardContent(GuardContent::Image(_)));
        self.any(is_image, |result| matches!(result, ResultBlock::Image(_)))
    }

    /// `true` if there are tools, or blocks that use a tool or have its result.
    #[must_use]
    pub fn has_tools(&self) -> bool {
        let speaks_of_tools = |block: &Block| matches!(block, Block::ToolUse(_) | Block::ToolResult(_));
        !self.tools.is_empty() || self.any(speaks_of_tools, |_| false)
    }

    fn any(&self, block: impl Fn(&Block) -> bool, result: impl Fn(&ResultBlock) -> bool) -> bool {
        self.blocks().any(|each| block(each) || each.results().iter().any(&result))
    }
}
