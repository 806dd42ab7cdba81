//! What a model is asked.

use serde::{Deserialize, Serialize};

use crate::content::{Block, Content, ResultBlock};
use crate::tools::{Guardrail, ServiceTier, Tool, ToolChoice};

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
}

impl Prompt {
    /// Whether the answer is a list of blocks: a message is one, or there are tools.
    #[must_use]
    pub fn is_rich(&self) -> bool {
        !self.tools.is_empty() || self.messages.iter().any(|message| matches!(message.content, Content::Blocks(_)))
    }

    /// Whether it is processed at another rate than the catalogue's.
    #[must_use]
    pub fn has_other_rate(&self) -> bool {
        self.service_tier.is_some_and(|tier| tier != ServiceTier::Default)
    }

    /// Every block of every list, those of `system` included.
    pub fn blocks(&self) -> impl Iterator<Item = &Block> {
        self.system.iter().chain(self.messages.iter().map(|message| &message.content)).flat_map(Content::blocks)
    }

    /// Whether there is a picture, be it in a tool's result.
    #[must_use]
    pub fn has_images(&self) -> bool {
        self.any(|block| matches!(block, Block::Image(_)), |result| matches!(result, ResultBlock::Image(_)))
    }

    /// Whether there is a file, be it in a tool's result.
    #[must_use]
    pub fn has_documents(&self) -> bool {
        self.any(|block| matches!(block, Block::Document(_)), |result| matches!(result, ResultBlock::Document(_)))
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
