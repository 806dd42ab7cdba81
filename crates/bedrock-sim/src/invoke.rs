//! InvokeModel: every family in its own body, and which body a model takes.

mod chat;
pub mod claude_messages;
mod claude_text;
pub mod cohere;
mod deepseek;
mod llama;
pub mod mistral;
mod nova;
mod titan;

use axum::http::HeaderMap;
use serde_json::{Map, Value};

use crate::{
    converse,
    error::ApiError,
    models::{Family, Model},
    prompt::Prompt,
    reply::Reply,
};

const GUARDRAIL: &str = "x-amzn-bedrock-guardrailidentifier";
const GUARDRAIL_VERSION: &str = "x-amzn-bedrock-guardrailversion";
/// How a request is processed, and was.
pub const SERVICE_TIER: &str = "x-amzn-bedrock-service-tier";

/// Reads what stands beside a body.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn read_headers(headers: &HeaderMap, prompt: &mut Prompt) -> Result<(), ApiError> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    if let Some(tier) = header(SERVICE_TIER) {
        converse::check_tier(tier)?;
        prompt.service_tier = Some(tier.to_owned());
    }
    match (header(GUARDRAIL), header(GUARDRAIL_VERSION)) {
        (Some(id), Some(_)) => prompt.guardrail = Some(id.to_owned()),
        (None, None) => {}
        _ => return Err(ApiError::validation("guardrailIdentifier and guardrailVersion must be given together.")),
    }
    Ok(())
}

/// The form of a request body and of its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Claude 3 and later: Anthropic's Messages.
    ClaudeMessages,
    /// Claude 2 and Instant: text completion.
    ClaudeText,
    /// Amazon Nova: schema `messages-v1`.
    Nova,
    /// Amazon Titan Text.
    Titan,
    /// Meta Llama.
    Llama,
    /// Mistral's text completion.
    MistralText,
    /// Mistral's chat completion.
    MistralChat,
    /// Cohere Command and Command Light.
    CohereText,
    /// Cohere Command R and R+.
    CohereChat,
    /// AI21 Jamba.
    Jamba,
    /// DeepSeek's text completion.
    DeepSeek,
    /// OpenAI's chat completion: gpt-oss, Qwen, DeepSeek V3.
    OpenAi,
}

impl Format {
    /// The format of a body: the model's; behind an unknown profile, the one that the body looks like.
    ///
    /// # Errors
    /// A ValidationException for a model that has no text body.
    pub fn of(model: Option<Model<'_>>, body: &Map<String, Value>) -> Result<Self, ApiError> {
        let Some(model) = model else { return Ok(Self::looks_like(body)) };
        let chats = body.contains_key("messages");
        match model.family() {
            Family::ClaudeMessages => Ok(Self::ClaudeMessages),
            Family::ClaudeText => Ok(Self::ClaudeText),
            Family::Nova => Ok(Self::Nova),
            Family::Titan => Ok(Self::Titan),
            Family::Llama => Ok(Self::Llama),
            Family::Mistral if mistral::takes_text(model) && !(chats && mistral::takes_chat(model)) => {
                Ok(Self::MistralText)
            }
            Family::Mistral => Ok(Self::MistralChat),
            Family::CohereText => Ok(Self::CohereText),
            Family::CohereChat => Ok(Self::CohereChat),
            Family::Jamba => Ok(Self::Jamba),
            Family::DeepSeek if chats && deepseek::takes_chat(model) => Ok(Self::OpenAi),
            Family::DeepSeek => Ok(Self::DeepSeek),
            Family::GptOss | Family::Qwen => Ok(Self::OpenAi),
            Family::Other => Err(ApiError::validation(
                "bedrock-sim: InvokeModel is not served for this model; use Converse if it generates text.",
            )),
        }
    }

    fn looks_like(body: &Map<String, Value>) -> Self {
        let has = |name: &str| body.contains_key(name);
        match () {
            () if has("anthropic_version") && has("messages") => Self::ClaudeMessages,
            () if has("max_tokens_to_sample") => Self::ClaudeText,
            () if has("inputText") => Self::Titan,
            () if has("max_gen_len") => Self::Llama,
            () if has("message") => Self::CohereChat,
            () if has("p") || has("k") || (has("prompt") && has("stop_sequences")) => Self::CohereText,
            () if has("prompt") => Self::MistralText,
            () if has("max_tokens") || has("max_completion_tokens") => Self::OpenAi,
            () => Self::Nova,
        }
    }

    /// Reads a request.
    ///
    /// # Errors
    /// A ValidationException where Bedrock would answer one.
    pub fn parse(self, body: &Map<String, Value>) -> Result<Prompt, ApiError> {
        match self {
            Self::ClaudeMessages => claude_messages::parse(body),
            Self::ClaudeText => claude_text::parse(body),
            Self::Nova => nova::parse(body),
            Self::Titan => titan::parse(body),
            Self::Llama => llama::parse(body),
            Self::MistralText => mistral::parse_text(body),
            Self::MistralChat => chat::parse(body, &chat::MISTRAL),
            Self::CohereText => cohere::parse_text(body),
            Self::CohereChat => cohere::parse_chat(body),
            Self::Jamba => chat::parse(body, &chat::JAMBA),
            Self::DeepSeek => deepseek::parse(body),
            Self::OpenAi => chat::parse(body, &chat::OPENAI),
        }
    }

    /// The answer of this model for a reply.
    pub fn answer(self, reply: &Reply, model: &str) -> Value {
        match self {
            Self::ClaudeMessages => claude_messages::answer(reply, model),
            Self::ClaudeText => claude_text::answer(reply),
            Self::Nova => nova::answer(reply),
            Self::Titan => titan::answer(reply),
            Self::Llama => llama::answer(reply),
            Self::MistralText => mistral::answer_text(reply),
            Self::MistralChat => mistral::answer_chat(reply),
            Self::CohereText => cohere::answer_text(reply),
            Self::CohereChat => cohere::answer_chat(reply),
            Self::DeepSeek => deepseek::answer(reply),
            Self::Jamba => chat::answer(reply, model, "chatcmpl-jamba-sim"),
            Self::OpenAi => chat::answer(reply, model, "chatcmpl-sim"),
        }
    }
}

/// `stop` or `length`, as Llama, Mistral, DeepSeek and OpenAI's format say it; a reason of another kind stays as it is.
fn stop_or_length(reason: &str) -> &str {
    match reason {
        "end_turn" | "stop_sequence" => "stop",
        "max_tokens" => "length",
        other => other,
    }
}

#[cfg(test)]
mod tests;
