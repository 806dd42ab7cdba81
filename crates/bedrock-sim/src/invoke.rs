//! `InvokeModel` and `InvokeModelWithResponseStream`: the body of the model's vendor, with settings in headers.
//!
//! Sources: the service model of bedrock-runtime (botocore 1.44.8), and the API Reference, `InvokeModel`.

use aws_smithy_types::base64;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::{Map, Value, json};

use crate::{directives::Directives, error::ApiError, fields, guardrail, prompt::Prompt, reply::Reply, stream::Event};

const GUARDRAIL: &str = "x-amzn-bedrock-guardrailidentifier";
const GUARDRAIL_VERSION: &str = "x-amzn-bedrock-guardrailversion";
const TRACE: &str = "x-amzn-bedrock-trace";
const LATENCY: &str = "x-amzn-bedrock-performanceconfig-latency";
const TIER: &str = "x-amzn-bedrock-service-tier";
const METADATA: &str = "x-amzn-bedrock-request-metadata";
/// The field of the last chunk with the figures of the call.
const METRICS: &str = "amazon-bedrock-invocationMetrics";
/// The field that tells if the guardrail of the request intervened.
const ACTION: &str = "amazon-bedrock-guardrailAction";
/// The padding of a chunk, which hides the length of its text.
const PADDING: &str = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ01234";

/// Adds the settings in the headers of a request to its Converse document.
///
/// # Errors
/// A `ValidationException` if a guardrail has no version, or if the metadata is not a JSON object.
pub fn read_headers(headers: &HeaderMap, document: &mut Map<String, Value>) -> Result<(), ApiError> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let mut set = |name: &str, value: Value| document.insert(name.to_owned(), value);
    match (text(GUARDRAIL), text(GUARDRAIL_VERSION)) {
        (Some(id), Some(version)) => {
            let trace = if text(TRACE).is_some_and(|trace| trace != "DISABLED") { "enabled" } else { "disabled" };
            let config = json!({"guardrailIdentifier": id, "guardrailVersion": version, "trace": trace});
            set("guardrailConfig", config);
        }
        (None, None) => {}
        // Source of the rule: the API Reference, InvokeModel. This message is the simulator's own. It is not from AWS.
        _ => return Err(ApiError::validation("guardrailIdentifier and guardrailVersion must be set together.")),
    }
    if let Some(tier) = text(TIER) {
        set("serviceTier", json!({"type": tier}));
    }
    if let Some(latency) = text(LATENCY) {
        set("performanceConfig", json!({"latency": latency}));
    }
    if let Some(metadata) = text(METADATA) {
        let metadata = serde_json::from_str(metadata).ok().filter(Value::is_object);
        // This message is the simulator's own. It is not from AWS.
        set("requestMetadata", metadata.ok_or_else(|| ApiError::validation("requestMetadata: is not a JSON object."))?);
    }
    Ok(())
}

/// Tells in `body` if the guardrail intervened. A request without a guardrail is not told.
pub fn set_action(body: &mut Value, prompt: &Prompt) {
    if prompt.guardrail.is_some() {
        fields::set(body, ACTION, if guardrail::intervenes(prompt) { "INTERVENED" } else { "NONE" });
    }
}

/// Adds the headers of a whole answer.
pub fn set_headers(headers: &mut HeaderMap, reply: &Reply, prompt: &Prompt, is_counted: bool) {
    let usage = &reply.usage;
    let mut set = |name: &'static str, value: Option<u64>| {
        if let Some(value) = value {
            headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
        }
    };
    set("x-amzn-bedrock-invocation-latency", Some(reply.latency_ms));
    if is_counted {
        set("x-amzn-bedrock-input-token-count", Some(usage.input));
        set("x-amzn-bedrock-output-token-count", Some(usage.output));
        set("x-amzn-bedrock-cache-read-input-token-count", usage.cache_read);
        set("x-amzn-bedrock-cache-write-input-token-count", usage.cache_write);
    }
    set_tier(headers, prompt);
}

/// Adds the headers of an answer in chunks.
pub fn set_stream_headers(headers: &mut HeaderMap, prompt: &Prompt) {
    let kind = HeaderName::from_static("x-amzn-bedrock-content-type");
    headers.insert(kind, HeaderValue::from_static("application/json"));
    set_tier(headers, prompt);
}

fn set_tier(headers: &mut HeaderMap, prompt: &Prompt) {
    if let Some(tier) = prompt.service_tier.as_deref().and_then(|tier| HeaderValue::from_str(tier).ok()) {
        headers.insert(HeaderName::from_static(TIER), tier);
    }
}

/// The events of a stream with these parts of the vendor. The last part also gets the figures of the call
/// and the action of the guardrail.
pub fn chunks(mut parts: Vec<Value>, reply: &Reply, prompt: &Prompt, directives: &Directives) -> Vec<Event> {
    let pauses = u64::try_from(parts.len().saturating_sub(1)).unwrap_or(u64::MAX);
    let paused = pauses.saturating_mul(directives.chunk_delay_ms.unwrap_or(0));
    if let Some(last) = parts.last_mut() {
        set_action(last, prompt);
        if reply.usage_is_told {
            fields::set(last, METRICS, metrics(reply, paused));
        }
    }
    parts.iter().enumerate().map(|(index, part)| chunk(index, part)).collect()
}

/// The figures of a call. Source: the chunks in BerriAI/litellm issue 34373 and pull request 36878, with the tokens of the
/// prompt cache only if there is one.
fn metrics(reply: &Reply, paused_ms: u64) -> Value {
    let usage = &reply.usage;
    let mut metrics = json!({
        "inputTokenCount": usage.input,
        "outputTokenCount": usage.output,
        "invocationLatency": reply.latency_ms.saturating_add(paused_ms),
        "firstByteLatency": reply.latency_ms,
    });
    if usage.cache_read.or(usage.cache_write).is_some() {
        fields::set(&mut metrics, "cacheReadInputTokenCount", usage.cache_read.unwrap_or(0));
        fields::set(&mut metrics, "cacheWriteInputTokenCount", usage.cache_write.unwrap_or(0));
    }
    metrics
}

fn chunk(index: usize, part: &Value) -> Event {
    let padding = PADDING.get(..(index * 7 + 3) % PADDING.len()).unwrap_or_default();
    ("chunk", json!({"bytes": base64::encode(part.to_string()), "p": padding}))
}
