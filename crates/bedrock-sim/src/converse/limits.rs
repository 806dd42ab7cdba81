//! What a model lacks of what Converse has.

use serde_json::{Map, Value};

use crate::{
    error::ApiError,
    fields::Fields,
    invoke::{cohere, mistral},
    models::{Family, Model},
    prompt::Prompt,
};

/// Fields of Claude's own body that Converse does not have.
const CLAUDE_EXTRA: [&str; 5] = ["top_k", "thinking", "anthropic_beta", "tool_choice", "output_config"];
const COHERE_TEXT_EXTRA: [&str; 5] = ["k", "return_likelihoods", "num_generations", "logit_bias", "truncate"];
const COHERE_CHAT_EXTRA: [&str; 10] = [
    "k",
    "documents",
    "search_queries_only",
    "preamble",
    "prompt_truncation",
    "frequency_penalty",
    "presence_penalty",
    "seed",
    "return_prompt",
    "raw_prompting",
];
const OPENAI_EXTRA: [&str; 10] = [
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

/// Checks a prompt for what Converse takes for other models.
///
/// # Errors
/// A ValidationException that names what this model does not have.
pub fn check_prompt(prompt: &Prompt, model: Model<'_>) -> Result<(), ApiError> {
    let refused = |field: &str| {
        Err(ApiError::validation(format!(
            "This model doesn't support the {field} field. Remove {field} and try again."
        )))
    };
    if !prompt.system.is_empty() && !model.has_system() {
        return refused("system");
    }
    if !prompt.stop_sequences.is_empty() && !model.has_stop_sequences() {
        return refused("stopSequences");
    }
    if prompt.turns.len() > 1 && !model.has_history() {
        return Err(ApiError::validation(
            "This model doesn't support conversation history. Try again with input that only includes one user message.",
        ));
    }
    if matches!(model.family(), Family::ClaudeMessages | Family::ClaudeText) {
        prompt.check_claude_prefill()?;
    }
    Ok(())
}

/// Checks the fields that Converse passes on to the model: those of its own body that Converse has no place for.
///
/// # Errors
/// A ValidationException that names the field that the model's body does not have.
pub fn check_extra(extra: &Map<String, Value>, model: Model<'_>) -> Result<(), ApiError> {
    let place = "#/additionalModelRequestFields";
    match model.family() {
        Family::ClaudeMessages | Family::ClaudeText => {
            Fields::new(extra, place, &CLAUDE_EXTRA)?.integer("top_k", 0)?;
        }
        Family::Nova => {
            let extra = Fields::new(extra, place, &["inferenceConfig", "reasoningConfig"])?;
            if let Some(config) = extra.object("inferenceConfig")? {
                Fields::new(config, "#/additionalModelRequestFields/inferenceConfig", &["topK"])?.integer("topK", 0)?;
            }
        }
        Family::Mistral if mistral::takes_top_k(model) => {
            mistral::check_top_k(&Fields::new(extra, place, &["top_k"])?)?;
        }
        Family::CohereText => cohere::check_k(&Fields::new(extra, place, &COHERE_TEXT_EXTRA)?)?,
        Family::CohereChat => cohere::check_k(&Fields::new(extra, place, &COHERE_CHAT_EXTRA)?)?,
        Family::Jamba => {
            Fields::new(extra, place, &["n", "frequency_penalty", "presence_penalty"])?;
        }
        Family::GptOss | Family::Qwen => {
            Fields::new(extra, place, &OPENAI_EXTRA)?;
        }
        Family::Titan | Family::Llama | Family::Mistral | Family::DeepSeek => {
            Fields::new(extra, place, &[])?;
        }
        Family::Other => {}
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::converse::parse;

    fn refused(model: &str, body: Value) -> String {
        let Value::Object(body) = body else { panic!("not an object") };
        parse(&body, Model::parse(model)).err().unwrap_or_else(|| panic!("accepted: {body:?}")).message
    }

    fn user(text: &str) -> Value {
        json!({"role": "user", "content": [{"text": text}]})
    }

    #[test]
    fn models_differ_in_their_extra_fields_and_system_texts() {
        let extra = |fields: Value| json!({"messages": [user("a")], "additionalModelRequestFields": fields});
        let nova = Model::parse("us.amazon.nova-lite-v1:0");
        assert!(parse(extra(json!({"inferenceConfig": {"topK": 5}})).as_object().unwrap(), nova).is_ok());
        assert!(refused("amazon.nova-lite-v1:0", extra(json!({"top_k": 5}))).contains("[top_k]"));
        let system = json!({"messages": [user("a")], "system": [{"text": "b"}]});
        assert!(refused("amazon.titan-text-express-v1", system.clone()).contains("system"));
        assert!(parse(system.as_object().unwrap(), None).is_ok());
        for (model, fields, named) in [
            ("meta.llama3-3-70b-instruct-v1:0", json!({"top_k": 5}), "[top_k]"),
            ("mistral.mistral-large-2407-v1:0", json!({"top_k": 5}), "[top_k]"),
            ("mistral.mistral-7b-instruct-v0:2", json!({"top_k": 201}), "between 1 and 200"),
            ("cohere.command-r-v1:0", json!({"k": 501}), "between 0 and 500"),
            ("qwen.qwen3-32b-v1:0", json!({"top_k": 5}), "[top_k]"),
        ] {
            assert!(refused(model, extra(fields)).contains(named), "{model}");
        }
        for (model, fields) in [
            ("mistral.mistral-7b-instruct-v0:2", json!({"top_k": 5})),
            ("cohere.command-r-v1:0", json!({"k": 5})),
            ("openai.gpt-oss-20b-1:0", json!({"reasoning_effort": "low"})),
            ("writer.palmyra-x5-v1:0", json!({"anything": 1})),
        ] {
            assert!(parse(extra(fields).as_object().unwrap(), Model::parse(model)).is_ok(), "{model}");
        }
    }

    #[test]
    fn models_differ_in_stop_sequences_and_history() {
        let stop = json!({"messages": [user("a")], "inferenceConfig": {"stopSequences": ["x"]}});
        for model in ["openai.gpt-oss-120b-1:0", "qwen.qwen3-32b-v1:0", "deepseek.v3-v1:0"] {
            assert!(refused(model, stop.clone()).contains("doesn't support the stopSequences field"), "{model}");
        }
        assert!(parse(stop.as_object().unwrap(), Model::parse("us.deepseek.r1-v1:0")).is_ok());
        let history = json!({"messages": [user("a"), {"role": "assistant", "content": [{"text": "b"}]}, user("c")]});
        assert!(refused("cohere.command-text-v14", history.clone()).contains("doesn't support conversation history"));
        assert!(parse(history.as_object().unwrap(), Model::parse("cohere.command-r-v1:0")).is_ok());
    }
}
