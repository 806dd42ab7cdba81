//! What a family's adapter is, and which adapter is whose.

use sentry_contract::answer::StopReason;
use sentry_contract::request::{Family, Parameters, Prompt, Transport};
use sentry_contract::states::Target;
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::TokenUsage;
use serde_json::{Value, json};

use super::body::MOST_TOKENS;
use super::conversation::Conversation;
use super::families::{
    anthropic, anthropic_text, cohere, deepseek, gpt_oss, jamba, llama, mistral, nova, plain, qwen, titan,
};

/// What of a request a model takes on a transport. `max_tokens`, `temperature` and `top_p` every one takes.
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
    /// Everything.
    pub const ALL: Self = Self {
        system: true,
        multi_turn: true,
        top_k: true,
        stop_sequences: true,
        images: true,
        documents: true,
        tools: true,
    };
    /// Everything but `top_k`.
    pub const NO_TOP_K: Self = Self { top_k: false, ..Self::ALL };

    /// Without pictures.
    pub const fn no_images(self) -> Self {
        Self { images: false, ..self }
    }

    /// Text and files, of which Converse gives the model the text; neither pictures nor tools.
    pub const fn no_tools(self) -> Self {
        Self { tools: false, ..self.no_images() }
    }

    /// Text and nothing else, as the formats of InvokeModel are written here.
    pub const fn text_only(self) -> Self {
        Self { documents: false, ..self.no_tools() }
    }
}

/// One request to a model.
pub struct Call<'r> {
    pub prompt: &'r Prompt,
    pub conversation: Conversation<'r>,
    /// Most tokens to write.
    pub max_tokens: u32,
}

impl Call<'_> {
    /// How to answer.
    pub fn parameters(&self) -> &Parameters {
        &self.prompt.parameters
    }
}

/// A family of models.
pub trait Adapter: Sync {
    /// What the model takes through Converse.
    fn converse(&self, model_id: &str) -> Support;

    /// `top_k` as Converse's `additionalModelRequestFields`, asked for only where [`converse`](Self::converse) has it.
    fn top_k(&self, top_k: u32) -> Value {
        json!({"top_k": top_k})
    }

    /// The model's own format, for InvokeModel, if there is one.
    ///
    /// The id of an application inference profile does not tell the model: then it is the format of the family's newest ones, and Bedrock
    /// refuses it, at no cost, where the profile is of an older one.
    fn native(&self, model_id: &str) -> Option<&'static dyn Native>;
}

/// A format of bodies for InvokeModel.
pub trait Native: Sync {
    /// What it has a place for.
    fn support(&self) -> Support;

    /// The request's body.
    ///
    /// # Errors
    /// When the conversation has no form in it.
    fn body(&self, call: &Call<'_>) -> Result<Value, Refusal>;

    /// What is found in the answer's body; of what is not there or not understood, nothing.
    fn read(&self, answer: &Value) -> Found;
}

/// What an answer's body says.
#[derive(Default)]
pub struct Found {
    pub text: Option<String>,
    pub stop_reason: Option<StopReason>,
    pub usage: Option<TokenUsage>,
}

/// A part of the request that the model cannot honour.
#[derive(Debug)]
pub struct Refusal {
    /// `max_tokens`, `top_k`, `stop_sequences`, `system`, `messages`, `image`, `document`, `tools`, `toolChoice`, `transport`.
    pub parameter: &'static str,
    /// Why, as the end of a sentence.
    pub because: &'static str,
}

impl Refusal {
    /// The error that a client gets. Nothing was sent.
    pub fn error(&self, model: &Target) -> ErrorBody {
        let Self { parameter, because } = self;
        let (family, operation) = (model.family.name(), model.transport().operation());
        let message =
            format!("`{parameter}` cannot be honoured by this model (family {family}, {operation}): {because}.");
        ErrorBody::new(ErrorCode::ModelRejectedRequest, message).with("parameter", *parameter)
    }
}

/// The body of a request to `model` in its own format; none where it is called through Converse.
///
/// # Errors
/// At the first part of the request that it cannot honour.
pub fn body(model: &Target, call: &Call<'_>) -> Result<Option<Value>, Refusal> {
    match model.transport() {
        Transport::Converse => check(call, of(model.family).converse(&model.model_id)).map(|()| None),
        Transport::InvokeModel => {
            let native = native(model)?;
            check(call, native.support())?;
            native.body(call).map(Some)
        }
    }
}

/// Refuses by name what `support` has no place for.
fn check(call: &Call<'_>, support: Support) -> Result<(), Refusal> {
    let Call { prompt, conversation, .. } = call;
    let parameters = &prompt.parameters;
    let demands = [
        ("max_tokens", u64::from(call.max_tokens) > MOST_TOKENS, false, "Bedrock takes at most 2147483647"),
        ("system", !conversation.system.is_empty(), support.system, "it takes no system messages"),
        ("system", conversation.system_is_rich(), false, "system messages are text"),
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
        ("toolChoice", prompt.tool_choice.is_some(), !prompt.tools.is_empty(), "there are no tools to choose among"),
    ];
    let refused = demands.into_iter().find(|(_, wanted, supported, _)| *wanted && !supported);
    refused.map_or(Ok(()), |(parameter, _, _, because)| Err(Refusal { parameter, because }))
}

/// The format in which `model` is called through InvokeModel.
///
/// # Errors
/// When it has none.
pub fn native(model: &Target) -> Result<&'static dyn Native, Refusal> {
    let because = "no format of its own is known for it; call it through converse";
    of(model.family).native(&model.model_id).ok_or(Refusal { parameter: "transport", because })
}

/// A family's adapter.
pub fn of(family: Family) -> &'static dyn Adapter {
    match family {
        Family::Anthropic => &anthropic::Anthropic,
        Family::AnthropicText => &anthropic_text::AnthropicText,
        Family::Nova => &nova::Nova,
        Family::Titan => &titan::Titan,
        Family::Llama => &llama::Llama,
        Family::Mistral => &mistral::Mistral,
        Family::Cohere => &cohere::Cohere,
        Family::Jamba => &jamba::Jamba,
        Family::Deepseek => &deepseek::Deepseek,
        Family::GptOss => &gpt_oss::GptOss,
        Family::Qwen => &qwen::Qwen,
        Family::Converse => &plain::Plain,
    }
}
