//! Claude v2 and Instant: text completion through InvokeModel. The body has no token counts; they come in response headers.
//!
//! Source: Amazon Bedrock User Guide, "Anthropic Claude Text Completions API".

use std::sync::{Arc, Mutex, PoisonError};

use aws_sdk_bedrockruntime::Client;
use aws_sdk_bedrockruntime::config::interceptors::BeforeDeserializationInterceptorContextRef;
use aws_sdk_bedrockruntime::config::{ConfigBag, Intercept, RuntimeComponents};
use aws_sdk_bedrockruntime::error::BoxError;
use aws_sdk_bedrockruntime::primitives::Blob;
use sentry_contract::answer::StopReason;
use sentry_contract::request::{Message, Role};
use sentry_contract::states::InvokeModelInput;
use sentry_contract::{ErrorBody, ErrorCode};
use sentry_domain::TokenUsage;
use serde::{Deserialize, Serialize};

use super::{ModelFailure, Reply};

const HUMAN: &str = "\n\nHuman:";
const ASSISTANT: &str = "\n\nAssistant:";

#[derive(Serialize)]
struct Body<'r> {
    prompt: String,
    max_tokens_to_sample: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    temperature: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_p: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    top_k: Option<u32>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    stop_sequences: &'r [String],
}

#[derive(Deserialize)]
struct Answer {
    completion: String,
    stop_reason: String,
    stop: Option<String>,
}

pub async fn ask(client: &Client, input: &InvokeModelInput, max_tokens: u32) -> Result<Reply, ModelFailure> {
    let counts = TokenCounts::default();
    let body = body(input, max_tokens)?;
    let output = client
        .invoke_model()
        .model_id(&input.model.model_id)
        .content_type("application/json")
        .accept("application/json")
        .body(Blob::new(body))
        .customize()
        .interceptor(counts.clone())
        .send()
        .await?;
    let usage =
        counts.usage().ok_or_else(|| ModelFailure::malformed("its headers do not say how many tokens were used"))?;
    reply(output.body().as_ref(), usage)
}

fn body(input: &InvokeModelInput, max_tokens: u32) -> Result<Vec<u8>, ModelFailure> {
    let parameters = &input.prompt.parameters;
    let body = Body {
        prompt: transcript(&input.prompt.messages),
        max_tokens_to_sample: max_tokens,
        temperature: parameters.temperature,
        top_p: parameters.top_p,
        top_k: parameters.top_k,
        stop_sequences: &parameters.stop_sequences,
    };
    serde_json::to_vec(&body).map_err(|_| {
        ModelFailure::never_sent(ErrorBody::new(
            ErrorCode::ModelRejectedRequest,
            "The request cannot be written as JSON.",
        ))
    })
}

/// The conversation as Claude v2 reads it: system text first, turns marked, and the assistant's turn open at the end.
///
/// Consecutive messages of one role become one turn. A conversation that ends with the assistant is continued there.
fn transcript(messages: &[Message]) -> String {
    let system: Vec<&str> = messages.iter().filter(|m| m.role == Role::System).map(|m| m.content.as_str()).collect();
    let mut transcript = system.join("\n\n");
    let mut last = None;
    for message in messages.iter().filter(|message| message.role != Role::System) {
        if last == Some(message.role) {
            transcript.push_str("\n\n");
        } else {
            transcript.push_str(if message.role == Role::User { HUMAN } else { ASSISTANT });
            transcript.push(' ');
        }
        transcript.push_str(&message.content);
        last = Some(message.role);
    }
    if last != Some(Role::Assistant) {
        transcript.push_str(ASSISTANT);
    }
    transcript
}

fn reply(body: &[u8], usage: TokenUsage) -> Result<Reply, ModelFailure> {
    let answer: Answer = serde_json::from_slice(body)
        .map_err(|_| ModelFailure::malformed("it is not a text completion").spent(usage))?;
    let stop_reason = match (answer.stop_reason.as_str(), answer.stop.as_deref()) {
        ("stop_sequence", None | Some(HUMAN)) => StopReason::EndTurn,
        ("stop_sequence", Some(_)) => StopReason::StopSequence,
        ("max_tokens", _) => StopReason::MaxTokens,
        _ => return Err(ModelFailure::malformed("it gives an unknown reason for its end").spent(usage)),
    };
    Ok(Reply { text: answer.completion.trim_start().to_owned(), stop_reason, usage })
}

/// Reads the token counts from the response headers, which the SDK does not model.
#[derive(Clone, Debug, Default)]
struct TokenCounts(Arc<Mutex<Option<TokenUsage>>>);

impl TokenCounts {
    fn usage(&self) -> Option<TokenUsage> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Intercept for TokenCounts {
    fn name(&self) -> &'static str {
        "TokenCounts"
    }

    fn read_before_deserialization(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let headers = context.response().headers();
        let count = |kind: &str| headers.get(format!("x-amzn-bedrock-{kind}-token-count"))?.parse().ok();
        let optional = |kind: &str| count(kind).unwrap_or_default();
        let usage = count("input").zip(count("output")).map(|(input, output)| TokenUsage {
            input,
            output,
            cache_read: optional("cache-read-input"),
            cache_write: optional("cache-write-input"),
        });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = usage;
        Ok(())
    }
}
