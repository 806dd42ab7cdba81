//! `Validate And Tag` and `Count Tokens`.

use serde::{Deserialize, Serialize};

use crate::answer::FinalAnswer;
use crate::request::Request;
use crate::sealed::Sealed;

/// Output of `Validate And Tag`. Its input is the client's document itself.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Validated {
    /// An acceptable request.
    Valid {
        /// Always `true`.
        valid: bool,
        /// Tagged, its model resolved.
        request: Box<Request>,
        /// The [`Prompt`](crate::request::Prompt), its parameters filled in.
        prompt: Sealed,
    },
    /// Not acceptable, or its model cannot be looked up at the moment.
    Refused {
        /// Always `false`.
        valid: bool,
        /// The answer that ends the execution.
        answer: Box<FinalAnswer>,
    },
}

impl From<FinalAnswer> for Validated {
    fn from(answer: FinalAnswer) -> Self {
        Self::Refused { valid: false, answer: Box::new(answer) }
    }
}

/// Input of `Count Tokens`.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CountTokensInput {
    /// The id of the model that Bedrock counts for.
    pub counted_as: String,
    /// The [`Prompt`](crate::request::Prompt).
    pub prompt: Sealed,
}

/// What `Count Tokens` finds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenCount {
    /// The prompt's tokens as the model will bill them; absent where Bedrock does not count for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
}
