//! Converse, Bedrock's own common format, as plain data: whoever makes the call sends this and hands back that.
//!
//! Source: Amazon Bedrock API Reference, Converse. `inferenceConfig` is the base set of parameters that every model there takes; a
//! model that lacks one of them refuses the request by name, at no cost, so they are sent as they are.

use std::collections::BTreeMap;

use sentry_contract::answer::StopReason;
use sentry_contract::content::{Block, ToolUse};
use sentry_contract::request::{Family, Prompt, Tags};
use sentry_contract::tools::{Guardrail, ServiceTier, Tool, ToolChoice};
use sentry_domain::TokenUsage;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::conversation::{Conversation, Speaker};
use super::support::Call;
use super::{ModelFailure, Reply, words};

/// Longest key or value of `requestMetadata`, in characters. Source: Amazon Bedrock API Reference, Converse.
const MOST_METADATA_CHARS: usize = 256;

/// The body of a Converse request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConverseRequest {
    /// The turns; speakers alternate.
    pub messages: Vec<ConverseMessage>,
    /// The system messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<Block>,
    /// How to answer.
    pub inference_config: InferenceConfig,
    /// What Converse has no field for: `top_k`, in the family's own spelling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_model_request_fields: Option<Value>,
    /// What the model may ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<ToolConfig>,
    /// What looks at the prompt and the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail_config: Option<GuardrailConfig>,
    /// How it is processed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<Tier>,
    /// The tags, for the account's model invocation log; those that it cannot hold are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub request_metadata: BTreeMap<String, String>,
}

/// A message of Converse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConverseMessage {
    /// Whose turn it is.
    pub role: Speaker,
    /// What is said.
    pub content: Vec<Block>,
}

/// `toolConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolConfig {
    /// At least one.
    pub tools: Vec<Tool>,
    /// Which of them it has to ask for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
}

impl ToolConfig {
    /// The tools of a prompt, if it has any.
    pub fn of(prompt: &Prompt) -> Option<Self> {
        let Prompt { tools, tool_choice, .. } = prompt;
        (!tools.is_empty()).then(|| Self { tools: tools.clone(), tool_choice: tool_choice.clone() })
    }
}

/// `guardrailConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardrailConfig {
    /// Id or ARN.
    pub guardrail_identifier: String,
    /// A number, or `DRAFT`.
    pub guardrail_version: String,
}

impl From<&Guardrail> for GuardrailConfig {
    fn from(Guardrail { identifier, version }: &Guardrail) -> Self {
        Self { guardrail_identifier: identifier.clone(), guardrail_version: version.clone() }
    }
}

/// `serviceTier`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// Which one.
    pub r#type: ServiceTier,
}

/// `inferenceConfig`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceConfig {
    /// Most tokens to write.
    pub max_tokens: u32,
    /// 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Texts that end the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<String>,
}

/// What is read of Converse's answer; what a model leaves out is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConverseAnswer {
    /// What the model said.
    pub output: ConverseOutput,
    /// Why it stopped.
    pub stop_reason: Option<String>,
    /// What it read and wrote.
    pub usage: Option<ConverseUsage>,
}

/// `output` of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConverseOutput {
    /// The model's message.
    #[serde(default)]
    pub message: Option<AnswerMessage>,
}

/// The message of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnswerMessage {
    /// What is said.
    pub content: Vec<AnswerBlock>,
}

/// A block of an answer. Of those that are neither text nor a tool use (reasoning, say) nothing is kept.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnswerBlock {
    /// Absent in a block of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Absent in a block of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_use: Option<AnswerToolUse>,
}

/// The texts stay out of logs.
impl std::fmt::Debug for AnswerBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { text, tool_use } = self;
        write!(f, "AnswerBlock({:?} bytes, tool use: {})", text.as_ref().map(String::len), tool_use.is_some())
    }
}

/// The model asks for a tool. What a request must have may be missing here; what it may not have is passed over.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnswerToolUse {
    /// What the result refers to.
    pub tool_use_id: String,
    /// Which tool.
    pub name: String,
    /// What is passed to it.
    pub input: Value,
}

/// `usage` of an answer; signed, as the service defines it. A count that is missing is 0 here: the SDK does not tell the two apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConverseUsage {
    /// Without cached ones.
    pub input_tokens: i32,
    /// Written.
    pub output_tokens: i32,
    /// Both, for some models with cached ones.
    pub total_tokens: i32,
    /// Read from a cache.
    pub cache_read_input_tokens: Option<i32>,
    /// Written to a cache.
    pub cache_write_input_tokens: Option<i32>,
}

/// The request for a call whose parts are checked.
pub fn request(family: Family, call: &Call<'_>, tags: &Tags) -> ConverseRequest {
    let parameters = &call.prompt.parameters;
    let (system, messages) = conversation(&call.conversation);
    ConverseRequest {
        messages,
        system,
        inference_config: InferenceConfig {
            max_tokens: call.max_tokens,
            temperature: parameters.temperature,
            top_p: parameters.top_p,
            stop_sequences: parameters.stop_sequences.clone(),
        },
        additional_model_request_fields: parameters.top_k.map(|top_k| words::top_k(family, top_k)),
        tool_config: ToolConfig::of(call.prompt),
        guardrail_config: call.prompt.guardrail.as_ref().map(GuardrailConfig::from),
        service_tier: call.prompt.service_tier.map(|tier| Tier { r#type: tier }),
        request_metadata: metadata(tags),
    }
}

/// `system` and `messages`.
pub fn conversation(conversation: &Conversation<'_>) -> (Vec<Block>, Vec<ConverseMessage>) {
    let turns = conversation.turns.iter();
    let messages = turns.map(|turn| ConverseMessage { role: turn.speaker, content: turn.blocks() });
    (conversation.system_blocks(), messages.collect())
}

/// The tags that `requestMetadata` can hold; the others stay in the audit record only.
fn metadata(tags: &Tags) -> BTreeMap<String, String> {
    let fits = |text: &String| {
        text.len() <= MOST_METADATA_CHARS
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" :_@$#=/+,-.".contains(&byte))
    };
    let fitting = tags.0.iter().filter(|(name, value)| fits(name) && fits(value));
    fitting.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// The reply in an answer of Converse.
///
/// # Errors
/// When the answer cannot be understood, or says nothing of its usage.
pub fn normalise(answer: ConverseAnswer) -> Result<Reply, ModelFailure> {
    let stop_reason = answer.stop_reason.as_deref().filter(|word| !word.is_empty()).map(stop_reason);
    let usage = answer.usage.and_then(tokens).filter(|usage| has_read(usage, stop_reason.as_ref()));
    let usage = usage.ok_or_else(ModelFailure::without_usage)?;
    let stop_reason = stop_reason.ok_or_else(|| ModelFailure::unknown_stop().spent(usage))?;
    let message = answer.output.message.ok_or_else(|| ModelFailure::without_message().spent(usage))?;
    let asks_for_a_tool = stop_reason == StopReason::ToolUse;
    let content = message.content.into_iter().filter_map(|each| block(each, asks_for_a_tool)).collect::<Result<_, _>>();
    Ok(Reply { content: content.map_err(|failure| failure.spent(usage))?, stop_reason, usage })
}

/// A block of the answer. An empty one, and one of another kind, is left out. So is an unfinished tool use, unless the answer stopped for it.
fn block(block: AnswerBlock, asks_for_a_tool: bool) -> Option<Result<Block, ModelFailure>> {
    if let Some(AnswerToolUse { tool_use_id, name, input }) = block.tool_use {
        let unfinished = tool_use_id.is_empty() || name.is_empty();
        return match (unfinished, asks_for_a_tool) {
            (false, _) => Some(Ok(Block::ToolUse(ToolUse { tool_use_id, name, input }))),
            (true, false) => None,
            (true, true) => Some(Err(ModelFailure::malformed("it asks for a tool without saying which"))),
        };
    }
    block.text.filter(|text| !text.is_empty()).map(|text| Ok(Block::Text(text)))
}

/// The counts, if they are whole. A 0 may stand for a count that is missing; it is believed where the total bears it out.
fn tokens(usage: ConverseUsage) -> Option<TokenUsage> {
    let count = |tokens: i32| u64::try_from(tokens).ok();
    let tokens = TokenUsage {
        input: count(usage.input_tokens)?,
        output: count(usage.output_tokens)?,
        cache_read: count(usage.cache_read_input_tokens.unwrap_or_default())?,
        cache_write: count(usage.cache_write_input_tokens.unwrap_or_default())?,
        ..TokenUsage::default()
    };
    let total = count(usage.total_tokens)?;
    let has_zero = tokens.input == 0 || tokens.output == 0;
    let borne_out = total == tokens.input + tokens.output || total == tokens.read() + tokens.output;
    (!has_zero || borne_out).then_some(tokens)
}

/// Whether the call can have had this usage. Every one reads something, but one whose input a guardrail has blocked: then the model is not
/// asked.
fn has_read(usage: &TokenUsage, stop_reason: Option<&StopReason>) -> bool {
    usage.read() > 0 || stop_reason == Some(&StopReason::GuardrailIntervened)
}

/// Source: Amazon Bedrock API Reference, Converse, `stopReason`. A word that is not among these reaches the client as it is: its text was
/// paid for.
fn stop_reason(reason: &str) -> StopReason {
    match reason {
        "end_turn" => StopReason::EndTurn,
        "max_tokens" => StopReason::MaxTokens,
        "stop_sequence" => StopReason::StopSequence,
        "tool_use" => StopReason::ToolUse,
        "content_filtered" => StopReason::ContentFiltered,
        "guardrail_intervened" => StopReason::GuardrailIntervened,
        other => StopReason::word(other),
    }
}
