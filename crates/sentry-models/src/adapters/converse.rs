//! Converse, Bedrock's own common format: Claude 3 and later, Nova, and every other model that it serves.

use std::collections::HashMap;

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::operation::converse::ConverseOutput;
use aws_sdk_bedrockruntime::types::{
    self, ContentBlock, ConversationRole, InferenceConfiguration, Message, SystemContentBlock,
};
use aws_smithy_types::Document;
use sentry_contract::answer::StopReason;
use sentry_contract::request::{self, Family, Parameters, Role, Tags};
use sentry_contract::states::InvokeModelInput;
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::TokenUsage;

use super::{ModelFailure, Reply};

/// Longest key or value of `requestMetadata`, in characters. Source: Amazon Bedrock API Reference, Converse.
const MOST_METADATA_CHARS: usize = 256;

pub async fn ask(client: &Client, input: &InvokeModelInput, max_tokens: u32) -> Result<Reply, ModelFailure> {
    let (system, messages) = conversation(&input.prompt.messages)?;
    let output = client
        .converse()
        .model_id(&input.model.model_id)
        .set_system(system)
        .set_messages(Some(messages))
        .inference_config(inference_config(&input.prompt.parameters, max_tokens))
        .set_additional_model_request_fields(additional_fields(input.model.family, &input.prompt.parameters))
        .set_request_metadata(metadata(&input.tags))
        .send()
        .await?;
    reply(output)
}

/// System messages apart, and consecutive messages of one role as one message of several blocks: Converse wants roles to alternate.
pub fn conversation(
    given: &[request::Message],
) -> Result<(Option<Vec<SystemContentBlock>>, Vec<Message>), ModelFailure> {
    let mut system = Vec::new();
    let mut turns: Vec<(ConversationRole, Vec<ContentBlock>)> = Vec::new();
    for message in given {
        let role = match message.role {
            Role::System => {
                system.push(SystemContentBlock::Text(message.content.clone()));
                continue;
            }
            Role::User => ConversationRole::User,
            Role::Assistant => ConversationRole::Assistant,
        };
        let block = ContentBlock::Text(message.content.clone());
        match turns.last_mut() {
            Some((last, blocks)) if *last == role => blocks.push(block),
            _ => turns.push((role, vec![block])),
        }
    }
    let message = |(role, blocks)| Message::builder().role(role).set_content(Some(blocks)).build();
    let messages = turns.into_iter().map(message).collect::<Result<_, _>>().map_err(|_| {
        ModelFailure::never_sent(ErrorBody::new(
            ErrorCode::ModelRejectedRequest,
            "The messages cannot be written in Converse's format.",
        ))
    })?;
    Ok(((!system.is_empty()).then_some(system), messages))
}

#[expect(clippy::cast_possible_truncation, reason = "Converse takes 32-bit floats; both are from 0 to 1")]
fn inference_config(parameters: &Parameters, max_tokens: u32) -> InferenceConfiguration {
    let stop_sequences = &parameters.stop_sequences;
    InferenceConfiguration::builder()
        .max_tokens(i32::try_from(max_tokens).unwrap_or(i32::MAX))
        .set_temperature(parameters.temperature.map(|value| value as f32))
        .set_top_p(parameters.top_p.map(|value| value as f32))
        .set_stop_sequences((!stop_sequences.is_empty()).then(|| stop_sequences.clone()))
        .build()
}

/// `top_k` has no place of its own in Converse. Claude's spelling is also the most common one of other models; a model
/// that has no such parameter refuses it, so it is never dropped silently.
fn additional_fields(family: Family, parameters: &Parameters) -> Option<Document> {
    let object = |name: &str, value| Document::Object(HashMap::from([(name.to_owned(), value)]));
    let top_k = Document::from(u64::from(parameters.top_k?));
    Some(match family {
        Family::Nova => object("inferenceConfig", object("topK", top_k)),
        Family::Anthropic | Family::AnthropicText | Family::Converse => object("top_k", top_k),
    })
}

/// The tags, for the account's model invocation log; those that `requestMetadata` cannot hold stay in the audit record only.
fn metadata(tags: &Tags) -> Option<HashMap<String, String>> {
    let fits = |text: &String| {
        text.len() <= MOST_METADATA_CHARS
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b" :_@$#=/+,-.".contains(&byte))
    };
    let fitting = tags.0.iter().filter(|(name, value)| fits(name) && fits(value));
    let metadata: HashMap<_, _> = fitting.map(|(name, value)| (name.clone(), value.clone())).collect();
    (!metadata.is_empty()).then_some(metadata)
}

fn reply(output: ConverseOutput) -> Result<Reply, ModelFailure> {
    let usage = output
        .usage()
        .and_then(tokens)
        .ok_or_else(|| ModelFailure::malformed("it does not say how many tokens were used"))?;
    let stop_reason = stop_reason(output.stop_reason())
        .ok_or_else(|| ModelFailure::malformed("it gives an unknown reason for its end").spent(usage))?;
    let blocks = match output.output {
        Some(types::ConverseOutput::Message(message)) => message.content,
        _ => return Err(ModelFailure::malformed("it has no message").spent(usage)),
    };
    let texts: Vec<&str> = blocks.iter().filter_map(|block| block.as_text().ok()).map(String::as_str).collect();
    Ok(Reply { text: texts.concat(), stop_reason, usage })
}

/// The SDK fills a missing usage with zeros; no call reads nothing, so that is a missing one.
fn tokens(usage: &types::TokenUsage) -> Option<TokenUsage> {
    let count = |tokens: i32| u64::try_from(tokens).ok();
    let usage = TokenUsage {
        input: count(usage.input_tokens())?,
        output: count(usage.output_tokens())?,
        cache_read: count(usage.cache_read_input_tokens().unwrap_or_default())?,
        cache_write: count(usage.cache_write_input_tokens().unwrap_or_default())?,
    };
    (usage.read() > 0).then_some(usage)
}

fn stop_reason(reason: &types::StopReason) -> Option<StopReason> {
    Some(match reason {
        types::StopReason::EndTurn => StopReason::EndTurn,
        types::StopReason::MaxTokens | types::StopReason::ModelContextWindowExceeded => StopReason::MaxTokens,
        types::StopReason::StopSequence => StopReason::StopSequence,
        types::StopReason::ToolUse => StopReason::ToolUse,
        types::StopReason::ContentFiltered => StopReason::ContentFiltered,
        types::StopReason::GuardrailIntervened => StopReason::GuardrailIntervened,
        _ => return None,
    })
}
