//! The calls themselves, through the AWS SDK.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::operation::converse;
use aws_sdk_bedrockruntime::types::{
    self, ContentBlock, ConversationRole, GuardrailConfiguration, InferenceConfiguration, Message, ServiceTier,
    SystemContentBlock,
};
use sentry_contract::content::Block;

use super::ModelFailure;
use super::conversation::Speaker;
use super::converse::{
    AnswerBlock, AnswerMessage, AnswerToolUse, ConverseAnswer, ConverseMessage, ConverseOutput, ConverseRequest,
    ConverseUsage, GuardrailConfig, InferenceConfig, Tier,
};
use super::sdk_content::{block, document, json};

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
        .set_system(system(request.system))
        .set_messages(Some(messages(request.messages)?))
        .inference_config(inference_config(request.inference_config))
        .set_additional_model_request_fields(request.additional_model_request_fields.map(document))
        .set_tool_config(request.tool_config.map(tool_config).transpose()?)
        .set_guardrail_config(request.guardrail_config.map(guardrail))
        .set_service_tier(request.service_tier.map(tier).transpose()?)
        .set_request_metadata((!metadata.is_empty()).then(|| metadata.into_iter().collect()))
        .send()
        .await?;
    Ok(answer(output))
}

/// Validation lets nothing but text into them.
pub fn system(blocks: Vec<Block>) -> Option<Vec<SystemContentBlock>> {
    let texts = blocks.iter().filter_map(Block::as_text);
    let blocks: Vec<_> = texts.map(|text| SystemContentBlock::Text(text.to_owned())).collect();
    (!blocks.is_empty()).then_some(blocks)
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
    }
}

fn answer_block(block: ContentBlock) -> AnswerBlock {
    match block {
        ContentBlock::Text(text) => AnswerBlock { text: Some(text), tool_use: None },
        ContentBlock::ToolUse(asked) => {
            let (tool_use_id, name, input) = (asked.tool_use_id, asked.name, json(asked.input));
            AnswerBlock { text: None, tool_use: Some(AnswerToolUse { tool_use_id, name, input }) }
        }
        _ => AnswerBlock::default(),
    }
}
