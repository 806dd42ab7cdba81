//! CountTokens: what a prompt will be billed for, known before the model is asked. The call is free.

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_bedrockruntime::types::{ConverseTokensRequest, CountTokensInput};
use sentry_contract::content::Block;
use sentry_contract::request::Prompt;
use serde::Serialize;

use super::conversation::Conversation;
use super::converse::{ConverseMessage, ToolConfig};
use super::{ModelFailure, converse, sdk};

/// Parts of the messages with which Bedrock refuses to count for a model, whatever the prompt: it counts for other models only, or
/// knows this one only through an inference profile.
const REFUSED_MODEL: [&str; 2] = ["counting tokens", "model identifier"];

/// The body of a request to count.
#[derive(Serialize)]
struct Request {
    input: Input,
}

/// What is counted.
#[derive(Serialize)]
struct Input {
    converse: Conversed,
}

/// What Converse gets of the prompt.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Conversed {
    messages: Vec<ConverseMessage>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    system: Vec<Block>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tool_config: Option<ToolConfig>,
}

/// What Bedrock says to a request to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Every token that the model will read.
    Tokens(u64),
    /// It does not count for this model.
    Unsupported,
    /// It would count a part of the prompt only, so it was not asked.
    Partly,
}

/// Asks Bedrock how many tokens `prompt` is to the foundation model `model_id`, sent as [`ask`](super::ask) sends them through Converse. How
/// much to think is not sent: a budget is only right beside `max_tokens`, which CountTokens has no field for. Nor has it one for the form
/// of the answer: a prompt that has it is not counted, because its schema is read as well.
///
/// # Errors
/// When there is no count, for a reason that lies in the call and not in the model.
pub async fn count_tokens(client: &Client, model_id: &str, prompt: &Prompt) -> Result<Counted, ModelFailure> {
    if prompt.output_format.is_some() {
        return Ok(Counted::Partly);
    }
    let (system, messages) = converse::conversation(&Conversation::of(prompt));
    let request =
        Request { input: Input { converse: Conversed { messages, system, tool_config: ToolConfig::of(prompt) } } };
    // The SDK wants some input; the body that is sent is another.
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

/// The SDK fills a missing count with zero; no prompt has no tokens, so that is a missing one.
fn tokens(count: i32) -> Result<Counted, ModelFailure> {
    let tokens = u64::try_from(count).ok().filter(|tokens| *tokens > 0);
    tokens.map(Counted::Tokens).ok_or_else(|| ModelFailure::malformed("it does not say how many tokens there are"))
}
