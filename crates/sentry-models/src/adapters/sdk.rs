//! Calls to Bedrock through the AWS SDK.
//!
//! The SDK signs and sends the request and reads the answer. This module writes the body, because the SDK's own
//! document type does not keep the order of an object's keys. Without this order, the same list of tools would have
//! another text in each request, and Bedrock would never read it from the prompt cache.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::operation::converse;
use aws_sdk_bedrockruntime::types::{self, CacheDetail, ContentBlock, ReasoningContentBlock};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_types::body::SdkBody;
use aws_smithy_types::{Document, Number, base64};
use sentry_contract::answer::ModelFields;
use serde::Serialize;
use serde_json::Value;

use super::ModelFailure;
use super::converse::{
    AnswerBlock, AnswerCacheDetail, AnswerMessage, AnswerReasoning, AnswerReasoningText, AnswerTier, AnswerToolUse,
    ConverseAnswer, ConverseOutput, ConverseRequest, ConverseUsage,
};

pub async fn converse(
    client: &Client,
    model_id: &str,
    request: &ConverseRequest,
) -> Result<ConverseAnswer, ModelFailure> {
    let call = client.converse().model_id(model_id).customize().mutate_request(body(request)?);
    Ok(answer(call.send().await?))
}

/// Writes `content` as the body of a request, in place of the SDK's body.
pub fn body(content: &impl Serialize) -> Result<impl Fn(&mut HttpRequest) + Send + Sync + 'static, ModelFailure> {
    let written = serde_json::to_string(content).map_err(|_| ModelFailure::unwritable())?;
    Ok(move |request: &mut HttpRequest| {
        request.headers_mut().insert("content-length", written.len().to_string());
        *request.body_mut() = SdkBody::from(written.as_str());
    })
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
        additional_model_response_fields: output
            .additional_model_response_fields
            .map(|fields| ModelFields(json(fields))),
    }
}

pub fn cache_detail(detail: CacheDetail) -> AnswerCacheDetail {
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

/// Converts a document of the SDK to JSON. The keys are in any order.
pub fn json(document: Document) -> Value {
    match document {
        Document::Null => Value::Null,
        Document::Bool(value) => value.into(),
        Document::Number(Number::PosInt(value)) => value.into(),
        Document::Number(Number::NegInt(value)) => value.into(),
        Document::Number(Number::Float(value)) => value.into(),
        Document::String(value) => value.into(),
        Document::Array(values) => values.into_iter().map(json).collect(),
        Document::Object(fields) => fields.into_iter().map(|(name, value)| (name, json(value))).collect(),
    }
}
