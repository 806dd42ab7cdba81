//! OpenAI's list of models: the names that a caller may use.
//!
//! Source: OpenAI API Reference, "Models".

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use fn_validate_and_tag::ModelName;
use sentry_lambda::Failure;
use sentry_models::home_of_profile;
use serde_json::{Value, json};
use tracing::error;

use crate::caller::Caller;
use crate::chat::response_of;
use crate::errors::ApiError;
use crate::gateway::Gateway;
use crate::identity::identify;

/// Answers `GET /v1/models`: every model that the caller may use.
pub async fn list(State(gateway): State<Arc<Gateway>>, head: Parts) -> Response {
    response_of(listed(&gateway, &head).await)
}

/// `GET /v1/models/{id}`. An id can be an ARN with slashes.
pub async fn one(State(gateway): State<Arc<Gateway>>, Path(id): Path<String>, head: Parts) -> Response {
    response_of(found(&gateway, &id, &head).await)
}

async fn listed(gateway: &Gateway, head: &Parts) -> Result<Response, ApiError> {
    let caller = identify(&gateway.callers, head, Utc::now()).await?;
    let names = gateway.steps.resolver.names(Utc::now().date_naive()).await.map_err(unavailable)?;
    let mut models: Vec<Value> = names.iter().filter(|name| may_use(&caller, name)).map(model).collect();
    // Ids and ARNs of the caller, which are no aliases.
    let others = caller.models.iter().flatten().filter(|id| !names.iter().any(|name| name.name == **id));
    for id in others {
        models.extend(resolved(gateway, id).await?.as_ref().map(model));
    }
    Ok(Json(json!({"object": "list", "data": models})).into_response())
}

async fn found(gateway: &Gateway, id: &str, head: &Parts) -> Result<Response, ApiError> {
    let caller = identify(&gateway.callers, head, Utc::now()).await?;
    match resolved(gateway, id).await?.filter(|name| may_use(&caller, name)) {
        Some(name) => Ok(Json(model(&name)).into_response()),
        None => Err(ApiError::not_found("The model does not exist, or the caller may not use it.")),
    }
}

/// The model that clients call `id`. `None` if there is none.
async fn resolved(gateway: &Gateway, id: &str) -> Result<Option<ModelName>, ApiError> {
    let resolved = gateway.steps.resolver.resolve(id, Utc::now().date_naive(), Instant::now()).await;
    let model = resolved.map_err(unavailable)?.ok().map(|resolved| resolved.model);
    Ok(model.map(|model| ModelName { name: id.to_owned(), model_id: model.model_id, foundation: model.foundation }))
}

fn unavailable(failure: Failure) -> ApiError {
    error!(cause = %failure, "the models cannot be listed");
    ApiError::table_unavailable("The models could not be read; try again.")
}

/// `true` if `caller` may call the model. The steps of a request have the same rule, and look at the profile policy too.
fn may_use(caller: &Caller, name: &ModelName) -> bool {
    if let Some(models) = &caller.models {
        if models.iter().any(|each| *each == name.name || *each == name.model_id) {
            return true;
        }
        if !models.iter().any(|each| Some(each) == name.foundation.as_ref()) {
            return false;
        }
    }
    home_of_profile(&name.model_id).is_none()
}

/// A model as OpenAI describes it. `created` is 0, because nobody knows it.
fn model(name: &ModelName) -> Value {
    let provider = name.foundation.as_deref().and_then(|id| id.split_once('.')).map(|(provider, _)| provider);
    json!({"id": name.name, "object": "model", "created": 0, "owned_by": provider.unwrap_or("unknown")})
}

#[cfg(test)]
mod tests {
    use super::*;

    const PROFILE: &str = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";

    fn name(name: &str, model_id: &str) -> ModelName {
        ModelName {
            name: name.to_owned(),
            model_id: model_id.to_owned(),
            foundation: Some("amazon.nova-lite-v1:0".into()),
        }
    }

    fn caller(models: Option<&[&str]>) -> Caller {
        let models = models.map(|models| models.iter().map(|each| (*each).to_owned()).collect());
        Caller {
            shown: "key",
            tags: [("applicationId", "helper".to_owned())].into(),
            models,
            record: None,
            ahead: None,
        }
    }

    #[test]
    fn a_caller_sees_its_own_models_and_no_profile_that_it_does_not_name() {
        let (nova, profile) = (name("nova-lite", "us.amazon.nova-lite-v1:0"), name("sales", PROFILE));
        let sees = |models| (may_use(&caller(models), &nova), may_use(&caller(models), &profile));
        assert_eq!(sees(None), (true, false));
        assert_eq!(sees(Some(&["nova-lite"])), (true, false));
        assert_eq!(sees(Some(&["us.amazon.nova-lite-v1:0"])), (true, false));
        assert_eq!(sees(Some(&["amazon.nova-lite-v1:0"])), (true, false));
        assert_eq!(sees(Some(&["sales"])), (false, true));
        assert_eq!(sees(Some(&[PROFILE])), (false, true));
        assert_eq!(sees(Some(&["claude-haiku-4-5"])), (false, false));
    }

    #[test]
    fn a_model_has_the_fields_of_openai() {
        let expected = json!({"id": "nova-lite", "object": "model", "created": 0, "owned_by": "amazon"});
        assert_eq!(model(&name("nova-lite", "us.amazon.nova-lite-v1:0")), expected);
    }
}
