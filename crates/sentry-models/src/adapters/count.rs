//! `CountTokens`: the number of tokens that a prompt will be billed for, before the model is called. The API call is
//! free.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::types::{ConverseTokensRequest, CountTokensInput};
use sentry_contract::content::Block;
use sentry_contract::request::Prompt;
use serde::Serialize;

use super::conversation::Conversation;
use super::converse::{ConverseMessage, ToolConfig};
use super::{ModelFailure, converse, sdk};

/// Fragments of the messages with which Bedrock declines to count for a model, regardless of the prompt. Either Bedrock
/// counts for other models only, or it knows this model only through an inference profile.
const REFUSED_MODEL: [&str; 2] = ["counting tokens", "model identifier"];

#[derive(Serialize)]
struct Request {
    input: Input,
}

#[derive(Serialize)]
struct Input {
    converse: Conversed,
}

/// The parts of the prompt that Converse receives and `CountTokens` counts.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Conversed {
    messages: Vec<ConverseMessage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig>,
}

/// The result of a request to count tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// All tokens that the model will read.
    Tokens(u64),
    /// Bedrock does not count tokens for this model.
    Unsupported,
    /// `CountTokens` would count only a part of the prompt, so it was not called.
    Partly,
}

/// Asks Bedrock for the tokens of `prompt` to the foundation model `model_id`. The messages are the same as those that
/// [`ask`](super::ask) sends through Converse.
///
/// `reasoning` is not sent, because a thinking budget is valid only with `max_tokens`, and `CountTokens` has no field for
/// it. `CountTokens` has no field for `outputFormat` either. A prompt with `outputFormat` is not counted, because the
/// model also reads its schema.
///
/// # Errors
/// If the call fails for a reason other than the model.
pub async fn count_tokens(client: &Client, model_id: &str, prompt: &Prompt) -> Result<Counted, ModelFailure> {
    // Without `..`, so that the compiler asks for a new field. The first four fields are sent.
    let Prompt {
        system: _,
        messages: _,
        tools: _,
        tool_choice: _,
        output_format,
        parameters: _,
        guardrail: _,
        service_tier: _,
        reasoning: _,
        additional_model_request_fields: _,
        additional_model_response_field_paths: _,
    } = prompt;
    if output_format.is_some() {
        return Ok(Counted::Partly);
    }
    let (system, messages) = converse::conversation(&Conversation::of(prompt));
    let request =
        Request { input: Input { converse: Conversed { messages, system, tool_config: ToolConfig::of(prompt) } } };
    // The SDK requires an input. The body that is sent replaces it.
    let input = CountTokensInput::Converse(ConverseTokensRequest::builder().build());
    let call = client.count_tokens().model_id(model_id).input(input).customize().mutate_request(sdk::body(&request)?);
    match call.send().await {
        Ok(output) => tokens(output.input_tokens()),
        Err(SdkError::ServiceError(error)) if refuses_model(error.err()) => Ok(Counted::Unsupported),
        Err(error) => Err(error.into()),
    }
}

fn refuses_model(error: &impl ProvideErrorMetadata) -> bool {
    let message = error.message().unwrap_or_default();
    error.code() == Some("ValidationException") && REFUSED_MODEL.iter().any(|part| message.contains(part))
}

/// The SDK returns 0 for a missing count. Every prompt has tokens, so a 0 is a missing count.
fn tokens(count: i32) -> Result<Counted, ModelFailure> {
    let tokens = u64::try_from(count).ok().filter(|tokens| *tokens > 0);
    tokens.map(Counted::Tokens).ok_or_else(|| ModelFailure::malformed("it does not say how many tokens there are"))
}
