//! One model call, from its bytes to its answer: the same way for every format.

use std::{sync::Arc, time::Duration, time::SystemTime};

use axum::{
    body::Bytes,
    extract::{ConnectInfo, Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value};
use tokio::time::{Instant, sleep_until};

use crate::{
    answer,
    connection::Connection,
    converse,
    directives::Directives,
    error::ApiError,
    faults::{Exception, Fault},
    fields, guardrail, invoke,
    models::{Model, metric_id},
    prompt::Prompt,
    reply::{self, Reply},
    state::Sim,
    tools,
};

/// The operation of a call.
#[derive(Clone, Copy)]
enum Operation {
    Converse,
    InvokeModel(invoke::Format),
}

/// A call that was read and may be answered.
struct Call {
    model_id: String,
    base: String,
    operation: Operation,
    prompt: Prompt,
    directives: Directives,
    arrived: (Instant, SystemTime),
}

/// `POST /model/{modelId}/converse`.
pub async fn converse(
    State(sim): State<Arc<Sim>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    Path(model_id): Path<String>,
    body: Bytes,
) -> Response {
    let request = (&HeaderMap::new(), body.as_ref());
    call(&sim, &connection, model_id, request, |_, _| Ok(Operation::Converse)).await
}

/// `POST /model/{modelId}/invoke`.
pub async fn invoke(
    State(sim): State<Arc<Sim>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    Path(model_id): Path<String>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let operation = |model: Option<Model<'_>>, body: &_| invoke::Format::of(model, body).map(Operation::InvokeModel);
    call(&sim, &connection, model_id, (&headers, &body), operation).await
}

async fn call(
    sim: &Sim,
    connection: &Connection,
    model_id: String,
    request: (&HeaderMap, &[u8]),
    operation: impl Fn(Option<Model<'_>>, &Map<String, Value>) -> Result<Operation, ApiError>,
) -> Response {
    sim.count_call(&model_id);
    match read(sim, model_id, request, operation) {
        Ok(call) => call.answer(sim, connection).await.unwrap_or_else(IntoResponse::into_response),
        Err(error) => error.into_response(),
    }
}

fn read(
    sim: &Sim,
    model_id: String,
    request: (&HeaderMap, &[u8]),
    operation: impl Fn(Option<Model<'_>>, &Map<String, Value>) -> Result<Operation, ApiError>,
) -> Result<Call, ApiError> {
    let ((headers, body), arrived) = (request, (Instant::now(), SystemTime::now()));
    let base = sim.resolve(&model_id)?;
    let model = Model::parse(&base);
    let body = fields::body(body)?;
    let operation = operation(model, &body)?;
    let mut prompt = match operation {
        Operation::Converse => converse::parse(&body, model),
        Operation::InvokeModel(format) => format.parse(&body),
    }?;
    invoke::read_headers(headers, &mut prompt)?;
    let mut directives = Directives::parse(prompt.last_user_text())?;
    if directives.fault.is_some() && !sim.meets_fault(prompt.last_user_text(), directives.times) {
        directives.fault = None;
    }
    Ok(Call { model_id, base, operation, prompt, directives, arrived })
}

impl Call {
    async fn answer(self, sim: &Sim, connection: &Connection) -> Result<Response, ApiError> {
        match self.directives.fault {
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Close) => {
                self.wait(self.latency_ms(sim, 0)).await;
                connection.drop_without_answer();
                Ok(answer::damaged(Response::default()))
            }
            Some(Fault::Exception(exception)) => {
                self.wait(self.latency_ms(sim, 0)).await;
                let error = ApiError::from(exception);
                let response = match &self.directives.error_text {
                    Some(text) => error.quoting(text).into_response(),
                    None => error.into_response(),
                };
                // The service model has this one for InvokeModel only.
                let is_foreign = exception == Exception::Quota && matches!(self.operation, Operation::Converse);
                Ok(if is_foreign { answer::damaged(response) } else { response })
            }
            Some(Fault::Malformed) => {
                self.reply(sim).await?;
                Ok(answer::damaged(answer::malformed()))
            }
            Some(Fault::MissingUsage) => {
                let reply = self.reply(sim).await?;
                Ok(answer::damaged(self.respond(&reply)))
            }
            Some(Fault::Empty) | None => {
                let reply = self.reply(sim).await?;
                Ok(self.respond(&reply))
            }
        }
    }

    /// Writes the reply, takes the time it takes, and has its metrics published.
    async fn reply(&self, sim: &Sim) -> Result<Reply, ApiError> {
        let backend = sim.openai.as_ref().filter(|_| self.directives.output_bytes.is_none());
        let draft = match backend {
            Some(openai) => openai.complete(&self.prompt, &self.base).await?,
            None => reply::filler(&self.prompt, &self.directives),
        };
        let reply = reply::finish(&self.prompt, &self.directives, draft);
        let reply = reply::ask_for(tools::asked(&self.prompt, &self.directives)?, &self.directives, reply);
        let mut reply = guardrail::apply(&self.prompt, reply);
        self.wait(self.latency_ms(sim, reply.usage.output)).await;
        reply.latency_ms = u64::try_from(self.arrived.0.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(metrics) = sim.metrics.as_ref().filter(|_| !guardrail::blocks_input(&self.prompt)) {
            let delay = Duration::from_secs(sim.defaults().metrics_delay_seconds);
            metrics.publish_later(metric_id(&self.model_id), reply.usage, self.arrived.1, delay);
        }
        Ok(reply)
    }

    fn respond(&self, reply: &Reply) -> Response {
        match self.operation {
            Operation::Converse => {
                let response = answer::converse(converse::answer(reply, self.prompt.service_tier.as_deref()));
                if converse::knows_stop_reason(&reply.stop_reason) { response } else { answer::damaged(response) }
            }
            Operation::InvokeModel(format) => {
                let mut body = format.answer(reply, &self.base);
                if self.prompt.guardrail.is_some() {
                    let action = if guardrail::intervenes(&self.prompt) { "INTERVENED" } else { "NONE" };
                    fields::set(&mut body, "amazon-bedrock-guardrailAction", action);
                }
                answer::invoke(body, reply, self.prompt.service_tier.as_deref())
            }
        }
    }

    fn latency_ms(&self, sim: &Sim, output_tokens: u64) -> u64 {
        let defaults = sim.defaults();
        let computed =
            defaults.base_latency_ms.saturating_add(defaults.latency_ms_per_token.saturating_mul(output_tokens));
        self.directives.latency_ms.unwrap_or(computed)
    }

    /// Until this many milliseconds after the call arrived.
    async fn wait(&self, latency_ms: u64) {
        match self.arrived.0.checked_add(Duration::from_millis(latency_ms)) {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}
