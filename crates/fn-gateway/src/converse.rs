//! Bedrock's Converse API: its request as a document of the sentry, and the sentry's answer as its response.
//!
//! Messages, tools and the other parts keep their text, so that numbers arrive as the client wrote them. Their rules
//! are those of `Validate And Tag`.

use std::collections::BTreeMap;

use axum::body::Bytes;
use axum::http::HeaderMap;
use sentry_contract::answer::{FinalAnswer, Output, Usage};
use sentry_models::adapters::ModelFailure;
use sentry_models::adapters::stream::Event;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::api::{Asked, Form};
use crate::caller::Caller;
use crate::document::{Prompt, raw, unsupported};
use crate::errors::ApiError;
use crate::frames;
use crate::identity::{given_tags, tags};

/// The content type of events. Source: Smithy, "Amazon Event Stream specification".
pub const EVENT_STREAM: &str = "application/vnd.amazon.eventstream";

/// The exception of an answer that broke off.
pub const BROKEN: &str = "modelStreamErrorException";

/// Reads a request to `converse`, or to `converse-stream` if it is `in_events`.
///
/// # Errors
/// If the request is not acceptable, or claims a tag that contradicts the caller's.
pub fn asked(
    caller: &Caller,
    model: &str,
    headers: &HeaderMap,
    body: &[u8],
    in_events: bool,
) -> Result<Asked, ApiError> {
    let mut body = read(body)?;
    let mut given = std::mem::take(&mut body.request_metadata);
    given.extend(given_tags(headers)?);
    let document = document(model, body, &tags(caller, given)?)?;
    Ok(Asked { document, in_events, form: Box::new(Converse) })
}

/// The form of Converse and `ConverseStream`.
struct Converse;

impl Form for Converse {
    fn whole(&self, answer: &FinalAnswer, output: &Output, latency_ms: u64) -> Value {
        response(output, answer.usage.as_ref(), latency_ms)
    }

    fn content_type(&self) -> &'static str {
        EVENT_STREAM
    }

    fn event(&mut self, event: &Event) -> Bytes {
        frames::event(event.name, &event.fields)
    }

    fn broken(&mut self, failure: &ModelFailure) -> Bytes {
        broken(failure)
    }
}

/// The frame that ends an answer that broke off.
pub fn broken(failure: &ModelFailure) -> Bytes {
    let message = format!("{} [sentry: {}]", failure.error.message, failure.error.code.name());
    frames::exception(BROKEN, &message)
}

/// The body of a Converse request.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Body {
    messages: Option<Box<RawValue>>,
    system: Option<Box<RawValue>>,
    inference_config: Option<InferenceConfig>,
    tool_config: Option<ToolConfig>,
    guardrail_config: Option<GuardrailConfig>,
    additional_model_request_fields: Option<BTreeMap<String, Box<RawValue>>>,
    additional_model_response_field_paths: Option<Box<RawValue>>,
    service_tier: Option<Typed>,
    output_config: Option<OutputConfig>,
    performance_config: Option<PerformanceConfig>,
    /// Tags that the key leaves open, as in the header `x-sentry-tags`.
    #[serde(default)]
    pub request_metadata: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct InferenceConfig {
    max_tokens: Option<Box<RawValue>>,
    temperature: Option<Box<RawValue>>,
    top_p: Option<Box<RawValue>>,
    stop_sequences: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ToolConfig {
    tools: Option<Box<RawValue>>,
    tool_choice: Option<Box<RawValue>>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct GuardrailConfig {
    guardrail_identifier: Option<String>,
    guardrail_version: Option<String>,
    trace: Option<String>,
    /// Only in a request for events. `sync` is the default.
    stream_processing_mode: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Typed {
    r#type: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PerformanceConfig {
    latency: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct OutputConfig {
    text_format: Option<TextFormat>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct TextFormat {
    r#type: String,
    structure: Structure,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Structure {
    json_schema: JsonSchema,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct JsonSchema {
    schema: String,
    name: Option<String>,
    description: Option<String>,
}

/// Reads the body of a Converse request.
///
/// # Errors
/// If it is not JSON of this form. The error has the position, and a field's name, but no other text.
pub fn read(body: &[u8]) -> Result<Body, ApiError> {
    serde_json::from_slice(body).map_err(|error| {
        let (line, column) = (error.line(), error.column());
        let text = error.to_string();
        // Only this message names a field and nothing of its value.
        let unknown = text.starts_with("unknown field").then(|| text.split(", expected").next().unwrap_or_default());
        let problem = unknown.unwrap_or("it is not JSON of the form of Converse");
        ApiError::validation(&format!("The request body cannot be read at line {line}, column {column}: {problem}."))
    })
}

/// The document of the sentry for a request to `model` with `tags`.
///
/// # Errors
/// If the request has a part that the sentry does not support.
pub fn document(model: &str, body: Body, tags: &BTreeMap<String, String>) -> Result<Box<RawValue>, ApiError> {
    if body.performance_config.is_some_and(|config| config.latency.is_some_and(|latency| latency != "standard")) {
        return Err(unsupported("performanceConfig.latency", "only standard is supported"));
    }
    let (tools, tool_choice) = body.tool_config.map_or((None, None), |config| (config.tools, config.tool_choice));
    let mut additional = body.additional_model_request_fields.unwrap_or_default();
    let mut parameters = parameters(body.inference_config);
    if let Some(top_k) = additional.remove("top_k") {
        parameters.insert("top_k", top_k);
    }
    let reasoning = reasoning(&mut additional);
    let prompt = Prompt {
        system: body.system,
        messages: body.messages,
        parameters,
        tools,
        tool_choice,
        guardrail: body.guardrail_config.map(guardrail).transpose()?,
        service_tier: body.service_tier.map(|tier| tier.r#type),
        reasoning,
        output_format: body.output_config.and_then(|config| config.text_format).map(output_format).transpose()?,
        additional_model_request_fields: additional,
        additional_model_response_field_paths: body.additional_model_response_field_paths,
    };
    prompt.document(model, tags)
}

fn parameters(config: Option<InferenceConfig>) -> BTreeMap<&'static str, Box<RawValue>> {
    let Some(InferenceConfig { max_tokens, temperature, top_p, stop_sequences }) = config else {
        return BTreeMap::new();
    };
    let given = [
        ("max_tokens", max_tokens),
        ("temperature", temperature),
        ("top_p", top_p),
        ("stop_sequences", stop_sequences),
    ];
    given.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
}

fn guardrail(config: GuardrailConfig) -> Result<Value, ApiError> {
    if config.trace.is_some_and(|trace| trace != "disabled") {
        return Err(unsupported("guardrailConfig.trace", "only disabled is supported"));
    }
    if config.stream_processing_mode.is_some_and(|mode| mode != "sync") {
        return Err(unsupported("guardrailConfig.streamProcessingMode", "only sync is supported"));
    }
    Ok(json!({"identifier": config.guardrail_identifier, "version": config.guardrail_version}))
}

fn output_format(format: TextFormat) -> Result<Box<RawValue>, ApiError> {
    if format.r#type != "json_schema" {
        return Err(unsupported("outputConfig.textFormat.type", "only json_schema is supported"));
    }
    let JsonSchema { schema, name, description } = format.structure.json_schema;
    let schema: Value = serde_json::from_str(&schema)
        .map_err(|_| unsupported("outputConfig.textFormat.structure.jsonSchema.schema", "it is not JSON"))?;
    let mut given = json!({"name": name, "schema": schema});
    if let (Some(fields), Some(description)) = (given.as_object_mut(), description) {
        fields.insert("description".to_owned(), description.into());
    }
    raw(json!({"jsonSchema": given}))
}

/// Anthropic's field `thinking` with a budget, in the words of the sentry. Any other `thinking` stays.
fn reasoning(additional: &mut BTreeMap<String, Box<RawValue>>) -> Option<Value> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Thinking {
        r#type: String,
        budget_tokens: u32,
    }
    let thinking: Thinking = serde_json::from_str(additional.get("thinking")?.get()).ok()?;
    (thinking.r#type == "enabled").then(|| {
        additional.remove("thinking");
        json!({"budgetTokens": thinking.budget_tokens})
    })
}

/// The body of a Converse response. `latency_ms` is the time of the request in the gateway, in milliseconds.
fn response(output: &Output, usage: Option<&Usage>, latency_ms: u64) -> Value {
    let message = &output.message;
    let mut response = json!({
        "output": {"message": {"role": message.role, "content": message.content.to_blocks()}},
        "stopReason": output.stop_reason,
        "usage": usage.map(usage_of),
        "metrics": {"latencyMs": latency_ms},
    });
    if let (Some(own), Some(fields)) = (&output.additional_model_response_fields, response.as_object_mut()) {
        fields.insert("additionalModelResponseFields".to_owned(), json!(own));
    }
    response
}

/// Converse's `usage`: without the tier, which has a field of its own.
pub fn usage_of(usage: &Usage) -> Value {
    let mut usage = json!(usage);
    if let Some(fields) = usage.as_object_mut() {
        fields.remove("serviceTier");
    }
    usage
}

#[cfg(test)]
mod tests;
