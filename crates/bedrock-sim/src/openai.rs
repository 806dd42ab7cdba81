//! Gets replies from an OpenAI-compatible server (Ollama, llama.cpp, ...) over plain http.

use axum::{
    body::{Body, to_bytes},
    http::{Request, Uri, header},
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use serde_json::{Value, json};

use crate::{
    error::ApiError,
    prompt::{Prompt, Role},
    reply::Draft,
};

const MAX_ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// An OpenAI-compatible server that writes the replies.
pub struct OpenAi {
    client: Client<HttpConnector, Body>,
    uri: Uri,
    model: Option<String>,
}

impl OpenAi {
    /// A server at `endpoint`, which may end with `/v1`. Without `model`, requests name the Bedrock model id.
    ///
    /// # Errors
    /// An error text if the endpoint is not a plain http URL.
    pub fn new(endpoint: &str, model: Option<String>) -> Result<Self, String> {
        let base = endpoint.trim_end_matches('/');
        let base = base.strip_suffix("/v1").unwrap_or(base);
        let uri: Uri = format!("{base}/v1/chat/completions")
            .parse()
            .map_err(|error| format!("--openai-endpoint {endpoint}: {error}"))?;
        if uri.scheme_str() != Some("http") {
            return Err(format!("--openai-endpoint {endpoint}: must start with http://"));
        }
        Ok(Self { client: Client::builder(TokioExecutor::new()).build_http(), uri, model })
    }

    /// Sends a prompt to the server, and returns the reply.
    ///
    /// # Errors
    /// A `ServiceUnavailableException` if the server cannot be reached, or if its answer is not a completion.
    pub async fn complete(&self, prompt: &Prompt, model_id: &str) -> Result<Draft, ApiError> {
        let failed = |what: &str| ApiError::unavailable(format!("bedrock-sim: {} {what}.", self.uri));
        let request = Request::post(&self.uri)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Body::from(request_body(prompt, self.model.as_deref().unwrap_or(model_id)).to_string()))
            .map_err(|_| failed("takes no request"))?;
        let response = self.client.request(request).await.map_err(|_| failed("cannot be reached"))?;
        let status = response.status();
        let body =
            to_bytes(Body::new(response.into_body()), MAX_ANSWER_BYTES).await.map_err(|_| failed("broke off"))?;
        if !status.is_success() {
            return Err(failed(&format!("answered status {}", status.as_u16())));
        }
        let body: Value = serde_json::from_slice(&body).map_err(|_| failed("did not answer JSON"))?;
        draft(&body).ok_or_else(|| failed("did not answer a completion"))
    }
}

fn request_body(prompt: &Prompt, model: &str) -> Value {
    let system = prompt.system.iter().map(|text| json!({"role": "system", "content": text}));
    let turns = prompt.turns.iter().map(|turn| {
        let role = match turn.role {
            Role::User => "user",
            Role::Assistant => "assistant",
        };
        json!({"role": role, "content": turn.text})
    });
    let mut body = json!({"model": model, "messages": system.chain(turns).collect::<Vec<_>>(), "stream": false});
    if let Some(body) = body.as_object_mut() {
        let settings = [
            ("max_tokens", prompt.max_tokens.map(Value::from)),
            ("temperature", prompt.temperature.map(Value::from)),
            ("top_p", prompt.top_p.map(Value::from)),
            ("stop", (!prompt.stop_sequences.is_empty()).then(|| prompt.stop_sequences.clone().into())),
        ];
        body.extend(settings.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    }
    body
}

fn draft(body: &Value) -> Option<Draft> {
    let choice = body.get("choices")?.get(0)?;
    let text = choice.get("message")?.get("content")?.as_str()?.to_owned();
    // `stop` only means that the model ended. It does not name the stop sequence.
    let stop_reason = match choice.get("finish_reason").and_then(Value::as_str) {
        Some("length") => "max_tokens",
        Some("content_filter") => "content_filtered",
        _ => "end_turn",
    };
    let count = |name: &str| body.get("usage")?.get(name)?.as_u64();
    Some(Draft {
        text,
        stop_reason: Some(stop_reason),
        input_tokens: count("prompt_tokens"),
        output_tokens: count("completion_tokens"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::prompt::Turn;

    #[test]
    fn the_endpoint_may_end_with_v1_and_must_be_http() {
        for endpoint in ["http://127.0.0.1:11434", "http://127.0.0.1:11434/", "http://127.0.0.1:11434/v1"] {
            assert_eq!(OpenAi::new(endpoint, None).ok().unwrap().uri, "http://127.0.0.1:11434/v1/chat/completions");
        }
        assert!(OpenAi::new("https://api.example.com", None).is_err());
    }

    #[test]
    fn a_prompt_becomes_a_chat_request() {
        let prompt = Prompt {
            system: vec!["Be brief.".to_owned()],
            turns: vec![Turn::of(Role::User, "S3?".to_owned())],
            max_tokens: Some(9),
            temperature: Some(0.5),
            ..Prompt::default()
        };
        let expected = json!({
            "model": "llama3.2", "stream": false, "max_tokens": 9, "temperature": 0.5,
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "S3?"}],
        });
        assert_eq!(request_body(&prompt, "llama3.2"), expected);
    }

    #[test]
    fn a_completion_becomes_a_draft() {
        let body = json!({"choices": [{"message": {"content": "Storage."}, "finish_reason": "length"}],
                          "usage": {"prompt_tokens": 12, "completion_tokens": 2}});
        let draft = draft(&body).unwrap();
        assert_eq!((draft.text.as_str(), draft.stop_reason), ("Storage.", Some("max_tokens")));
        assert_eq!((draft.input_tokens, draft.output_tokens), (Some(12), Some(2)));
        assert!(super::draft(&json!({"error": "no"})).is_none());
    }
}
