//! `additionalModelRequestFields`: fields of a model family's own body that Converse passes on.

use serde_json::{Map, Value};

use crate::{
    error::ApiError,
    facts::Rule,
    fields::Fields,
    models::{Dialect, Model},
};

/// Fields of Claude's own body that are not Converse fields.
const CLAUDE: [&str; 6] = ["top_k", "thinking", "anthropic_beta", "tool_choice", "output_config", "context_management"];
/// Fields of the OpenAI chat body that are not Converse fields.
const OPENAI: [&str; 10] = [
    "reasoning_effort",
    "seed",
    "n",
    "frequency_penalty",
    "presence_penalty",
    "logit_bias",
    "logprobs",
    "top_logprobs",
    "response_format",
    "parallel_tool_calls",
];
/// Maximum `top_k`. Source: Bedrock user guide, Mistral AI text completion.
const MISTRAL_TOP_K: f64 = 200.0;

/// Checks the fields. Fields of [`Dialect::Other`] are passed on without a check.
///
/// # Errors
/// A `ValidationException` that names the field that the model does not support or whose value is invalid.
pub fn check(extra: &Map<String, Value>, model: Model<'_>) -> Result<(), ApiError> {
    let place = "#/additionalModelRequestFields";
    match model.dialect() {
        Dialect::Claude => {
            Fields::new(extra, place, &CLAUDE)?.integer("top_k", 0)?;
            if extra.contains_key("top_k") && model.has(Rule::NoSampling) {
                return Err(ApiError::model("`top_k` is deprecated for this model."));
            }
        }
        Dialect::Nova => {
            let extra = Fields::new(extra, place, &["inferenceConfig", "reasoningConfig"])?;
            if let Some(config) = extra.object("inferenceConfig")? {
                Fields::new(config, "#/additionalModelRequestFields/inferenceConfig", &["topK"])?.integer("topK", 0)?;
            }
        }
        Dialect::MistralText => {
            let extra = Fields::new(extra, place, &["top_k"])?;
            extra.integer("top_k", 1)?;
            extra.number("top_k", 1.0, MISTRAL_TOP_K)?;
        }
        Dialect::OpenAiChat => {
            Fields::new(extra, place, &OPENAI)?;
        }
        Dialect::Plain => {
            Fields::new(extra, place, &[])?;
        }
        Dialect::Other => {}
    }
    Ok(())
}
