//! The headers of `InvokeModel`, which the other vendors' paths accept too.

use std::collections::BTreeMap;

use axum::http::{HeaderMap, header};
use serde_json::{Value, json};

use crate::document::{Prompt, unsupported};
use crate::errors::ApiError;
use crate::fields::invalid;

pub const GUARDRAIL: &str = "x-amzn-bedrock-guardrailidentifier";
pub const GUARDRAIL_VERSION: &str = "x-amzn-bedrock-guardrailversion";
pub const TRACE: &str = "x-amzn-bedrock-trace";
pub const LATENCY: &str = "x-amzn-bedrock-performanceconfig-latency";
pub const TIER: &str = "x-amzn-bedrock-service-tier";
pub const METADATA: &str = "x-amzn-bedrock-request-metadata";
pub const PROJECT: &str = "x-amzn-bedrock-projectidentifier";
pub const STREAM_ACCEPT: &str = "x-amzn-bedrock-accept";
pub const JSON: &str = "application/json";

/// The options that a client of `InvokeModel` sends in headers.
pub struct Options {
    guardrail: Option<Value>,
    service_tier: Option<String>,
    metadata: BTreeMap<String, String>,
}

impl Options {
    /// Reads the headers of a request.
    ///
    /// # Errors
    /// If one asks for something that the sentry does not have.
    pub fn of(headers: &HeaderMap, in_events: bool) -> Result<Self, ApiError> {
        let text = |name: &str| {
            headers.get(name).map(|value| value.to_str().map_err(|_| invalid(name, "must be ASCII"))).transpose()
        };
        for (name, only) in [(TRACE, "DISABLED"), (LATENCY, "standard"), (PROJECT, "default")] {
            if text(name)?.is_some_and(|given| given != only) {
                return Err(unsupported(name, &format!("only {only} is supported")));
            }
        }
        let accept = if in_events { STREAM_ACCEPT } else { header::ACCEPT.as_str() };
        if text(accept)?.is_some_and(|accepted| !accepts_json(accepted)) {
            return Err(unsupported(accept, "answers are application/json"));
        }
        let guardrail = match (text(GUARDRAIL)?, text(GUARDRAIL_VERSION)?) {
            (None, None) => None,
            (Some(identifier), Some(version)) => Some(json!({"identifier": identifier, "version": version})),
            (Some(_), None) => return Err(invalid(GUARDRAIL_VERSION, "is required with a guardrail")),
            (None, Some(_)) => return Err(invalid(GUARDRAIL, "is required with its version")),
        };
        let metadata = text(METADATA)?.map(serde_json::from_str).transpose();
        let metadata = metadata.map_err(|_| invalid(METADATA, "must be a JSON object whose values are texts"))?;
        let service_tier = text(TIER)?.map(str::to_owned);
        Ok(Self { guardrail, service_tier, metadata: metadata.unwrap_or_default() })
    }

    /// Adds the guardrail and the tier to `prompt`. Returns the tags.
    ///
    /// # Errors
    /// If the body has named another tier.
    pub fn apply(self, prompt: &mut Prompt) -> Result<BTreeMap<String, String>, ApiError> {
        if let (Some(one), Some(other)) = (&self.service_tier, &prompt.service_tier)
            && one != other
        {
            return Err(invalid(TIER, "contradicts the body"));
        }
        prompt.service_tier = self.service_tier.or(prompt.service_tier.take());
        prompt.guardrail = self.guardrail;
        Ok(self.metadata)
    }
}

/// `true` if a header `Accept` permits JSON.
fn accepts_json(accept: &str) -> bool {
    let kinds = accept.split(',').map(|kind| kind.split(';').next().unwrap_or_default().trim());
    kinds.into_iter().any(|kind| matches!(kind, JSON | "application/*" | "*/*" | ""))
}
