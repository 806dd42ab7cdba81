//! Converse: one format for every model.

use serde_json::{Map, Value, json};

use crate::{
    content,
    error::ApiError,
    fields::Fields,
    models::{Family, Model},
    prompt::Prompt,
    reply::Reply,
};

const KNOWN: [&str; 12] = [
    "messages",
    "system",
    "inferenceConfig",
    "toolConfig",
    "guardrailConfig",
    "promptVariables",
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "requestMetadata",
    "performanceConfig",
    "serviceTier",
    "outputConfig",
];
/// Fields of Claude's own body that Converse does not have.
const CLAUDE_EXTRA: [&str; 5] = ["top_k", "thinking", "anthropic_beta", "tool_choice", "output_config"];
const MAX_METADATA: usize = 16;
const MAX_METADATA_LENGTH: usize = 256;

/// Reads a request.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn parse(body: &Map<String, Value>, model: Option<Model<'_>>) -> Result<Prompt, ApiError> {
    let fields = Fields::new(body, "#", &KNOWN)?;
    let mut prompt = settings(fields.object("inferenceConfig")?)?;
    content::read_conversation(&fields, &mut prompt)?;
    if !prompt.system.is_empty() && model.is_some_and(|model| !model.has_system()) {
        return Err(ApiError::validation("This model doesn't support the system field. Remove system and try again."));
    }
    let family = model.map(|model| model.family());
    if matches!(family, Some(Family::AnthropicMessages | Family::AnthropicText)) {
        prompt.check_claude_prefill()?;
    }
    if let Some(extra) = fields.object("additionalModelRequestFields")? {
        check_extra(extra, family)?;
    }
    if let Some(metadata) = fields.object("requestMetadata")? {
        check_metadata(metadata)?;
    }
    Ok(prompt)
}

/// The answer for a reply.
pub fn answer(reply: &Reply) -> Value {
    let content: Vec<Value> = reply.text.iter().map(|text| json!({"text": text})).collect();
    let mut answer = json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reply.stop_reason,
        "metrics": {"latencyMs": reply.latency_ms},
    });
    if reply.usage_is_told
        && let Some(answer) = answer.as_object_mut()
    {
        let usage = &reply.usage;
        let mut told = json!({"inputTokens": usage.input, "outputTokens": usage.output, "totalTokens": usage.total()});
        if let Some(told) = told.as_object_mut() {
            let cached = [("cacheReadInputTokens", usage.cache_read), ("cacheWriteInputTokens", usage.cache_write)];
            told.extend(cached.into_iter().filter_map(|(name, count)| Some((name.to_owned(), count?.into()))));
        }
        answer.insert("usage".to_owned(), told);
    }
    answer
}

fn settings(config: Option<&Map<String, Value>>) -> Result<Prompt, ApiError> {
    let Some(config) = config else { return Ok(Prompt::default()) };
    let config = Fields::new(config, "#/inferenceConfig", &["maxTokens", "temperature", "topP", "stopSequences"])?;
    Ok(Prompt {
        max_tokens: config.integer("maxTokens", 1)?,
        temperature: config.fraction("temperature")?,
        top_p: config.fraction("topP")?,
        stop_sequences: config.strings("stopSequences")?,
        ..Prompt::default()
    })
}

fn check_extra(extra: &Map<String, Value>, family: Option<Family>) -> Result<(), ApiError> {
    match family {
        Some(Family::AnthropicMessages | Family::AnthropicText) => {
            Fields::new(extra, "#/additionalModelRequestFields", &CLAUDE_EXTRA)?.integer("top_k", 0)?;
        }
        Some(Family::Nova) => {
            let extra = Fields::new(extra, "#/additionalModelRequestFields", &["inferenceConfig", "reasoningConfig"])?;
            if let Some(config) = extra.object("inferenceConfig")? {
                Fields::new(config, "#/additionalModelRequestFields/inferenceConfig", &["topK"])?.integer("topK", 0)?;
            }
        }
        Some(Family::Other) | None => {}
    }
    Ok(())
}

/// Shapes `RequestMetadata…` of the service model: 16 pairs, 256 characters each of a small set.
fn check_metadata(metadata: &Map<String, Value>) -> Result<(), ApiError> {
    let is_plain = |text: &str| {
        text.chars().count() <= MAX_METADATA_LENGTH
            && text.chars().all(|c| c.is_ascii_alphanumeric() || c.is_ascii_whitespace() || ":_@$#=/+,-.".contains(c))
    };
    let fits = metadata.len() <= MAX_METADATA
        && metadata.iter().all(|(key, value)| !key.is_empty() && is_plain(key) && value.as_str().is_some_and(is_plain));
    if fits {
        return Ok(());
    }
    Err(ApiError::validation(
        "1 validation error detected: Value at 'requestMetadata' failed to satisfy constraint: Map must have at most 16 entries \
         of strings that match [a-zA-Z0-9\\s:_@$#=/+,-.]{0,256}",
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(model: &str, body: Value) -> String {
        let Value::Object(body) = body else { panic!("not an object") };
        let error = parse(&body, Model::parse(model)).err().unwrap_or_else(|| panic!("accepted: {body:?}"));
        assert_eq!(error.kind, "ValidationException");
        error.message
    }

    const HAIKU: &str = "anthropic.claude-3-haiku-20240307-v1:0";

    fn user(text: &str) -> Value {
        json!({"role": "user", "content": [{"text": text}]})
    }

    #[test]
    fn a_full_request_is_read() {
        let body = json!({
            "system": [{"text": "Be brief."}, {"cachePoint": {"type": "default"}}],
            "messages": [user("Hi"), {"role": "assistant", "content": [{"text": "Hello."}]}, user("S3?")],
            "inferenceConfig": {"maxTokens": 9, "temperature": 0.7, "topP": 0.9, "stopSequences": ["x"]},
            "additionalModelRequestFields": {"top_k": 50},
            "requestMetadata": {"costCenter": "support"},
        });
        let prompt = parse(body.as_object().unwrap(), Model::parse(HAIKU)).ok().unwrap();
        assert_eq!((prompt.system.len(), prompt.turns.len(), prompt.max_tokens), (1, 3, Some(9)));
        assert_eq!((prompt.last_user_text(), prompt.temperature, prompt.top_p), ("S3?", Some(0.7), Some(0.9)));
        assert_eq!(prompt.stop_sequences, ["x"]);
    }

    #[test]
    fn what_bedrock_refuses_is_refused() {
        let assistant = json!({"role": "assistant", "content": [{"text": "Hello. "}]});
        for (body, named) in [
            (json!({}), "messages"),
            (json!({"messages": []}), "start with a user message"),
            (json!({"messages": [assistant]}), "start with a user message"),
            (json!({"messages": [user("a"), user("b")]}), "must alternate"),
            (json!({"messages": [user("a"), assistant]}), "trailing whitespace"),
            (json!({"messages": [{"role": "system", "content": [{"text": "a"}]}]}), "enum value set"),
            (json!({"messages": [{"role": "user", "content": []}]}), "is empty"),
            (json!({"messages": [user(" ")]}), "messages.0.content.0 is blank"),
            (json!({"messages": [user("a")], "temprature": 1}), "[temprature]"),
            (json!({"messages": [user("a")], "inferenceConfig": {"maxTokens": 0}}), "greater than or equal to 1"),
            (json!({"messages": [user("a")], "inferenceConfig": {"temperature": 1.5}}), "between 0 and 1"),
            (json!({"messages": [user("a")], "inferenceConfig": {"topK": 5}}), "[topK]"),
            (json!({"messages": [user("a")], "additionalModelRequestFields": {"topK": 5}}), "[topK]"),
            (json!({"messages": [user("a")], "requestMetadata": {"team": "größe"}}), "requestMetadata"),
        ] {
            let message = refused(HAIKU, body);
            assert!(message.contains(named), "{message} has no {named}");
        }
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
    }
}
