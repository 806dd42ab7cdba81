//! A request after validation.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sentry_domain::{Charges, Price, fnv1a};
use serde::{Deserialize, Serialize};

use crate::notice::Notice;
pub use crate::prompt::{Effort, Message, Parameters, Prompt, Reasoning, Role};

/// The tags of a request: those of the client and those that the sentry adds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Tags(pub BTreeMap<String, String>);

impl Tags {
    /// Tag of the application that sends the request.
    pub const APPLICATION_ID: &'static str = "applicationId";
    /// Tag of the cost center that pays.
    pub const COST_CENTER: &'static str = "costCenter";
    /// Tag of the user who sends the request.
    pub const USER_ID: &'static str = "userId";
    /// Tag of the environment, such as `production`.
    pub const ENVIRONMENT: &'static str = "environment";
    /// Tag with the idempotency key.
    pub const REQUEST_ID: &'static str = "requestId";
    /// Tag with the time at which the request arrived; written by the sentry.
    pub const TIMESTAMP: &'static str = "timestamp";
    /// Tag with the model's `ModelId` dimension in `AWS/Bedrock`; written by the sentry.
    pub const MODEL_METRIC: &'static str = "modelMetric";

    /// The value of the tag `name`, if it is set.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str)
    }

    /// Sets the tag `name` to `value`.
    pub fn set(&mut self, name: &str, value: impl Into<String>) {
        self.0.insert(name.to_owned(), value.into());
    }
}

macro_rules! families {
    ($($(#[$doc:meta])* $variant:ident = $name:literal;)+) => {
        /// The families of models. Each has its own adapter.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum Family { $($(#[$doc])* #[serde(rename = $name)] $variant,)+ }

        impl Family {
            /// Every family, in order of declaration.
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
    /// Models of Amazon Nova.
    Nova = "nova";
    /// Models of Amazon Titan Text.
    Titan = "titan";
    /// Models of Meta Llama.
    Llama = "llama";
    /// Mistral AI, text and chat completion.
    Mistral = "mistral";
    /// Cohere Command and Command R.
    Cohere = "cohere";
    /// Models of AI21 Jamba.
    Jamba = "jamba";
    /// Models of the provider `DeepSeek`.
    Deepseek = "deepseek";
    /// Models of OpenAI gpt-oss.
    GptOss = "gpt-oss";
    /// Models of the provider Qwen.
    Qwen = "qwen";
    /// Any other model that Converse serves.
    Converse = "converse";
}

/// The form in which a model expects the amount of reasoning.
///
/// Sources: Amazon Bedrock User Guide, "Extended thinking" and "Adaptive thinking" of Anthropic Claude; Amazon Nova 2
/// User Guide, "Extended thinking"; OpenAI API Reference, `reasoning_effort`.
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

/// The place that the price of a model is from.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum PriceSource {
    /// The catalogue that is a part of the sentry.
    #[default]
    Catalogue,
    /// An item of the catalogue table, which the administrator wrote.
    CatalogueTable,
}

impl PriceSource {
    /// `true` for a price of the sentry's own catalogue. Documents leave it out.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

/// The model of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    /// The name, as the client wrote it.
    pub requested: String,
    /// The model id, cross-Region profile id or ARN that is sent to Bedrock.
    pub model_id: String,
    /// The `ModelId` dimension in `AWS/Bedrock`: the id, or the bare id at the end of an ARN.
    pub model_metric: String,
    /// The id of the foundation model, which all its ids and profiles share. Absent if it is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub foundation: Option<String>,
    /// The family, which decides the adapter.
    pub family: Family,
    /// The price of the request on this model; absent if no price is known. Validation decides it once, so a model
    /// without a price here is unpriced.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub price: Option<Price>,
    /// The place that `price` is from. It says nothing if there is no price.
    #[serde(default, skip_serializing_if = "PriceSource::is_default")]
    pub price_source: PriceSource,
    /// The form in which the model expects the amount of reasoning. Absent if the model accepts none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<ReasoningStyle>,
}

/// The most that a request can use, before the budget is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// Upper bound of the prompt's tokens. A token has at least one byte, an image has at most the tokens of its
    /// model's rule, and no model reads more than its context window.
    pub input_tokens: u64,
    /// Maximum number of output tokens: the client's value, or the catalogue's default.
    pub max_tokens: u32,
    /// `true` if the client set `max_tokens`. If it is `false`, the sentry may lower the value.
    pub max_tokens_given: bool,
    /// The properties of the prompt that decide which rates can apply.
    #[serde(default, skip_serializing_if = "Charges::is_default")]
    pub charges: Charges,
}

/// A validated request without its prompt. The sealed prompt is passed beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The tags of the client and those of the sentry.
    pub tags: Tags,
    /// The ledger's name for the request; see [`request_key`].
    pub request_key: String,
    /// SHA-256 of the document, by which a repetition is recognized. Absent from versions without kept answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// The model that was requested.
    pub model: Model,
    /// The most that the request can use.
    pub estimate: Estimate,
    /// The id of the model for which Bedrock counts the prompt's tokens. Absent if Bedrock does not count them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counted_as: Option<String>,
    /// The model that may answer instead if a limit allows it. Absent if the catalogue names none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fallback: Option<Fallback>,
    /// Information for the client beside its answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<Notice>,
}

/// The ledger's name for the request that `application` calls `request_id`. The same id of another application is
/// another request.
///
/// The name contains the application as a hash of 64 bits, in 11 characters of base64. A request id cannot contain `#`.
#[must_use]
pub fn request_key(application: &str, request_id: &str) -> String {
    format!("{request_id}#{}", URL_SAFE_NO_PAD.encode(fnv1a(application).to_be_bytes()))
}

/// A cheaper model that may answer instead of the requested model.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Fallback {
    /// The model to call. `requested` is the catalogue's name for it, and that name may have a limit.
    pub model: Model,
    /// Upper bound of the tokens that the fallback model reads.
    pub input_tokens: u64,
    /// Maximum number of output tokens: the request's value, or the fallback model's own maximum if that is lower.
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
