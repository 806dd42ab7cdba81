//! What of a request the families take through Converse, and the refusal of what they do not.

use sentry_contract::request::{Family, Prompt};
use sentry_contract::states::Target;
use sentry_contract::{ErrorBody, ErrorCode};
use serde_json::Value;

use super::conversation::Conversation;
use super::words;

/// More tokens than this no call has: the largest count that Converse can take and report.
///
/// Source: Amazon Bedrock API Reference, InferenceConfiguration and TokenUsage: integers of 32 bits.
const MOST_TOKENS: u32 = i32::MAX.unsigned_abs();

/// What of a request a model takes. `max_tokens`, `temperature` and `top_p` every one takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Support {
    /// System messages.
    pub system: bool,
    /// More than one turn.
    pub multi_turn: bool,
    pub top_k: bool,
    pub stop_sequences: bool,
    /// Pictures.
    pub images: bool,
    /// Files.
    pub documents: bool,
    /// Tools, and messages that speak of them.
    pub tools: bool,
}

impl Support {
    const ALL: Self = Self {
        system: true,
        multi_turn: true,
        top_k: true,
        stop_sequences: true,
        images: true,
        documents: true,
        tools: true,
    };
    /// Everything but `top_k`: what is not documented to have it, and every model whose family is not known.
    const NO_TOP_K: Self = Self { top_k: false, ..Self::ALL };

    /// What `model_id` takes. The id of an application inference profile does not tell the model: then it is what most of the family take,
    /// and Bedrock refuses the rest, at no cost.
    ///
    /// Sources: Amazon Bedrock User Guide, "Supported models and model features" and the families' pages on inference parameters. That
    /// gpt-oss and Qwen have no stop sequences is what Bedrock answers ("This model doesn't support the stopSequences field", public reports
    /// of 2025-08 to 2025-12); that gpt-oss reads text only is in OpenAI's model card. `DeepSeek` R1 has no tools, V3.1 has: Bedrock tells
    /// them apart.
    pub fn of(family: Family, model_id: &str) -> Self {
        let is = |names: &[&str]| names.iter().any(|name| model_id.contains(name));
        match family {
            Family::Anthropic if is(&["claude-3-5-haiku"]) => Self::ALL.no_images(),
            Family::Nova if is(&["nova-micro"]) => Self { documents: false, ..Self::ALL.no_images() },
            Family::Anthropic | Family::Nova => Self::ALL,
            Family::AnthropicText => Self::ALL.no_tools(),
            Family::Titan => Self { system: false, ..Self::NO_TOP_K }.no_tools(),
            Family::Mistral if is(&["mistral.mistral-7b-instruct", "mistral.mixtral-8x7b-instruct"]) => {
                Self { system: false, ..Self::ALL }.no_tools()
            }
            Family::Cohere if is(&["cohere.command-text", "cohere.command-light-text"]) => {
                Self { system: false, multi_turn: false, ..Self::ALL }.no_tools()
            }
            Family::Cohere => Self::ALL.no_images(),
            Family::Jamba | Family::Deepseek => Self::NO_TOP_K.no_images(),
            Family::GptOss => Self { stop_sequences: false, ..Self::NO_TOP_K }.no_images(),
            Family::Qwen => Self { stop_sequences: false, ..Self::NO_TOP_K },
            Family::Llama | Family::Mistral | Family::Converse => Self::NO_TOP_K,
        }
    }

    const fn no_images(self) -> Self {
        Self { images: false, ..self }
    }

    /// Text and files, of which Converse gives the model the text; neither pictures nor tools.
    const fn no_tools(self) -> Self {
        Self { tools: false, ..self.no_images() }
    }
}

/// One request to a model, which it honors.
pub struct Call<'r> {
    pub prompt: &'r Prompt,
    pub conversation: Conversation<'r>,
    /// Most tokens to write.
    pub max_tokens: u32,
    /// What Converse has no field for.
    pub additional: Option<Value>,
}

impl<'r> Call<'r> {
    /// The request of `prompt` to `model`, for an answer of at most `max_tokens`.
    ///
    /// # Errors
    /// At the first part of the request that the model cannot honor.
    pub fn new(model: &Target, prompt: &'r Prompt, max_tokens: u32) -> Result<Self, Refusal> {
        let conversation = Conversation::of(prompt);
        check(model, prompt, &conversation, max_tokens)?;
        let additional = words::fields(model, prompt, max_tokens)?;
        Ok(Self { prompt, conversation, max_tokens, additional })
    }
}

/// A part of the request that the model cannot honour.
#[derive(Debug)]
pub struct Refusal {
    /// `max_tokens`, `top_k`, `stop_sequences`, `system`, `messages`, `image`, `document`, `tools`, `toolChoice`, `reasoning`,
    /// `additionalModelRequestFields`.
    pub parameter: &'static str,
    /// Why, as the end of a sentence.
    pub because: &'static str,
}

impl Refusal {
    /// The error that a client gets. Nothing was sent.
    pub fn error(&self, model: &Target) -> ErrorBody {
        let Self { parameter, because } = self;
        let family = model.family.name();
        let message = format!("`{parameter}` cannot be honored by this model (family {family}): {because}.");
        ErrorBody::new(ErrorCode::ModelRejectedRequest, message).with("parameter", *parameter)
    }
}

/// Refuses by name what `model` has no place for.
fn check(model: &Target, prompt: &Prompt, conversation: &Conversation<'_>, max_tokens: u32) -> Result<(), Refusal> {
    let parameters = &prompt.parameters;
    let support = Support::of(model.family, &model.model_id);
    let demands = [
        ("max_tokens", max_tokens > MOST_TOKENS, false, "Bedrock takes at most 2147483647"),
        ("system", !conversation.system.is_empty(), support.system, "it takes no system messages"),
        (
            "system",
            conversation.system_is_rich(),
            false,
            "system messages have nothing but text, cache points and content for a guardrail",
        ),
        (
            "messages",
            conversation.turns.len() > 1,
            support.multi_turn,
            "it takes a single user message, no conversation",
        ),
        ("top_k", parameters.top_k.is_some(), support.top_k, "it has no such parameter"),
        ("stop_sequences", !parameters.stop_sequences.is_empty(), support.stop_sequences, "it has no such parameter"),
        ("image", prompt.has_images(), support.images, "it takes no images"),
        ("document", prompt.has_documents(), support.documents, "it takes no documents"),
        ("tools", prompt.has_tools(), support.tools, "it has no tools"),
        (
            "toolChoice",
            prompt.tool_choice.is_some(),
            prompt.tools.iter().any(|tool| tool.spec().is_some()),
            "there are no tools to choose among",
        ),
    ];
    let refused = demands.into_iter().find(|(_, wanted, supported, _)| *wanted && !supported);
    refused.map_or(Ok(()), |(parameter, _, _, because)| Err(Refusal { parameter, because }))
}
