//! Converse, Bedrock's own common format, as plain data: whoever makes the call sends this and hands back that.
//!
//! Source: Amazon Bedrock API Reference, Converse. `inferenceConfig` is the base set of parameters that every model there takes; a
//! model that lacks one of them refuses the request by name, at no cost, so they are sent as they are.

use std::collections::BTreeMap;

use sentry_contract::answer::StopReason;
use sentry_contract::content::{Block, ReasoningContent, ReasoningText, ToolUse};
use sentry_contract::request::{Prompt, Tags};
use sentry_contract::tools::{Guardrail, JsonSchema, OutputFormat, ServiceTier, Tool, ToolChoice};
use sentry_domain::{CacheTtl, Charges, TokenUsage};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::call::Call;
use super::conversation::{Conversation, Speaker};
use super::{ModelFailure, Reply};

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
    /// What Converse has no field for, in the family's own words.
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
    /// The form of the answer's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_config: Option<OutputConfig>,
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

/// `outputConfig`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputConfig {
    /// The form.
    pub text_format: TextFormat,
}

/// `textFormat`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "structure")]
pub enum TextFormat {
    /// JSON by a schema.
    #[serde(rename = "json_schema")]
    JsonSchema(Structure),
}

/// `structure`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Structure {
    /// The schema.
    JsonSchema(SchemaDefinition),
}

/// `jsonSchema`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaDefinition {
    /// The schema, written as JSON.
    pub schema: String,
    /// What the model knows it by.
    pub name: String,
}

/// The schema stays out of logs.
impl std::fmt::Debug for SchemaDefinition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SchemaDefinition({} bytes)", self.schema.len())
    }
}

impl From<&OutputFormat> for OutputConfig {
    fn from(OutputFormat::JsonSchema(JsonSchema { name, schema }): &OutputFormat) -> Self {
        let definition = SchemaDefinition { schema: schema.to_string(), name: name.clone() };
        Self { text_format: TextFormat::JsonSchema(Structure::JsonSchema(definition)) }
    }
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
    /// How it was processed.
    pub service_tier: Option<AnswerTier>,
}

/// `serviceTier` of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnswerTier {
    /// Which one, in Bedrock's word.
    pub r#type: String,
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

/// A block of an answer. Of other kinds (citations, say, which no request asks for) nothing is kept.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnswerBlock {
    /// Absent in a block of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Absent in a block of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_use: Option<AnswerToolUse>,
    /// Absent in a block of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<AnswerReasoning>,
}

/// The texts stay out of logs.
impl std::fmt::Debug for AnswerBlock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match self {
            Self { tool_use: Some(_), .. } => "tool use",
            Self { reasoning_content: Some(_), .. } => "reasoning",
            Self { text: Some(_), .. } => "text",
            _ => "another kind",
        };
        write!(f, "AnswerBlock({kind})")
    }
}

/// What the model thought.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnswerReasoning {
    /// Its words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_text: Option<AnswerReasoningText>,
    /// Its words, encrypted, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redacted_content: Option<String>,
}

/// The words of a thought.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnswerReasoningText {
    /// The words; empty where the vendor keeps them to itself.
    pub text: String,
    /// What the model asks for when the thought comes back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// The same by lifetime; not every model tells.
    pub cache_details: Option<Vec<AnswerCacheDetail>>,
}

/// Tokens that were written to a cache with one lifetime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnswerCacheDetail {
    /// The lifetime, in Bedrock's word.
    pub ttl: String,
    /// How many.
    pub input_tokens: i32,
}

/// The request for a call, whose parts are checked.
pub fn request(call: Call<'_>, tags: &Tags) -> ConverseRequest {
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
        additional_model_request_fields: call.additional,
        tool_config: ToolConfig::of(call.prompt),
        guardrail_config: call.prompt.guardrail.as_ref().map(GuardrailConfig::from),
        service_tier: call.prompt.service_tier.map(|tier| Tier { r#type: tier }),
        output_config: call.prompt.output_format.as_ref().map(OutputConfig::from),
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

/// The reply in an answer of Converse to a request with `charges`: where it does not tell the tier, or the lifetime of what was cached, they
/// are as the request asked for.
///
/// # Errors
/// When the answer cannot be understood, or says nothing of its usage.
pub fn normalise(answer: ConverseAnswer, charges: Charges) -> Result<Reply, ModelFailure> {
    let stop_reason = answer.stop_reason.as_deref().filter(|word| !word.is_empty()).map(stop_reason);
    let tier = answer.service_tier.and_then(|tier| service_tier(&tier.r#type)).unwrap_or(charges.tier);
    let usage = answer.usage.and_then(|usage| tokens(&usage, charges.cache)).map(|usage| TokenUsage { tier, ..usage });
    let usage = usage.filter(|usage| has_read(usage, stop_reason.as_ref()));
    let usage = usage.ok_or_else(ModelFailure::without_usage)?;
    let stop_reason = stop_reason.ok_or_else(|| ModelFailure::unknown_stop().spent(usage))?;
    let message = answer.output.message.ok_or_else(|| ModelFailure::without_message().spent(usage))?;
    let asks_for_a_tool = stop_reason == StopReason::ToolUse;
    let content =
        message.content.into_iter().filter_map(|each| block(each, asks_for_a_tool)).collect::<Result<Vec<_>, _>>();
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
    if let Some(thought) = block.reasoning_content {
        return reasoning(thought).map(|thought| Ok(Block::ReasoningContent(thought)));
    }
    block.text.filter(|text| !text.is_empty()).map(|text| Ok(Block::Text(text)))
}

/// What the model thought, as it gave it; nothing where it gave neither words nor a signature.
fn reasoning(AnswerReasoning { reasoning_text, redacted_content }: AnswerReasoning) -> Option<ReasoningContent> {
    if let Some(encrypted) = redacted_content {
        return (!encrypted.is_empty()).then_some(ReasoningContent::RedactedContent(encrypted));
    }
    let AnswerReasoningText { text, signature } = reasoning_text?;
    let signature = signature.filter(|signature| !signature.is_empty());
    let said = !text.is_empty() || signature.is_some();
    said.then_some(ReasoningContent::ReasoningText(ReasoningText { text, signature }))
}

fn service_tier(word: &str) -> Option<ServiceTier> {
    ServiceTier::ALL.iter().find(|tier| tier.name() == word).copied()
}

/// The counts, if they are whole. A 0 may stand for a count that is missing; it is believed where the total bears it out. `asked` is the
/// longest lifetime of the request's cache points.
fn tokens(usage: &ConverseUsage, asked: Option<CacheTtl>) -> Option<TokenUsage> {
    let count = |tokens: i32| u64::try_from(tokens).ok();
    let details = usage.cache_details.as_deref().unwrap_or_default();
    let of =
        |detail: &AnswerCacheDetail| Some((detail.ttl == CacheTtl::FiveMinutes.name(), count(detail.input_tokens)?));
    let details = details.iter().map(of).collect::<Option<Vec<_>>>()?;
    // A lifetime that is not known here counts as the longest.
    let sum =
        |short: bool| details.iter().filter(|(is_short, _)| *is_short == short).map(|(_, tokens)| tokens).sum::<u64>();
    let (for_minutes, for_an_hour) = (sum(true), sum(false));
    let cache_write = count(usage.cache_write_input_tokens.unwrap_or_default())?.max(for_minutes + for_an_hour);
    let cache_write_1h = if asked == Some(CacheTtl::OneHour) { cache_write - for_minutes } else { for_an_hour };
    let tokens = TokenUsage {
        input: count(usage.input_tokens)?,
        output: count(usage.output_tokens)?,
        cache_read: count(usage.cache_read_input_tokens.unwrap_or_default())?,
        cache_write,
        cache_write_1h,
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
