//! Input and output of `Validate And Tag` and `Count Tokens`.

use serde::{Deserialize, Serialize};

use crate::answer::FinalAnswer;
use crate::request::Request;
use crate::sealed::Sealed;

/// Output of `Validate And Tag`. Its input is the client's document.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Validated {
    /// The request is acceptable.
    Valid {
        /// Always `true` in this variant.
        valid: bool,
        /// The request, with tags and a resolved model.
        request: Box<Request>,
        /// The [`Prompt`](crate::request::Prompt), with all parameters filled in.
        prompt: Sealed,
    },
    /// The document is not acceptable, or its model cannot be looked up at the moment.
    Refused {
        /// Always `false` in this variant.
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

/// Input of `Count Tokens`, from the state machine.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CountTokensInput {
    /// The id of the model for which Bedrock counts.
    pub counted_as: String,
    /// The [`Prompt`](crate::request::Prompt) in sealed form.
    pub prompt: Sealed,
}

/// Output of `Count Tokens`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TokenCount {
    /// The prompt's tokens as the model will bill them. Absent if Bedrock does not count for the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub input_tokens: Option<u64>,
}
