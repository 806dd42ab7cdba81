//! The paths of the gateway.

use std::sync::Arc;
use std::time::Instant;

use axum::body::{Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::Method;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use chrono::Utc;
use percent_encoding::percent_decode_str;
use serde_json::json;
use serde_json::value::RawValue;

use crate::api::{Asked, Form};
use crate::body::discard;
use crate::caller::Caller;
use crate::errors::{ApiError, header_value};
use crate::gateway::Gateway;
use crate::identity::identify;
use crate::steps::Decided;
use crate::{answers, budget, chat, converse, facts, invoke, messages, models, stream};

/// Largest body, in bytes: that of a function URL. A document of the sentry is smaller (262,144 bytes).
const MAX_BODY_BYTES: usize = 6 * 1_048_576;
const MODEL_PATH: &str = "/model/";

/// The API of a path. It decides how errors look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Api {
    /// Amazon Bedrock Runtime: Converse and `InvokeModel`.
    Bedrock,
    /// OpenAI's Chat Completions and Models.
    OpenAi,
    /// Anthropic's Messages, under a path of its own.
    Anthropic,
}

impl Api {
    /// `error` as this API returns it.
    fn error(self, error: &ApiError) -> Response {
        match self {
            Self::Bedrock => error.of_bedrock(),
            Self::OpenAi => chat::error(error),
            Self::Anthropic => messages::error(error),
        }
    }
}

/// The router of all paths.
pub fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({"status": "ok"})) }))
        .route("/v1/budget", get(budget::show).post(budget::entered))
        .route("/v1/answers/{request_id}", get(answers::show))
        .merge(open_ai("/v1"))
        // The base URL of Bedrock's own endpoint for clients of OpenAI ends with `/openai/v1`.
        .merge(open_ai("/openai/v1"))
        .route("/v1/messages", post(messages))
        // The base URL of Bedrock's own Messages endpoint ends with `/anthropic`.
        .route("/anthropic/v1/messages", post(messages))
        // A model id can be an ARN with slashes, encoded or not. So the path is not split by the router.
        .fallback(model)
        .with_state(gateway)
}

/// The paths of OpenAI's API.
fn open_ai(prefix: &str) -> Router<Arc<Gateway>> {
    Router::new()
        .route(&format!("{prefix}/chat/completions"), post(chat))
        .route(&format!("{prefix}/models"), get(models::list))
        .route(&format!("{prefix}/models/{{*id}}"), get(models::one))
}

/// The operations on a model.
async fn model(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let Client { caller, head, body } = match client(&gateway, request).await {
        Ok(client) => client,
        Err(error) => return Api::Bedrock.error(&error),
    };
    let asked = match operation(&head.method, head.uri.path()) {
        Some((model, "converse")) => converse::asked(&caller, &model, &head.headers, &body, false),
        Some((model, "converse-stream")) => converse::asked(&caller, &model, &head.headers, &body, true),
        Some((model, "invoke")) => invoke::asked(&gateway.steps, &caller, &model, &head.headers, &body, false).await,
        Some((model, "invoke-with-response-stream")) => {
            invoke::asked(&gateway.steps, &caller, &model, &head.headers, &body, true).await
        }
        _ => Err(ApiError::unknown_path()),
    };
    answered(gateway, caller, Api::Bedrock, asked).await
}

/// Answers a request to OpenAI's Chat Completions.
async fn chat(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let Client { caller, head, body } = match client(&gateway, request).await {
        Ok(client) => client,
        Err(error) => return Api::OpenAi.error(&error),
    };
    let asked = chat::asked(&caller, &head.headers, &body, Utc::now());
    answered(gateway, caller, Api::OpenAi, asked).await
}

/// Answers a request to Anthropic's Messages.
async fn messages(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let Client { caller, head, body } = match client(&gateway, request).await {
        Ok(client) => client,
        Err(error) => return Api::Anthropic.error(&error),
    };
    let asked = messages::asked(&caller, &head.headers, &body);
    answered(gateway, caller, Api::Anthropic, asked).await
}

/// A request of a client that is known.
struct Client {
    caller: Caller,
    head: Parts,
    body: Bytes,
}

/// Identifies the client, then reads the body.
async fn client(gateway: &Gateway, request: Request) -> Result<Client, ApiError> {
    let (head, body) = request.into_parts();
    let caller = match identify(&gateway.callers, &head, Utc::now()).await {
        Ok(caller) => caller,
        Err(error) => {
            discard(body).await;
            return Err(error);
        }
    };
    let body = to_bytes(body, MAX_BODY_BYTES).await;
    let body = body.map_err(|_| ApiError::validation("The request body is incomplete, or larger than 6 MiB."))?;
    Ok(Client { caller, head, body })
}

/// The response to a request that was read.
async fn answered(gateway: Arc<Gateway>, caller: Caller, api: Api, asked: Result<Asked, ApiError>) -> Response {
    let keeps_answers = gateway.steps.settler.answers().is_some();
    let answer = match asked {
        Ok(Asked { document, in_events: true, form }) => stream::respond(gateway, caller, document, form).await,
        Ok(Asked { document, in_events: false, form }) => whole(gateway, caller, document, form).await,
        Err(error) => Err(error),
    };
    let answer = answer.map_err(|error| if keeps_answers { answers::with_place(error) } else { error });
    answer.unwrap_or_else(|error| api.error(&error))
}

/// The model and the operation of a path such as `/model/{id}/converse`.
fn operation<'p>(method: &Method, path: &'p str) -> Option<(String, &'p str)> {
    let (model, operation) = path.strip_prefix(MODEL_PATH).filter(|_| method == Method::POST)?.rsplit_once('/')?;
    let model = percent_decode_str(model).decode_utf8().ok().filter(|model| !model.is_empty())?;
    Some((model.into_owned(), operation))
}

async fn whole(
    gateway: Arc<Gateway>,
    caller: Caller,
    document: Box<RawValue>,
    form: Box<dyn Form>,
) -> Result<Response, ApiError> {
    let began = Instant::now();
    // A client that leaves does not end the task, so whatever was held is settled.
    let task = tokio::spawn(async move {
        match gateway.steps.decide(&document, &caller, false).await {
            Decided::Approved(approved) => Ok(gateway.steps.finish(*approved).await),
            Decided::Answered(answer) => Ok(*answer),
            Decided::ModelNotAllowed(model) => Err(ApiError::model_not_allowed(&model)),
        }
    });
    let answer = task.await.map_err(|_| ApiError::unfinished())??;
    let latency = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let Some(output) = &answer.output else { return Err(ApiError::of_refusal(&answer)) };
    let mut response = Json(form.whole(&answer, output, latency)).into_response();
    for (name, value) in facts::of_answer(&answer).into_iter().chain(form.headers(&answer, latency)) {
        response.headers_mut().insert(name, header_value(&value));
    }
    Ok(response)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_model_is_a_name_an_id_or_an_arn_encoded_or_not() {
        let arn = "arn:aws:bedrock:us-east-1:123456789012:application-inference-profile/abc";
        for (path, model) in [
            ("/model/claude-haiku-4-5/converse", "claude-haiku-4-5"),
            (
                "/model/us.anthropic.claude-3-haiku-20240307-v1%3A0/converse",
                "us.anthropic.claude-3-haiku-20240307-v1:0",
            ),
            (
                "/model/arn%3Aaws%3Abedrock%3Aus-east-1%3A123456789012%3Aapplication-inference-profile%2Fabc/converse",
                arn,
            ),
            (&format!("/model/{arn}/converse"), arn),
        ] {
            assert_eq!(operation(&Method::POST, path), Some((model.to_owned(), "converse")), "{path}");
        }
        for path in ["/model//converse", "/model/converse", "/", "/models/a/converse", "/model/%FF/converse"] {
            assert_eq!(operation(&Method::POST, path), None, "{path}");
        }
        assert_eq!(operation(&Method::GET, "/model/a/converse"), None);
    }
}
