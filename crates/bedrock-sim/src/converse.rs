//! Converse: one format for every model.

mod caching;
mod events;
mod extra;

use serde_json::{Map, Value, json};

use crate::{
    blocks, content,
    error::ApiError,
    facts::{self, Rule},
    fields::{self, Fields},
    guardrail,
    models::Model,
    prompt::Prompt,
    reply::{Reply, Thoughts},
    thinking,
    tokens::Usage,
    tools,
};

pub use events::events;

/// Members of the shape `ConverseRequest` (botocore 1.44.8), except the model id, which is in the path.
const KNOWN: [&str; 13] = [
    "messages",
    "system",
    "inferenceConfig",
    "toolConfig",
    "guardrailConfig",
    "projectIdentifier",
    "promptVariables",
    "additionalModelRequestFields",
    "additionalModelResponseFieldPaths",
    "requestMetadata",
    "performanceConfig",
    "serviceTier",
    "outputConfig",
];
/// Stop reasons. Source: shape `StopReason` of the service model.
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
/// Service tiers except `reserved`. Source: shape `ServiceTierType` of the service model (botocore 1.44.8).
const TIERS: [&str; 3] = ["priority", "default", "flex"];
const MAX_METADATA: usize = 16;
const MAX_METADATA_LENGTH: usize = 256;

/// Parses the body of a request, and checks it against the rules of the model.
///
/// # Errors
/// An exception if Bedrock would return one.
pub fn parse(body: &Map<String, Value>, model: Option<Model<'_>>) -> Result<Prompt, ApiError> {
    let fields = Fields::new(body, "#", &KNOWN)?;
    let mut prompt = settings(fields.object("inferenceConfig")?)?;
    content::read_conversation(&fields, &mut prompt, model)?;
    prompt.tools = tools::read(fields.object("toolConfig")?, &prompt, model)?;
    prompt.guardrail = fields.object("guardrailConfig")?.map(guardrail::read).transpose()?;
    prompt.service_tier = fields.object("serviceTier")?.map(service_tier).transpose()?;
    let output = fields.object("outputConfig")?.map(output_config).transpose()?;
    let (schema, effort) = output.unwrap_or_default();
    prompt.schema = schema;
    prompt.response_paths = response_paths(&fields)?;
    if let Some(model) = model {
        check_limits(&prompt, model)?;
        let extra = fields.object("additionalModelRequestFields")?;
        if let Some(extra) = extra {
            extra::check(extra, model)?;
        }
        if prompt.schema.is_some() && model.has(Rule::NoStructuredOutput) {
            return Err(ApiError::model("output_config.format: Extra inputs are not permitted"));
        }
        prompt.thinking = thinking::read(extra, effort.as_deref(), &prompt, model)?;
        content::check_thoughts(&prompt, model)?;
    }
    if let Some(metadata) = fields.object("requestMetadata")? {
        check_metadata(metadata)?;
    }
    prompt.cache_points = caching::read(body, &prompt, model)?;
    Ok(prompt)
}

/// Checks the model's maximum input and output tokens. Sources of the messages: daisuke-awaji/moca issue 254 (Claude
/// input), aws-samples/bedrock-chat issue 95 (input of other models), aws-samples/bedrock-access-gateway issue 41
/// (output).
fn check_limits(prompt: &Prompt, model: Model<'_>) -> Result<(), ApiError> {
    let Some(facts) = facts::of(model.base) else { return Ok(()) };
    if let (Some(limit), Some(asked)) = (facts.output, prompt.max_tokens)
        && asked > limit
    {
        return Err(ApiError::validation(format!(
            "The maximum tokens you requested exceeds the model limit of {limit}. Try again with a maximum tokens value that is lower \
             than {limit}."
        )));
    }
    let input = prompt.input_tokens();
    match facts.context {
        Some(limit) if input > limit && model.is_claude() => {
            Err(ApiError::model(format!("prompt is too long: {input} tokens > {limit} maximum")))
        }
        Some(limit) if input > limit => Err(ApiError::validation("Input is too long for requested model.")),
        _ => Ok(()),
    }
}

/// The schema and the effort in `outputConfig`. Source: Bedrock user guide, "Get validated JSON results from models"
/// (<https://docs.aws.amazon.com/bedrock/latest/userguide/structured-output.html>, read 2026-11-26).
fn output_config(config: &Map<String, Value>) -> Result<(Option<Value>, Option<String>), ApiError> {
    let place = "#/outputConfig";
    let config = Fields::new(config, place, &["textFormat", "effort"])?;
    let effort = config.string("effort")?.map(str::to_owned);
    let Some(format) = config.object("textFormat")? else { return Ok((None, effort)) };
    let format = Fields::new(format, place, &["type", "structure"])?;
    blocks::one_of(&format, "type", "outputConfig.textFormat", &["json_schema"])?;
    let structure = format.object("structure")?.ok_or_else(|| format.missing("structure"))?;
    let structure = Fields::new(structure, place, &["jsonSchema"])?;
    let definition = structure.object("jsonSchema")?.ok_or_else(|| structure.missing("jsonSchema"))?;
    let definition = Fields::new(definition, place, &["schema", "name", "description"])?;
    let schema = serde_json::from_str(definition.text("schema")?).ok().filter(Value::is_object);
    // This message is the simulator's own. It is not from AWS.
    let schema =
        schema.ok_or_else(|| ApiError::validation("outputConfig.textFormat: the schema is not a JSON object."))?;
    Ok((Some(schema), effort))
}

/// `true` if Converse has this stop reason.
pub fn knows_stop_reason(reason: &str) -> bool {
    STOP_REASONS.contains(&reason)
}

/// The body of the answer for a reply.
pub fn answer(reply: &Reply, service_tier: Option<&str>) -> Value {
    let thoughts = reply.thoughts.iter().map(|thoughts| match thoughts {
        Thoughts::Told { text, signature: None } => json!({"reasoningContent": {"reasoningText": {"text": text}}}),
        Thoughts::Told { text, signature } => {
            json!({"reasoningContent": {"reasoningText": {"text": text, "signature": signature}}})
        }
        Thoughts::Redacted(content) => json!({"reasoningContent": {"redactedContent": content}}),
    });
    let text = reply.text.iter().map(|text| json!({"text": text}));
    let asked = reply
        .tool_use
        .iter()
        .map(|asked| json!({"toolUse": {"toolUseId": asked.id, "name": asked.name, "input": asked.input}}));
    let content: Vec<Value> = thoughts.chain(text).chain(asked).collect();
    let mut answer = json!({
        "output": {"message": {"role": "assistant", "content": content}},
        "stopReason": reply.stop_reason,
        "metrics": {"latencyMs": reply.latency_ms},
    });
    if reply.usage_is_told {
        fields::set(&mut answer, "usage", usage(&reply.usage));
    }
    if let Some(tier) = service_tier {
        fields::set(&mut answer, "serviceTier", json!({"type": tier}));
    }
    if let Some(own) = own_fields(reply) {
        fields::set(&mut answer, "additionalModelResponseFields", own);
    }
    answer
}

/// The paths in `additionalModelResponseFieldPaths`. Source: Amazon Bedrock API Reference, Converse: at most 10, and "an
/// empty JSON Pointer or incorrectly structured JSON Pointer" is rejected.
fn response_paths(fields: &Fields<'_>) -> Result<Vec<String>, ApiError> {
    let paths = fields.strings("additionalModelResponseFieldPaths")?;
    if paths.len() <= 10 && paths.iter().all(|path| path.starts_with('/')) {
        return Ok(paths);
    }
    // This message is the simulator's own. It is not from AWS.
    Err(ApiError::validation("additionalModelResponseFieldPaths: at most 10 JSON Pointers are accepted."))
}

/// The fields of Claude's own answer that the request asked for, by their first name. A field that the model does not
/// have is ignored (as in the API Reference).
fn own_fields(reply: &Reply) -> Option<Value> {
    let usage = json!({"input_tokens": reply.usage.input, "output_tokens": reply.usage.output});
    let all = json!({"stop_reason": reply.stop_reason, "stop_sequence": reply.stop_sequence, "usage": usage});
    let named = |path: &String| path.strip_prefix('/').and_then(|name| Some((name.to_owned(), all.get(name)?.clone())));
    let own: Map<String, Value> = reply.response_paths.iter().filter_map(named).collect();
    (!own.is_empty()).then_some(Value::Object(own))
}

/// The usage in the answer. Source: shape `TokenUsage` (botocore 1.44.8). `cacheDetails` is "sorted by TTL duration
/// (1h before 5m)", and empty if nothing was written.
fn usage(usage: &Usage) -> Value {
    let mut told = json!({"inputTokens": usage.input, "outputTokens": usage.output, "totalTokens": usage.total()});
    for (name, count) in [("cacheReadInputTokens", usage.cache_read), ("cacheWriteInputTokens", usage.cache_write)] {
        if let Some(count) = count {
            fields::set(&mut told, name, count);
        }
    }
    if let Some(written) = usage.cache_write {
        let long = usage.cache_write_long.min(written);
        let details = [("1h", long), ("5m", written - long)];
        let details = details.iter().filter(|(_, count)| *count > 0);
        let details = details.map(|(ttl, count)| json!({"ttl": ttl, "inputTokens": count}));
        fields::set(&mut told, "cacheDetails", details.collect::<Vec<_>>());
    }
    told
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

/// The service tier of a request. `reserved` is an error, because the simulator has no reservations. Source of the
/// messages: NousResearch/hermes-agent pull request 34476.
fn service_tier(tier: &Map<String, Value>) -> Result<String, ApiError> {
    match Fields::new(tier, "#/serviceTier", &["type"])?.text("type")? {
        "reserved" => Err(ApiError::validation("Reservation not found.")),
        tier if TIERS.contains(&tier) => Ok(tier.to_owned()),
        _ => Err(ApiError::validation("service tier provided is invalid")),
    }
}

/// Checks the request metadata: at most 16 pairs, and at most 256 characters of a small set for each key and value.
/// Source: shapes `RequestMetadata…` of the service model.
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
