//! Tests of requests and answers. Nothing is lost between the contract and Bedrock.

mod answers;
mod any_bytes;
#[cfg(feature = "bedrock")]
mod bedrock_messages;
mod documents;
mod integration;
#[cfg(feature = "bedrock")]
mod numbers;
#[cfg(feature = "bedrock")]
mod paths;
#[cfg(feature = "bedrock")]
mod prompts;
#[path = "reference.rs"]
mod reference;
mod refusals;
mod requests;
#[cfg(feature = "bedrock")]
mod rich;
mod round_trip;
#[cfg(feature = "bedrock")]
mod wire;
mod words;

use sentry_contract::request::Family;
use sentry_contract::states::InvokeModelInput;
use serde_json::{Value, json};

use super::{ModelFailure, prepare};

/// An input of the model router.
fn input(family: Family, model_id: &str, messages: &Value, parameters: &Value) -> InvokeModelInput {
    asking(family, model_id, &json!({"messages": messages, "parameters": parameters}))
}

fn asking(family: Family, model_id: &str, prompt: &Value) -> InvokeModelInput {
    serde_json::from_value(json!({
        "model": {"modelId": model_id, "family": family},
        "prompt": prompt,
        "tags": {"applicationId": "helper", "note": "what (?)"}
    }))
    .unwrap()
}

/// The Converse request, as JSON.
fn sent(input: &InvokeModelInput) -> Value {
    serde_json::to_value(prepare(input, 9).unwrap()).unwrap()
}

/// The parameter that the refusal names. A refusal certainly costs nothing.
fn refused_by(failure: &ModelFailure) -> &str {
    assert!(failure.nothing_spent() && !failure.repeatable() && failure.usage.is_none());
    assert_eq!(failure.error.code, sentry_contract::ErrorCode::ModelRejectedRequest);
    let parameter = failure.error.details["parameter"].as_str().unwrap();
    assert!(failure.error.message.contains(&format!("`{parameter}`")), "{}", failure.error.message);
    parameter
}

fn user(text: &str) -> Value {
    json!([{"role": "user", "content": text}])
}
