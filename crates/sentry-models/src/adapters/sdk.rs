//! The calls themselves, through the AWS SDK.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::operation::converse;
use aws_sdk_bedrockruntime::types::{
    self, CacheDetail, ContentBlock, ConversationRole, GuardrailConfiguration, InferenceConfiguration,
    JsonSchemaDefinition, Message, OutputFormat, OutputFormatStructure, OutputFormatType, ReasoningContentBlock,
    ServiceTier, SystemContentBlock,
};
use aws_smithy_types::base64;
use sentry_contract::content::Block;

use super::ModelFailure;
use super::conversation::Speaker;
use super::converse::{
    AnswerBlock, AnswerCacheDetail, AnswerMessage, AnswerReasoning, AnswerReasoningText, AnswerTier, AnswerToolUse,
    ConverseAnswer, ConverseMessage, ConverseOutput, ConverseRequest, ConverseUsage, GuardrailConfig, InferenceConfig,
    OutputConfig, SchemaDefinition, Structure, TextFormat, Tier,
};
use super::sdk_content::{block, document, json, system_block};

pub use super::sdk_content::tool_config;

/// Sends a Converse request.
pub async fn converse(
    client: &Client,
    model_id: &str,
    request: ConverseRequest,
) -> Result<ConverseAnswer, ModelFailure> {
    let metadata = request.request_metadata;
    let output = client
        .converse()
        .model_id(model_id)
        .set_system(system(request.system)?)
        .set_messages(Some(messages(request.messages)?))
        .inference_config(inference_config(request.inference_config))
        .set_additional_model_request_fields(request.additional_model_request_fields.map(document))
        .set_tool_config(request.tool_config.map(tool_config).transpose()?)
        .set_guardrail_config(request.guardrail_config.map(guardrail))
        .set_service_tier(request.service_tier.map(tier).transpose()?)
        .set_output_config(request.output_config.map(output_config).transpose()?)
        .set_request_metadata((!metadata.is_empty()).then(|| metadata.into_iter().collect()))
        .send()
        .await?;
    Ok(answer(output))
}

pub fn system(blocks: Vec<Block>) -> Result<Option<Vec<SystemContentBlock>>, ModelFailure> {
    let blocks = blocks.into_iter().map(system_block).collect::<Result<Vec<_>, _>>()?;
    Ok((!blocks.is_empty()).then_some(blocks))
}

pub fn messages(messages: Vec<ConverseMessage>) -> Result<Vec<Message>, ModelFailure> {
    let message = |message: ConverseMessage| {
        let role = match message.role {
            Speaker::User => ConversationRole::User,
            Speaker::Assistant => ConversationRole::Assistant,
        };
        let content = message.content.into_iter().map(block).collect::<Result<_, _>>()?;
        Message::builder().role(role).set_content(Some(content)).build().map_err(|_| ModelFailure::unwritable())
    };
    messages.into_iter().map(message).collect()
}

fn guardrail(config: GuardrailConfig) -> GuardrailConfiguration {
    GuardrailConfiguration::builder()
        .guardrail_identifier(config.guardrail_identifier)
        .guardrail_version(config.guardrail_version)
        .build()
}

fn tier(tier: Tier) -> Result<ServiceTier, ModelFailure> {
    ServiceTier::builder().r#type(tier.r#type.name().into()).build().map_err(|_| ModelFailure::unwritable())
}

fn output_config(config: OutputConfig) -> Result<types::OutputConfig, ModelFailure> {
    let TextFormat::JsonSchema(Structure::JsonSchema(SchemaDefinition { schema, name })) = config.text_format;
    let definition = JsonSchemaDefinition::builder().schema(schema).name(name).build();
    let structure = OutputFormatStructure::JsonSchema(definition.map_err(|_| ModelFailure::unwritable())?);
    let format = OutputFormat::builder().r#type(OutputFormatType::JsonSchema).structure(structure).build();
    Ok(types::OutputConfig::builder().text_format(format.map_err(|_| ModelFailure::unwritable())?).build())
}

#[expect(clippy::cast_possible_truncation, reason = "Converse takes 32-bit floats; both are from 0 to 1")]
fn inference_config(config: InferenceConfig) -> InferenceConfiguration {
    let stop_sequences = config.stop_sequences;
    InferenceConfiguration::builder()
        // No more than this passes the check of a request's parts.
        .max_tokens(i32::try_from(config.max_tokens).unwrap_or(i32::MAX))
        .set_temperature(config.temperature.map(|value| value as f32))
        .set_top_p(config.top_p.map(|value| value as f32))
        .set_stop_sequences((!stop_sequences.is_empty()).then_some(stop_sequences))
        .build()
}

fn answer(output: converse::ConverseOutput) -> ConverseAnswer {
    let usage = output.usage.map(|usage| ConverseUsage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        total_tokens: usage.total_tokens,
        cache_read_input_tokens: usage.cache_read_input_tokens,
        cache_write_input_tokens: usage.cache_write_input_tokens,
        cache_details: usage.cache_details.map(|details| details.into_iter().map(cache_detail).collect()),
    });
    let message = match output.output {
        Some(types::ConverseOutput::Message(message)) => {
            Some(AnswerMessage { content: message.content.into_iter().map(answer_block).collect() })
        }
        _ => None,
    };
    ConverseAnswer {
        output: ConverseOutput { message },
        stop_reason: Some(output.stop_reason.as_str().to_owned()),
        usage,
        service_tier: output.service_tier.map(|tier| AnswerTier { r#type: tier.r#type.as_str().to_owned() }),
    }
}

fn cache_detail(detail: CacheDetail) -> AnswerCacheDetail {
    AnswerCacheDetail { ttl: detail.ttl.as_str().to_owned(), input_tokens: detail.input_tokens }
}

fn answer_block(block: ContentBlock) -> AnswerBlock {
    match block {
        ContentBlock::Text(text) => AnswerBlock { text: Some(text), ..AnswerBlock::default() },
        ContentBlock::ToolUse(asked) => {
            let (tool_use_id, name, input) = (asked.tool_use_id, asked.name, json(asked.input));
            AnswerBlock { tool_use: Some(AnswerToolUse { tool_use_id, name, input }), ..AnswerBlock::default() }
        }
        ContentBlock::ReasoningContent(thought) => {
            AnswerBlock { reasoning_content: Some(reasoning(thought)), ..AnswerBlock::default() }
        }
        _ => AnswerBlock::default(),
    }
}

fn reasoning(thought: ReasoningContentBlock) -> AnswerReasoning {
    match thought {
        ReasoningContentBlock::ReasoningText(thought) => {
            let (text, signature) = (thought.text, thought.signature);
            AnswerReasoning { reasoning_text: Some(AnswerReasoningText { text, signature }), redacted_content: None }
        }
        ReasoningContentBlock::RedactedContent(bytes) => {
            AnswerReasoning { reasoning_text: None, redacted_content: Some(base64::encode(bytes)) }
        }
        _ => AnswerReasoning::default(),
    }
}
