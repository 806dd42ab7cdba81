//! The request document of the sentry, which the readers of all APIs write.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::errors::ApiError;

/// A request document of the sentry.
#[derive(Serialize)]
struct Document<'a> {
    model: &'a str,
    prompt: Prompt,
    tags: &'a BTreeMap<String, String>,
}

/// The prompt of a document. What a client wrote keeps its text, so that numbers arrive digit by digit.
#[derive(Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Prompt {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub system: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub messages: Option<Box<RawValue>>,
    pub parameters: BTreeMap<&'static str, Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tools: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool_choice: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub guardrail: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_tier: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reasoning: Option<Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub output_format: Option<Box<RawValue>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub additional_model_request_fields: BTreeMap<String, Box<RawValue>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub additional_model_response_field_paths: Option<Box<RawValue>>,
}

impl Prompt {
    /// The document that asks `model` with `tags`.
    ///
    /// # Errors
    /// If it cannot be written as JSON.
    pub fn document(self, model: &str, tags: &BTreeMap<String, String>) -> Result<Box<RawValue>, ApiError> {
        to_raw_value(&Document { model, prompt: self, tags }).map_err(|_| unwritable())
    }
}

/// The JSON of `value`.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn raw(value: impl Serialize) -> Result<Box<RawValue>, ApiError> {
    to_raw_value(&value).map_err(|_| unwritable())
}

/// The error for a part of a request that the sentry does not have.
pub fn unsupported(field: &str, problem: &str) -> ApiError {
    ApiError::validation(&format!("{field} cannot be used through the sentry: {problem}.")).at(field)
}

fn unwritable() -> ApiError {
    ApiError::validation("The request cannot be passed on.")
}
