//! The Converse API, Bedrock's common format, as plain data. The caller sends a [`ConverseRequest`] and passes the
//! [`ConverseAnswer`] to [`normalize`].
//!
//! Source: Amazon Bedrock API Reference, Converse. `inferenceConfig` is the base set of parameters for all models in
//! Converse. If a model does not support one of them, it rejects the request with the parameter's name, and at no cost.
//! So these parameters are sent unchanged.

use std::collections::BTreeMap;

use sentry_contract::answer::{ModelFields, StopReason};
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
    /// The turns. User and assistant alternate.
    pub messages: Vec<ConverseMessage>,
    /// The blocks of all system messages.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub system: Vec<Block>,
    /// `max_tokens`, sampling and stop sequences.
    pub inference_config: InferenceConfig,
    /// Fields that Converse does not have, in the format of the model's family.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub additional_model_request_fields: Option<Value>,
    /// The fields of the model's own answer that are returned too.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub additional_model_response_field_paths: Vec<String>,
    /// The tools that the model can request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_config: Option<ToolConfig>,
    /// The guardrail that checks the prompt and the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub guardrail_config: Option<GuardrailConfig>,
    /// The service tier that the client requested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<Tier>,
    /// The format of the answer's text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub output_config: Option<OutputConfig>,
    /// The tags, for the account's model invocation log. Tags that `requestMetadata` cannot hold are left out.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub request_metadata: BTreeMap<String, String>,
}

/// One turn of a conversation in Converse.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ConverseMessage {
    /// The speaker of the turn.
    pub role: Speaker,
    /// The content of all messages of the turn.
    pub content: Vec<Block>,
}

/// The field `toolConfig` of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ToolConfig {
    /// Tools and cache points, with at least one tool.
    pub tools: Vec<Tool>,
    /// The client's choice: automatic, any tool, or one tool. Absent if the client did not choose.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<ToolChoice>,
}

impl ToolConfig {
    /// The tools of `prompt`. `None` if it has none.
    #[must_use]
    pub fn of(prompt: &Prompt) -> Option<Self> {
        let Prompt { tools, tool_choice, .. } = prompt;
        (!tools.is_empty()).then(|| Self { tools: tools.clone(), tool_choice: tool_choice.clone() })
    }
}

/// The field `guardrailConfig` of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GuardrailConfig {
    /// The guardrail's id or ARN.
    pub guardrail_identifier: String,
    /// A version number, or `DRAFT`.
    pub guardrail_version: String,
}

impl From<&Guardrail> for GuardrailConfig {
    fn from(Guardrail { identifier, version }: &Guardrail) -> Self {
        Self { guardrail_identifier: identifier.clone(), guardrail_version: version.clone() }
    }
}

/// The field `serviceTier` of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tier {
    /// The tier that the client requested.
    pub r#type: ServiceTier,
}

/// The field `outputConfig` of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputConfig {
    /// The format of the answer's text.
    pub text_format: TextFormat,
}

/// The field `textFormat` of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", content = "structure")]
pub enum TextFormat {
    /// JSON that matches a schema.
    #[serde(rename = "json_schema")]
    JsonSchema(Structure),
}

/// The field `structure` of a text format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Structure {
    /// The schema and its name.
    JsonSchema(SchemaDefinition),
}

/// The field `jsonSchema` of a structure.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SchemaDefinition {
    /// The schema, serialized as JSON text.
    pub schema: String,
    /// The name by which the model knows the schema.
    pub name: String,
    /// The purpose of the schema, for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// Hides the schema from logs.
impl std::fmt::Debug for SchemaDefinition {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SchemaDefinition({} bytes)", self.schema.len())
    }
}

impl From<&OutputFormat> for OutputConfig {
    fn from(OutputFormat::JsonSchema(JsonSchema { name, schema, description }): &OutputFormat) -> Self {
        let (name, description) = (name.clone(), description.clone());
        let definition = SchemaDefinition { schema: schema.to_string(), name, description };
        Self { text_format: TextFormat::JsonSchema(Structure::JsonSchema(definition)) }
    }
}

/// The field `inferenceConfig` of a request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InferenceConfig {
    /// Limit of the tokens that the model writes.
    pub max_tokens: u32,
    /// A number from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperature: Option<f64>,
    /// A number from 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub top_p: Option<f64>,
    /// Texts that end the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stop_sequences: Vec<String>,
}

/// The part of Converse's answer that the sentry reads. A field that the model leaves out is absent.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConverseAnswer {
    /// The output, with the model's message.
    pub output: ConverseOutput,
    /// The reason why the model stopped, in Bedrock's spelling.
    pub stop_reason: Option<String>,
    /// The tokens that were read and written.
    pub usage: Option<ConverseUsage>,
    /// The service tier on which Bedrock processed the request.
    pub service_tier: Option<AnswerTier>,
    /// The fields of the model's own answer that the request asked for.
    pub additional_model_response_fields: Option<ModelFields>,
}

/// The field `serviceTier` of an answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnswerTier {
    /// The tier in Bedrock's spelling.
    pub r#type: String,
}

/// The field `output` of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConverseOutput {
    /// The model's message. Absent if the answer has none.
    #[serde(default)]
    pub message: Option<AnswerMessage>,
}

/// The message of an answer.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AnswerMessage {
    /// The blocks in the order of the model.
    pub content: Vec<AnswerBlock>,
}

/// A block of an answer. A block of any other kind (such as citations, which no request asks for) has none of these
/// fields.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnswerBlock {
    /// A text. Absent in a block of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// A tool request. Absent in a block of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_use: Option<AnswerToolUse>,
    /// A thought. Absent in a block of another kind.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_content: Option<AnswerReasoning>,
}

/// Hides the texts from logs.
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

/// A thought of the model, in clear text or encrypted.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnswerReasoning {
    /// The thought in clear text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning_text: Option<AnswerReasoningText>,
    /// The encrypted thought, in base64.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redacted_content: Option<String>,
}

/// A thought in clear text, with its signature.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct AnswerReasoningText {
    /// The text of the thought. Empty if the vendor does not disclose it.
    pub text: String,
    /// The signature, which the model requires if the client sends the thought back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
}

/// A tool use that the model requests. Fields may be missing, and unknown fields are ignored.
#[derive(Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnswerToolUse {
    /// The id to which the tool's result refers.
    pub tool_use_id: String,
    /// The name of the tool.
    pub name: String,
    /// The tool's input, as any JSON.
    pub input: Value,
}

/// The field `usage` of an answer, with the signed integers of the service. A missing count is 0, because the SDK also
/// returns 0 for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ConverseUsage {
    /// Tokens read, without cached tokens.
    pub input_tokens: i32,
    /// Tokens written by the model.
    pub output_tokens: i32,
    /// The sum of both. For some models, it includes cached tokens.
    pub total_tokens: i32,
    /// Tokens read from a cache.
    pub cache_read_input_tokens: Option<i32>,
    /// Tokens written to a cache.
    pub cache_write_input_tokens: Option<i32>,
    /// Tokens written to a cache, by lifetime. Not every model reports them.
    pub cache_details: Option<Vec<AnswerCacheDetail>>,
}

/// Tokens that were written to a cache with one lifetime.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AnswerCacheDetail {
    /// The lifetime in Bedrock's spelling, such as `5m`.
    pub ttl: String,
    /// Number of tokens with this lifetime.
    pub input_tokens: i32,
}

/// Builds the Converse request of a checked call.
pub fn request(call: Call<'_>, tags: &Tags) -> ConverseRequest {
    // Without `..`, so that the compiler asks for a new field. `call` has the parts of the fields that are ignored here.
    let Prompt {
        system: _,
        messages: _,
        parameters,
        tools: _,
        tool_choice: _,
        guardrail,
        service_tier,
        reasoning: _,
        output_format,
        additional_model_request_fields: _,
        additional_model_response_field_paths,
    } = call.prompt;
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
        additional_model_response_field_paths: additional_model_response_field_paths.clone(),
        tool_config: ToolConfig::of(call.prompt),
        guardrail_config: guardrail.as_ref().map(GuardrailConfig::from),
        service_tier: service_tier.map(|tier| Tier { r#type: tier }),
        output_config: output_format.as_ref().map(OutputConfig::from),
        request_metadata: metadata(tags),
    }
}

/// The fields `system` and `messages` of a request.
#[must_use]
pub fn conversation(conversation: &Conversation<'_>) -> (Vec<Block>, Vec<ConverseMessage>) {
    let turns = conversation.turns.iter();
    let messages = turns.map(|turn| ConverseMessage { role: turn.speaker, content: turn.blocks() });
    (conversation.system_blocks(), messages.collect())
}

/// The tags that `requestMetadata` can hold. The other tags are in the audit record only.
fn metadata(tags: &Tags) -> BTreeMap<String, String> {
    let fits = |text: &String| {
        text.len() <= MOST_METADATA_CHARS
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" :_@$#=/+,-.".contains(&byte))
    };
    let fitting = tags.0.iter().filter(|(name, value)| fits(name) && fits(value));
    fitting.map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// Reads the reply from an answer of Converse to a request with `charges`. If the answer does not report the tier or
/// the cache lifetime, those of `charges` apply.
///
/// # Errors
/// If the answer cannot be understood, or does not report its usage.
pub fn normalize(answer: ConverseAnswer, charges: Charges) -> Result<Reply, ModelFailure> {
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
    let content = content.map_err(|failure| failure.spent(usage))?;
    Ok(Reply { content, stop_reason, usage, additional: answer.additional_model_response_fields.and_then(own_fields) })
}

/// The fields of the model's own answer, with sorted keys like a tool's input. `None` if there are none.
#[must_use]
pub fn own_fields(ModelFields(mut fields): ModelFields) -> Option<ModelFields> {
    fields.sort_all_objects();
    fields.as_object().is_some_and(|fields| !fields.is_empty()).then_some(ModelFields(fields))
}

/// Converts a block of the answer. `None` for an empty block and for a block of another kind. `None` also for an
/// unfinished tool use, unless the answer stopped for a tool use. Then it is an error.
fn block(block: AnswerBlock, asks_for_a_tool: bool) -> Option<Result<Block, ModelFailure>> {
    if let Some(AnswerToolUse { tool_use_id, name, mut input }) = block.tool_use {
        // The SDK does not keep the order of keys. Sorted, the same answer has the same text, whoever called the model.
        input.sort_all_objects();
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

/// Converts a thought. `None` if it has neither words nor a signature.
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

/// Checks and converts the counts. `None` if a count is negative, or if a count may be missing. A missing count is 0,
/// so a 0 is accepted only if the total confirms it. `asked` is the longest lifetime of the request's cache points.
fn tokens(usage: &ConverseUsage, asked: Option<CacheTtl>) -> Option<TokenUsage> {
    let count = |tokens: i32| u64::try_from(tokens).ok();
    let details = usage.cache_details.as_deref().unwrap_or_default();
    let of =
        |detail: &AnswerCacheDetail| Some((detail.ttl == CacheTtl::FiveMinutes.name(), count(detail.input_tokens)?));
    let details = details.iter().map(of).collect::<Option<Vec<_>>>()?;
    // An unknown lifetime counts as the longest lifetime.
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

/// `true` if a call can have this usage. Every call reads some tokens, unless a guardrail blocks the input. Then the
/// model is not called.
fn has_read(usage: &TokenUsage, stop_reason: Option<&StopReason>) -> bool {
    usage.read() > 0 || stop_reason == Some(&StopReason::GuardrailIntervened)
}

/// Converts a stop reason. The client receives an unknown word unchanged, because the account has paid for the text.
///
/// Source: Amazon Bedrock API Reference, Converse, `stopReason`.
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
