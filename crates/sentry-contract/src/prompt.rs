//! What a model is asked.

use sentry_domain::{Charges, ServiceTier};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::content::{Block, CachePoint, Content, GuardContent, ResultBlock};
use crate::tools::{Guardrail, OutputFormat, Tool, ToolChoice};

/// Who says a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Instructions to the model.
    System,
    /// The person or program that asks.
    User,
    /// The model.
    Assistant,
}

/// One message of a conversation.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Message {
    /// Who says it.
    pub role: Role,
    /// What is said.
    pub content: Content,
}

/// The inference parameters of a request; validation fills in the catalogue's defaults.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Parameters {
    /// Most tokens to write, 1 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_tokens: Option<u32>,
    /// 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// 0 or more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_k: Option<u32>,
    /// Texts that end the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<String>,
}

/// How much a model thinks before it answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub enum Reasoning {
    /// As much as it thinks is worth this effort.
    Effort(Effort),
    /// At most so many tokens, 1,024 or more. They count as output.
    BudgetTokens(u32),
    /// Not at all; always `true`.
    Off(bool),
}

crate::content::names! {
    /// How much effort a model puts into an answer.
    Effort { Low = "low", Medium = "medium", High = "high", Max = "max", }
}

/// What the model is asked.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Prompt {
    /// Instructions to the model, before those of messages whose role is `system`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<Content>,
    /// At least one that is not `system`.
    pub messages: Vec<Message>,
    /// How to answer.
    #[serde(default)]
    pub parameters: Parameters,
    /// What the model may ask for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Which of the tools it has to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
    /// What looks at the prompt and the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<Guardrail>,
    /// How it is processed; Bedrock's default where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<ServiceTier>,
    /// How much the model thinks; as it does by itself where it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Reasoning>,
    /// The form of the answer's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_format: Option<OutputFormat>,
    /// Fields of the model's own that Converse has no place for: an object with keys that the catalogue allows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_model_request_fields: Option<Value>,
}

impl Prompt {
    /// Whether the answer is a list of blocks: a message is one, there are tools, or the request says how much the model thinks.
    #[must_use]
    pub fn is_rich(&self) -> bool {
        !self.tools.is_empty()
            || self.reasoning.is_some()
            || self.messages.iter().any(|message| matches!(message.content, Content::Blocks(_)))
    }

    /// What of the prompt decides which rates can apply to it.
    #[must_use]
    pub fn charges(&self) -> Charges {
        let ttl = |point: &CachePoint| point.ttl.unwrap_or_default();
        Charges { tier: self.service_tier.unwrap_or_default(), cache: self.cache_points().map(ttl).max() }
    }

    /// Every cache point, those of `system` and of the tools included.
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

    /// Every block of every list, those of `system` included.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.system.iter().chain(self.messages.iter().map(|message| &message.content)).flat_map(Content::blocks)
    }

    /// Whether there is a picture, be it in a tool's result.
    #[must_use]
    pub fn has_images(&self) -> bool {
        let is_image = |block: &Block| matches!(block, Block::Image(_) | Block::GuardContent(GuardContent::Image(_)));
        self.any(is_image, |result| matches!(result, ResultBlock::Image(_)))
    }

    /// Whether there are tools, or messages that speak of them.
    #[must_use]
    pub fn has_tools(&self) -> bool {
        let speaks_of_tools = |block: &Block| matches!(block, Block::ToolUse(_) | Block::ToolResult(_));
        !self.tools.is_empty() || self.any(speaks_of_tools, |_| false)
    }

    fn any(&self, block: impl Fn(&Block) -> bool, result: impl Fn(&ResultBlock) -> bool) -> bool {
        self.blocks().any(|each| block(each) || each.results().iter().any(&result))
    }
}
