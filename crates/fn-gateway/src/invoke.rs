//! Bedrock's `InvokeModel` and `InvokeModelWithResponseStream`: the body of the model's vendor, and the answer in the
//! vendor's form. The sentry calls the model through Converse.
//!
//! Source: the service model of bedrock-runtime, 2023-09-30; Amazon Bedrock User Guide, "Inference request parameters and
//! response fields for foundation models".

use std::collections::BTreeMap;
use std::time::Instant;

use axum::body::Bytes;
use axum::http::HeaderMap;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use chrono::Utc;
use sentry_contract::answer::{FinalAnswer, Output, StopReason, Usage};
use sentry_contract::request::{Family, Tags};
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_models::adapters::ModelFailure;
use sentry_models::adapters::stream::Event;
use serde_json::{Value, json};
use tracing::error;

use crate::api::{Asked, Form};
use crate::caller::Caller;
use crate::chat::{self, Chat, Request};
use crate::converse;
use crate::document::{Prompt, unsupported};
use crate::errors::ApiError;
use crate::fields::Fields;
use crate::frames;
use crate::identity::{given_tags, tags};
use crate::invoke_headers::{JSON, Options, TIER};
use crate::messages::{self, Messages, Version, with_user};
use crate::native::Native;
use crate::nova::{self, Nova};
use crate::steps::Steps;

/// The field of the last chunk with the figures of the call.
const METRICS: &str = "amazon-bedrock-invocationMetrics";
/// The field that tells if the guardrail of the request intervened. Source: Amazon Bedrock API Reference, `InvokeModel`.
const ACTION: &str = "amazon-bedrock-guardrailAction";

/// Reads a request to `invoke`, or to `invoke-with-response-stream` if it is `in_events`.
///
/// # Errors
/// If the request is not acceptable, or claims a tag that contradicts the key.
pub async fn asked(
    steps: &Steps,
    caller: &Caller,
    model: &str,
    headers: &HeaderMap,
    body: &[u8],
    in_events: bool,
) -> Result<Asked, ApiError> {
    let family = family(steps, model).await?;
    let Read { mut prompt, user, tags: mut given, native } = match family {
        Family::GptOss | Family::Qwen | Family::Deepseek => chat_completion(Fields::of_body(body)?, model, in_events)?,
        family => read(family, Fields::of_body(body)?)?,
    };
    given.extend(Options::of(headers, in_events)?.apply(&mut prompt)?);
    given.extend(given_tags(headers)?);
    let is_guarded = prompt.guardrail.is_some();
    let document = prompt.document(model, &tags(caller, with_user(caller, given, user))?)?;
    Ok(Asked { document, in_events, form: Box::new(Invoked::new(native, is_guarded)) })
}

/// A body that was read.
pub struct Read {
    /// The prompt of the document.
    pub prompt: Prompt,
    /// The end user, if the body names one.
    pub user: Option<String>,
    /// Tags that the body names.
    pub tags: BTreeMap<String, String>,
    /// The form of the answer.
    pub native: Box<dyn Native>,
}

/// The family of the model that a client calls `name`. It decides the form of the body.
async fn family(steps: &Steps, name: &str) -> Result<Family, ApiError> {
    let error = match steps.resolver.resolve(name, Utc::now().date_naive(), Instant::now()).await {
        Ok(Ok(resolved)) => return Ok(resolved.model.family),
        Ok(Err(refusal)) => {
            let message = format!("model names no model that can be called: {}.", refusal.problem());
            ErrorBody::new(ErrorCode::UnknownModel, message).with("path", "model")
        }
        Err(failure) => {
            error!(cause = %failure, "the model of a request to invoke cannot be looked up");
            let message = "The model could not be looked up, so nothing was sent to it; try again.";
            ErrorBody::new(ErrorCode::LedgerUnavailable, message).with("reason", "ModelLookup")
        }
    };
    Err(ApiError::of_answer(&FinalAnswer::refused(Tags::default(), None, error.clone(), Vec::new()), &error))
}

/// Reads a body of OpenAI's Chat Completions. Source: Amazon Bedrock User Guide, "OpenAI models", for gpt-oss. Clients such
/// as `LangChain` send the same body to models of Qwen and `DeepSeek`.
fn chat_completion(fields: Fields<'_>, model: &str, in_events: bool) -> Result<Read, ApiError> {
    refuse_prompt(&fields)?;
    let Request { prompt, tags, user, .. } = chat::read_invoked(fields, model, in_events)?;
    Ok(Read { prompt, user, tags, native: Box::new(Chat::new(Utc::now().timestamp(), false)) })
}

fn refuse_prompt(fields: &Fields<'_>) -> Result<(), ApiError> {
    let problem =
        "it has the model's own template, and Converse would apply the template again; send messages to converse";
    if fields.has("prompt") { Err(unsupported("prompt", problem)) } else { Ok(()) }
}

fn read(family: Family, mut fields: Fields<'_>) -> Result<Read, ApiError> {
    refuse_prompt(&fields)?;
    let tags = BTreeMap::new();
    match family {
        Family::Anthropic => {
            let version = fields.required_text("anthropic_version")?;
            let messages::Read { prompt, user, only_stop } =
                messages::read(fields, Version::of("anthropic_version", &version)?)?;
            Ok(Read { prompt, user, tags, native: Box::new(Messages::new(only_stop)) })
        }
        Family::Nova => Ok(Read { prompt: nova::read(fields)?, user: None, tags, native: Box::new(Nova) }),
        other => {
            let problem = format!("the body of the family {} cannot be translated; use converse", other.name());
            Err(unsupported("invoke", &problem))
        }
    }
}

/// The answer of `InvokeModel` in the form of a vendor.
struct Invoked {
    native: Box<dyn Native>,
    /// `true` if the request has a guardrail.
    is_guarded: bool,
    /// `true` once the guardrail has stopped a stream.
    has_intervened: bool,
    began: Instant,
    first_byte_ms: Option<u64>,
    latency_ms: Option<u64>,
}

impl Invoked {
    fn new(native: Box<dyn Native>, is_guarded: bool) -> Self {
        let (began, first_byte_ms, latency_ms) = (Instant::now(), None, None);
        Self { native, is_guarded, has_intervened: false, began, first_byte_ms, latency_ms }
    }

    /// Tells the action of the guardrail in `body`, a whole answer or the last part of one. Without a guardrail there is
    /// nothing to tell.
    fn set_action(&self, body: &mut Value, has_intervened: bool) {
        if let Some(body) = body.as_object_mut().filter(|_| self.is_guarded) {
            let action = if has_intervened { "INTERVENED" } else { "NONE" };
            body.insert(ACTION.to_owned(), json!(action));
        }
    }

    /// The figures of the call, as Bedrock reports them in the last chunk.
    fn metrics(&self, Usage { tokens, .. }: &Usage) -> Value {
        json!({
            "inputTokenCount": tokens.input,
            "outputTokenCount": tokens.output,
            "cacheReadInputTokenCount": tokens.cache_read,
            "cacheWriteInputTokenCount": tokens.cache_write,
            "invocationLatency": self.latency_ms,
            "firstByteLatency": self.first_byte_ms,
        })
    }

    /// Frames with `parts`, each in base64.
    fn chunks(parts: &[Value]) -> Bytes {
        let chunk = |part: &Value| frames::event("chunk", &json!({"bytes": STANDARD.encode(part.to_string())}));
        parts.iter().flat_map(chunk).collect()
    }
}

impl Form for Invoked {
    fn whole(&self, answer: &FinalAnswer, output: &Output, _latency_ms: u64) -> Value {
        let mut body = self.native.whole(answer, output);
        self.set_action(&mut body, output.stop_reason == StopReason::GuardrailIntervened);
        body
    }

    fn headers(&self, answer: &FinalAnswer, latency_ms: u64) -> Vec<(&'static str, String)> {
        let mut headers = vec![("x-amzn-bedrock-invocation-latency", latency_ms.to_string())];
        if let Some(Usage { tokens, .. }) = &answer.usage {
            headers.extend([
                ("x-amzn-bedrock-input-token-count", tokens.input.to_string()),
                ("x-amzn-bedrock-output-token-count", tokens.output.to_string()),
                ("x-amzn-bedrock-cache-read-input-token-count", tokens.cache_read.to_string()),
                ("x-amzn-bedrock-cache-write-input-token-count", tokens.cache_write.to_string()),
                (TIER, tokens.tier.name().to_owned()),
            ]);
        }
        headers
    }

    fn begin(&mut self, request_id: &str, model: &str) {
        self.native.begin(request_id, model);
    }

    fn event_headers(&self) -> Vec<(&'static str, String)> {
        vec![("x-amzn-bedrock-content-type", JSON.to_owned())]
    }

    fn content_type(&self) -> &'static str {
        converse::EVENT_STREAM
    }

    fn event(&mut self, event: &Event) -> Bytes {
        let elapsed = || u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.first_byte_ms = self.first_byte_ms.or_else(|| Some(elapsed()));
        if event.name == "metadata" {
            self.latency_ms = Some(elapsed());
        }
        if event.name == "messageStop" {
            self.has_intervened = event.fields.get("stopReason") == Some(&json!(StopReason::GuardrailIntervened));
        }
        Self::chunks(&self.native.parts(event))
    }

    fn broken(&mut self, failure: &ModelFailure) -> Bytes {
        converse::broken(failure)
    }

    fn end(&mut self, answer: &FinalAnswer) -> Bytes {
        let Some(usage) = &answer.usage else {
            return frames::exception(converse::BROKEN, &ApiError::of_refusal(answer).message);
        };
        let mut parts = self.native.end(usage);
        if let Some(last) = parts.last_mut() {
            self.set_action(last, self.has_intervened);
            if let Some(last) = last.as_object_mut() {
                last.insert(METRICS.to_owned(), self.metrics(usage));
            }
        }
        Self::chunks(&parts)
    }
}

#[cfg(test)]
mod tests;
