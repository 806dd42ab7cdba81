//! Keeps the last exchanges in memory if `--record` is set. Tests compare them with AWS's service model.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::SystemTime,
};

use aws_sdk_cloudwatch::primitives::{DateTime, DateTimeFormat};

use axum::{
    Json,
    body::{Body, Bytes, to_bytes},
    extract::{Request, State},
    http::{Extensions, HeaderMap, StatusCode},
    middleware::Next,
    response::Response,
};
use serde::Serialize;

use crate::{error::ApiError, lock::lock, tokens::Usage};

/// Headers that are part of the wire format. Signatures and keys are not kept.
const KEPT: [&str; 3] = ["content-type", "accept", "x-amzn-errortype"];
const KEPT_START: &str = "x-amzn-bedrock-";

/// Marks a response that is deliberately wrong because a directive asked for it.
#[derive(Clone)]
pub struct Damaged;

/// The tokens that a call used, also if its answer does not report them. A response without it used none.
#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Spent {
    input: u64,
    output: u64,
    cache_read: u64,
    /// Tokens written to the prompt cache for any lifetime.
    cache_write: u64,
    /// The part of `cache_write` that is kept for one hour.
    cache_write_1h: u64,
}

impl From<Usage> for Spent {
    fn from(usage: Usage) -> Self {
        Self {
            input: usage.input,
            output: usage.output,
            cache_read: usage.cache_read.unwrap_or(0),
            cache_write: usage.cache_write.unwrap_or(0),
            cache_write_1h: usage.cache_write_long,
        }
    }
}

/// A request and its response.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct Exchange {
    number: u64,
    /// The machine's time at the arrival, such as `2026-11-26T12:00:00.123Z`.
    at: String,
    method: String,
    path: String,
    request: Message,
    /// Absent until the request is answered.
    status: Option<u16>,
    answer: Option<Message>,
    /// `true` if the answer is deliberately wrong.
    damaged: bool,
    /// Absent if the call used no tokens.
    spent: Option<Spent>,
}

#[derive(Clone, Serialize)]
struct Message {
    headers: Vec<(String, String)>,
    body: String,
}

impl Message {
    fn new(headers: &HeaderMap, body: &Bytes) -> Self {
        let is_kept = |name: &str| KEPT.contains(&name) || name.starts_with(KEPT_START);
        let headers = headers.iter().filter(|(name, _)| is_kept(name.as_str()));
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self {
            headers: headers.map(|(name, value)| (name.to_string(), text(value.as_bytes()))).collect(),
            body: text(body),
        }
    }
}

/// Marks a response whose body is a stream of events.
#[derive(Clone, Copy)]
pub struct Streamed;

/// Records the last exchanges, up to a maximum number.
pub struct Recorder {
    most: usize,
    exchanges: Mutex<(u64, VecDeque<Exchange>)>,
}

impl Recorder {
    /// Keeps up to `most` exchanges. 0 turns recording off.
    pub fn new(most: usize) -> Self {
        Self { most, exchanges: Mutex::default() }
    }

    fn begin(&self, method: String, path: String, request: Message) -> u64 {
        let mut exchanges = lock(&self.exchanges);
        let number = exchanges.0.saturating_add(1);
        exchanges.0 = number;
        if exchanges.1.len() >= self.most {
            exchanges.1.pop_front();
        }
        let at = DateTime::from(SystemTime::now()).fmt(DateTimeFormat::DateTime).unwrap_or_default();
        let (status, answer, damaged, spent) = (None, None, false, None);
        exchanges.1.push_back(Exchange { number, at, method, path, request, status, answer, damaged, spent });
        number
    }

    fn end(&self, number: u64, status: StatusCode, answer: Message, extensions: &Extensions) {
        let mut exchanges = lock(&self.exchanges);
        if let Some(exchange) = exchanges.1.iter_mut().rev().find(|exchange| exchange.number == number) {
            exchange.status = Some(status.as_u16());
            exchange.answer = Some(answer);
            exchange.damaged = extensions.get::<Damaged>().is_some();
            exchange.spent = extensions.get::<Spent>().copied();
        }
    }
}

/// Handles `GET /_sim/exchanges`: the total number of exchanges, and the exchanges that are still in memory.
///
/// # Errors
/// A 404 if recording is off.
pub async fn exchanges(State(recorder): State<Arc<Recorder>>) -> Result<Json<serde_json::Value>, ApiError> {
    if recorder.most == 0 {
        return Err(ApiError::not_found("bedrock-sim: exchanges are kept only if it is started with --record N."));
    }
    let exchanges = lock(&recorder.exchanges);
    Ok(Json(serde_json::json!({"total": exchanges.0, "exchanges": exchanges.1})))
}

/// Middleware that records every exchange, except those under `/_sim/`.
pub async fn record(State(recorder): State<Arc<Recorder>>, request: Request, next: Next) -> Response {
    if recorder.most == 0 || request.uri().path().starts_with("/_sim/") {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Ok(body) = to_bytes(body, usize::MAX).await else { return Response::default() };
    let path = parts.uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    let number = recorder.begin(parts.method.to_string(), path, Message::new(&parts.headers, &body));
    let (parts, body) = next.run(Request::from_parts(parts, Body::from(body))).await.into_parts();
    if parts.extensions.get::<Streamed>().is_some() {
        // A stream reaches its reader as it comes. Its exchange has no answer.
        return Response::from_parts(parts, body);
    }
    let Ok(body) = to_bytes(body, usize::MAX).await else { return Response::default() };
    recorder.end(number, parts.status, Message::new(&parts.headers, &body), &parts.extensions);
    Response::from_parts(parts, Body::from(body))
}
