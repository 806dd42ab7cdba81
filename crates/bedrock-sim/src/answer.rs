//! Answers of InvokeModel and Converse as HTTP responses.

use axum::{
    Json,
    http::{HeaderMap, HeaderName, HeaderValue, header},
    response::{IntoResponse, Response},
};
use serde_json::Value;

use crate::{invoke, recorder::Damaged, reply::Reply};

/// The answer to Converse.
pub fn converse(body: Value) -> Response {
    Json(body).into_response()
}

/// The answer to InvokeModel: the model's own body, and the figures in headers.
pub fn invoke(body: Value, reply: &Reply, service_tier: Option<&str>) -> Response {
    let mut response = Json(body).into_response();
    let headers = response.headers_mut();
    set(headers, "x-amzn-bedrock-invocation-latency", Some(reply.latency_ms));
    if let Some(tier) = service_tier.and_then(|tier| HeaderValue::from_str(tier).ok()) {
        headers.insert(invoke::SERVICE_TIER, tier);
    }
    if reply.usage_is_told {
        let usage = reply.usage;
        set(headers, "x-amzn-bedrock-input-token-count", Some(usage.input));
        set(headers, "x-amzn-bedrock-output-token-count", Some(usage.output));
        set(headers, "x-amzn-bedrock-cache-read-input-token-count", usage.cache_read);
        set(headers, "x-amzn-bedrock-cache-write-input-token-count", usage.cache_write);
    }
    response
}

/// Status 200 and a body that ends in the middle of its JSON.
pub fn malformed() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], "{\"output\":{\"message\":{\"role\":\"assist").into_response()
}

/// The same answer, marked as wrong on purpose.
pub fn damaged(mut response: Response) -> Response {
    response.extensions_mut().insert(Damaged);
    response
}

fn set(headers: &mut HeaderMap, name: &'static str, value: Option<u64>) {
    if let Some(value) = value {
        headers.insert(HeaderName::from_static(name), HeaderValue::from(value));
    }
}
