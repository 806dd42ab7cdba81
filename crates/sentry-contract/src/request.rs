//! A request as it travels after validation.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sentry_domain::{Charges, Price};
use serde::{Deserialize, Serialize};

use crate::answer::Notice;
pub use crate::prompt::{Effort, Message, Parameters, Prompt, Reasoning, Role};

/// The tags of a request: the client's own and those that the sentry writes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(pub BTreeMap<String, String>);

impl Tags {
    /// Tag names that have a meaning of their own.
    pub const APPLICATION_ID: &'static str = "applicationId";
    /// Who pays.
    pub const COST_CENTER: &'static str = "costCenter";
    /// Who asks.
    pub const USER_ID: &'static str = "userId";
    /// Such as `production`.
    pub const ENVIRONMENT: &'static str = "environment";
    /// The idempotency key.
    pub const REQUEST_ID: &'static str = "requestId";
    /// When the request came in; written by the sentry.
    pub const TIMESTAMP: &'static str = "timestamp";
    /// The model's `ModelId` dimension in `AWS/Bedrock`; written by the sentry.
    pub const MODEL_METRIC: &'static str = "modelMetric";

    /// The tag's value, if it is set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets a tag.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

macro_rules! families {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)+) => {
        /// The families of models, each with an adapter of its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Family { $($(#[$doc])* #[serde(rename = $name)] $variant,)+ }

        impl Family {
            /// Every family.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)+];

            /// The name, as documents write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)+ }
            }
        }
    };
}

families! {
    /// Anthropic Claude 3 and later.
    Anthropic = "anthropic";
    /// Anthropic Claude v2 and Instant, text completion.
    AnthropicText = "anthropic-text";
    /// Amazon Nova.
    Nova = "nova";
    /// Amazon Titan Text.
    Titan = "titan";
    /// Meta Llama.
    Llama = "llama";
    /// Mistral AI, text and chat completion.
    Mistral = "mistral";
    /// Cohere Command and Command R.
    Cohere = "cohere";
    /// AI21 Jamba.
    Jamba = "jamba";
    /// DeepSeek.
    Deepseek = "deepseek";
    /// OpenAI gpt-oss.
    GptOss = "gpt-oss";
    /// Qwen.
    Qwen = "qwen";
    /// Any other model that Converse serves.
    Converse = "converse";
}

/// The words in which a model is told how much to think.
///
/// Sources: Amazon Bedrock User Guide, "Extended thinking" and "Adaptive thinking" of Anthropic Claude; Amazon Nova 2 User Guide, "Extended
/// thinking"; OpenAI API Reference, `reasoning_effort`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReasoningStyle {
    /// Claude before 4.6: a budget of tokens.
    ClaudeBudget,
    /// Claude 4.6: a budget of tokens, or an effort.
    ClaudeBudgetOrAdaptive,
    /// Claude 4.7 and later: an effort.
    ClaudeAdaptive,
    /// Amazon Nova 2: an effort, in `reasoningConfig`.
    NovaEffort,
    /// An effort, in `reasoning_effort`.
    ReasoningEffort,
    /// An effort, in `reasoning.effort`.
    ReasoningObject,
}

/// The model of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// As the client spelt it.
    pub requested: String,
    /// The model id, cross-Region profile id or ARN that is sent to Bedrock.
    pub model_id: String,
    /// What `AWS/Bedrock` calls it: the id, or the bare id at the end of an ARN.
    pub model_metric: String,
    /// The id of the foundation model behind it, which all its ids and profiles share; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foundation: Option<String>,
    /// Whose words it needs.
    pub family: Family,
    /// What the request costs here; absent where no price is known. Decided once, by validation: what has none here is unpriced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// How it is told how much to think; absent where it cannot be told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<ReasoningStyle>,
}

/// The most that a request can take, before anything is known of the budget.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// No prompt of its size has more tokens than this: a token is at least one byte, pictures have what their rule says, and no model
    /// reads more than its context window.
    pub input_tokens: u64,
    /// Most tokens to write: the client's, or the catalogue's default.
    pub max_tokens: u32,
    /// Whether `max_tokens` is the client's; otherwise the sentry may ask for fewer.
    pub max_tokens_given: bool,
    /// What decides which rates can apply.
    #[serde(default, skip_serializing_if = "Charges::is_default")]
    pub charges: Charges,
}

/// A validated request without its prompt, which travels sealed beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The client's tags and the sentry's own.
    pub tags: Tags,
    /// The name under which the ledger keeps the request; see [`request_key`].
    pub request_key: String,
    /// The model it goes to.
    pub model: Model,
    /// The most that it can take.
    pub estimate: Estimate,
    /// The id of the model that Bedrock counts the prompt's tokens for; absent where it counts none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_as: Option<String>,
    /// The model that may answer in its place where a limit lets it; absent where the catalogue names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// What the client should know beside the answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

/// The ledger's name for the request that `application` calls `request_id`: the same id of another application is another request.
///
/// The application stands in it as 64 bits, in 11 characters of base64. `#` is in no request id.
#[must_use]
pub fn request_key(application: &str, request_id: &str) -> String {
    format!("{request_id}#{}", URL_SAFE_NO_PAD.encode(fnv1a(application).to_be_bytes()))
}

/// The 64-bit FNV-1a hash of `text`, see <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>. It is the same on every machine and in
/// every version, which the standard library's hashes do not promise.
#[must_use]
pub fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// A cheaper model that may answer in the place of the one that was asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// Where it goes; `requested` is the catalogue's own name for it, under which it may have a limit.
    pub model: Model,
    /// No more tokens to read than these.
    pub input_tokens: u64,
    /// Most tokens to write: the request's, but no more than the model can.
    pub max_tokens: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_id_belongs_to_its_application() {
        // The published test vector for "a".
        assert_eq!(
            request_key("a", "order-1"),
            format!("order-1#{}", URL_SAFE_NO_PAD.encode(0xaf63_dc4c_8601_ec8c_u64.to_be_bytes()))
        );
        assert_ne!(request_key("a", "order-1"), request_key("b", "order-1"));
    }

    #[test]
    fn a_family_is_written_as_the_contract_names_it() {
        for family in Family::ALL {
            assert_eq!(serde_json::to_value(family).unwrap(), family.name());
            assert_eq!(serde_json::from_value::<Family>(family.name().into()).unwrap(), *family);
        }
    }
}
