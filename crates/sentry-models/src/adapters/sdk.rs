//! The calls themselves, through the AWS SDK.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::operation::converse;
use aws_sdk_bedrockruntime::primitives::Blob;
use aws_sdk_bedrockruntime::types::{
    self, ContentBlock, ConversationRole, InferenceConfiguration, Message, SystemContentBlock,
};
use aws_smithy_types::{Document, Number};
use serde_json::Value;

use super::ModelFailure;
use super::conversation::Speaker;
use super::converse::{
    AnswerMessage, Block, ConverseAnswer, ConverseMessage, ConverseOutput, ConverseRequest, ConverseUsage,
    InferenceConfig,
};
use super::count_keeper::CountKeeper;
use super::headers::HeaderCounts;

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
        .set_request_metadata((!metadata.is_empty()).then(|| metadata.into_iter().collect()))
        .send()
        .await?;
    Ok(answer(output))
}

/// Sends a body in the model's own format.
pub async fn invoke(client: &Client, model_id: &str, body: &Value) -> Result<(Blob, HeaderCounts), ModelFailure> {
    let keeper = CountKeeper::default();
    let output = client
        .invoke_model()
        .model_id(model_id)
        .content_type("application/json")
        .accept("application/json")
        .body(Blob::new(body.to_string()))
        .customize()
        .interceptor(keeper.clone())
        .send()
        .await?;
    Ok((output.body, keeper.counts()))
}

pub fn system(blocks: Vec<Block>) -> Option<Vec<SystemContentBlock>> {
    let blocks: Vec<_> = blocks.into_iter().filter_map(|block| block.text).map(SystemContentBlock::Text).collect();
    (!blocks.is_empty()).then_some(blocks)
}

pub fn messages(messages: Vec<ConverseMessage>) -> Result<Vec<Message>, ModelFailure> {
    let message = |message: ConverseMessage| {
        let role = match message.role {
            Speaker::User => ConversationRole::User,
            Speaker::Assistant => ConversationRole::Assistant,
        };
        let content = message.content.into_iter().filter_map(|block| block.text).map(ContentBlock::Text).collect();
        Message::builder().role(role).set_content(Some(content)).build()
    };
    messages.into_iter().map(message).collect::<Result<_, _>>().map_err(|_| ModelFailure::unwritable())
}

#[expect(clippy::cast_possible_truncation, reason = "Converse takes 32-bit floats; both are from 0 to 1")]
fn inference_config(config: InferenceConfig) -> InferenceConfiguration {
    let stop_sequences = config.stop_sequences;
    InferenceConfiguration::builder()
        .max_tokens(i32::try_from(config.max_tokens).unwrap_or(i32::MAX))
        .set_temperature(config.temperature.map(|value| value as f32))
        .set_top_p(config.top_p.map(|value| value as f32))
        .set_stop_sequences((!stop_sequences.is_empty()).then_some(stop_sequences))
        .build()
}

/// JSON as the SDK has it.
fn document(value: Value) -> Document {
    match value {
        Value::Null => Document::Null,
        Value::Bool(value) => Document::Bool(value),
        Value::Number(number) => Document::Number(match (number.as_u64(), number.as_i64()) {
            (Some(value), _) => Number::PosInt(value),
            (None, Some(value)) => Number::NegInt(value),
            (None, None) => Number::Float(number.as_f64().unwrap_or_default()),
        }),
        Value::String(value) => Document::String(value),
        Value::Array(values) => Document::Array(values.into_iter().map(document).collect()),
        Value::Object(fields) => {
            Document::Object(fields.into_iter().map(|(name, value)| (name, document(value))).collect())
        }
    }
}

fn answer(output: converse::ConverseOutput) -> ConverseAnswer {
    let usage = output.usage.map(|usage| ConverseUsage {
        input_tokens: usage.input_tokens,
        output_tokens: usage.output_tokens,
        cache_read_input_tokens: usage.cache_read_input_tokens,
        cache_write_input_tokens: usage.cache_write_input_tokens,
    });
    let message = match output.output {
        Some(types::ConverseOutput::Message(message)) => {
            Some(AnswerMessage { content: message.content.into_iter().map(block).collect() })
        }
        _ => None,
    };
    ConverseAnswer {
        output: ConverseOutput { message },
        stop_reason: Some(output.stop_reason.as_str().to_owned()),
        usage,
    }
}

fn block(block: ContentBlock) -> Block {
    match block {
        ContentBlock::Text(text) => Block { text: Some(text) },
        _ => Block { text: None },
    }
}
