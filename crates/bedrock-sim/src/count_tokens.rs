//! `CountTokens`: the input tokens that a model call with the same input would report.

use std::sync::Arc;

use axum::{
    Json,
    body::Bytes,
    extract::{Path, State},
    response::{IntoResponse, Response},
};
use serde_json::json;

use crate::{
    converse,
    directives::{CountFault, Directives},
    error::ApiError,
    facts::Rule,
    faults::Exception,
    fields::{self, Fields},
    models::{ArnKind, Model, parse_arn},
    prompt::Prompt,
    state::Sim,
    tokens::MAX_TOKENS,
};

/// Members of the shape `ConverseTokensRequest` of the service model.
const CONVERSE: [&str; 4] = ["messages", "system", "toolConfig", "additionalModelRequestFields"];

/// Handles `POST /model/{modelId}/count-tokens`, `CountTokens`.
pub async fn count_tokens(State(sim): State<Arc<Sim>>, Path(model_id): Path<String>, body: Bytes) -> Response {
    sim.count_token_count();
    let prompt = match read(&sim, &model_id, &body) {
        Ok(prompt) => prompt,
        Err(error) => return error.into_response(),
    };
    match answer(&prompt).await {
        Ok(tokens) => Json(json!({"inputTokens": tokens})).into_response(),
        Err(error) => error.into_response(),
    }
}

async fn answer(prompt: &Prompt) -> Result<u64, ApiError> {
    let directives = Directives::parse(prompt.last_user_text())?;
    match directives.count_tokens {
        Some(CountFault::Off) => return Err(unsupported()),
        Some(CountFault::Throttle) => return Err(Exception::Throttling.into()),
        Some(CountFault::Hang) => std::future::pending().await,
        None => {}
    }
    let cached = [directives.cache_read, directives.writes_to_cache()].into_iter().flatten();
    let input = directives.input_tokens.unwrap_or_else(|| prompt.input_tokens());
    Ok(cached.fold(input, u64::saturating_add).min(MAX_TOKENS))
}

fn read(sim: &Sim, model_id: &str, body: &[u8]) -> Result<Prompt, ApiError> {
    sim.resolve(model_id)?;
    let model = countable(model_id).filter(|_| sim.openai.is_none()).ok_or_else(unsupported)?;
    let body = fields::body(body)?;
    let body = Fields::new(&body, "#", &["input"])?;
    let input = body.object("input")?.ok_or_else(|| body.missing("input"))?;
    let input = Fields::new(input, "#/input", &["converse", "invokeModel"])?;
    match (input.object("converse")?, input.object("invokeModel")?) {
        (Some(request), None) => {
            Fields::new(request, "#/input/converse", &CONVERSE)?;
            converse::parse(request, Some(model))
        }
        (None, Some(_)) => Err(ApiError::validation("bedrock-sim: only the input of Converse is counted.")),
        _ => Err(fields::malformed("#/input: exactly one of [converse, invokeModel] must be set")),
    }
}

/// The foundation model in `model_id`, if `CountTokens` supports it. `CountTokens` supports no profiles.
fn countable(model_id: &str) -> Option<Model<'_>> {
    let id = match parse_arn(model_id) {
        Some((ArnKind::FoundationModel, id)) => id,
        Some(_) => return None,
        None => model_id,
    };
    Model::parse(id).filter(|model| model.prefix.is_none() && model.has(Rule::CountsTokens))
}

fn unsupported() -> ApiError {
    ApiError::validation("The provided model doesn't support counting tokens.")
}
