//! What Converse has no field for, in the words of a model's family: `additionalModelRequestFields`.

use sentry_contract::request::Family;
use serde_json::{Value, json};

/// `top_k`, for a family that has it.
///
/// Sources: Amazon Nova User Guide, "Complete request schema"; Amazon Bedrock User Guide, "Cohere Command R and Command R+ models",
/// "Anthropic Claude Messages API" and "Mistral AI text completion".
pub fn top_k(family: Family, top_k: u32) -> Value {
    match family {
        Family::Nova => json!({"inferenceConfig": {"topK": top_k}}),
        Family::Cohere => json!({"k": top_k}),
        _ => json!({"top_k": top_k}),
    }
}
