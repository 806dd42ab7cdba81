//! Converse: one format for every model.

mod limits;

use serde_json::{Map, Value, json};

use crate::{
    blocks, content,
    error::ApiError,
    fields::{self, Fields},
    guardrail,
    models::Model,
    pictures,
    prompt::Prompt,
    reply::Reply,
    tools,
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
/// Shape `StopReason` of the service model.
const STOP_REASONS: [&str; 9] = [
    "end_turn",
    "tool_use",
    "max_tokens",
    "stop_sequence",
    "guardrail_intervened",
    "content_filtered",
    "malformed_model_output",
    "malformed_tool_use",
    "model_context_window_exceeded",
];
/// Shape `ServiceTierType` of the service model.
const TIERS: [&str; 4] = ["priority", "default", "flex", "reserved"];
const MAX_METADATA: usize = 16;
const MAX_METADATA_LENGTH: usize = 256;

/// Reads a request.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn parse(body: &Map<String, Value>, model: Option<Model<'_>>) -> Result<Prompt, ApiError> {
    let fields = Fields::new(body, "#", &KNOWN)?;
    let mut prompt = settings(fields.object("inferenceConfig")?)?;
    content::read_conversation(&fields, &mut prompt, blocks::turn)?;
    let images = prompt.turns.iter().flat_map(|turn| &turn.images);
    prompt.image_tokens = images.map(|size| pictures::tokens(model, *size)).fold(0, u64::saturating_add);
    prompt.tools = tools::read(fields.object("toolConfig")?, &prompt)?;
    prompt.guardrail = fields.object("guardrailConfig")?.map(guardrail::read).transpose()?;
    prompt.service_tier = fields.object("serviceTier")?.map(service_tier).transpose()?;
    if let Some(model) = model {
        limits::check_prompt(&prompt, model)?;
        if let Some(extra) = fields.object("additionalModelRequestFields")? {
            limits::check_extra(extra, model)?;
        }
    }
    if let Some(metadata) = fields.object("requestMetadata")? {
        check_metadata(metadata)?;
    }
    Ok(prompt)
}

/// Whether Converse has this stop reason.
pub fn knows_stop_reason(reason: &str) -> bool {
    STOP_REASONS.contains(&reason)
}

/// The answer for a reply.
pub fn answer(reply: &Reply, service_tier: Option<&str>) -> Value {
    let reasoning = reply.reasoning.iter().map(|text| json!({"reasoningContent": {"reasoningText": {"text": text}}}));
    let text = reply.text.iter().map(|text| json!({"text": text}));
    let asked = reply
        .tool_use
        .iter()
        .map(|asked| json!({"toolUse": {"toolUseId": asked.id, "name": asked.name, "input": asked.input}}));
    let content: Vec<Value> = reasoning.chain(text).chain(asked).collect();
    let mut answer = json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reply.stop_reason,
        "metrics": {"latencyMs": reply.latency_ms},
    });
    if reply.usage_is_told {
        let usage = &reply.usage;
        let mut told = json!({"inputTokens": usage.input, "outputTokens": usage.output, "totalTokens": usage.total()});
        for (name, count) in [("cacheReadInputTokens", usage.cache_read), ("cacheWriteInputTokens", usage.cache_write)]
        {
            if let Some(count) = count {
                fields::set(&mut told, name, count);
            }
        }
        fields::set(&mut answer, "usage", told);
    }
    if let Some(tier) = service_tier {
        fields::set(&mut answer, "serviceTier", json!({"type": tier}));
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

fn service_tier(tier: &Map<String, Value>) -> Result<String, ApiError> {
    let tier = Fields::new(tier, "#/serviceTier", &["type"])?.text("type")?;
    check_tier(tier).map(|()| tier.to_owned())
}

/// Whether there is such a service tier.
///
/// # Errors
/// A ValidationException if there is none.
pub fn check_tier(tier: &str) -> Result<(), ApiError> {
    if TIERS.contains(&tier) {
        return Ok(());
    }
    Err(ApiError::validation(
        "1 validation error detected: Value at 'serviceTier.type' failed to satisfy constraint: Member must satisfy enum value set: \
         [priority, default, flex, reserved]",
    ))
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
}
