//! Handles one model call, from the request bytes to the answer.

use std::{sync::Arc, time::Duration, time::SystemTime};

use axum::{
    Json,
    body::Bytes,
    extract::{ConnectInfo, Path, State},
    http::HeaderMap,
    response::{IntoResponse, Response},
    routing::{MethodRouter, post},
};
use tokio::time::{Instant, sleep_until};

use crate::{
    answer,
    connection::Connection,
    directives::Directives,
    error::ApiError,
    facts::{self, Rule},
    faults::{Exception, Fault},
    fields,
    form::{Form, Operation},
    guardrail, invoke,
    models::{Model, metric_id},
    prompt::Prompt,
    recorder::Spent,
    reply::{self, Reply},
    state::Sim,
    stream, tools,
};

/// A valid call that is not answered yet.
struct Call {
    operation: Operation,
    form: Form,
    model_id: String,
    base: String,
    prompt: Prompt,
    directives: Directives,
    /// The instant of arrival, and the machine's time then. The metrics have the machine's time and not the simulated
    /// one, because CloudWatch and the readers of its metrics have the machine's clock.
    arrived: (Instant, SystemTime),
}

/// The handler of `POST /model/{modelId}/…` for an operation.
pub fn handler(operation: Operation) -> MethodRouter<Arc<Sim>> {
    post(
        async move |State(sim): State<Arc<Sim>>,
                    ConnectInfo(connection),
                    Path(model_id): Path<String>,
                    headers: HeaderMap,
                    body: Bytes| {
            sim.count_call(&model_id);
            match read(&sim, operation, model_id, &headers, &body) {
                Ok(call) => call.serve(&sim, &connection).await.unwrap_or_else(IntoResponse::into_response),
                Err(error) => error.into_response(),
            }
        },
    )
}

fn read(sim: &Sim, operation: Operation, model_id: String, headers: &HeaderMap, body: &[u8]) -> Result<Call, ApiError> {
    let arrived = (Instant::now(), SystemTime::now());
    let base = sim.resolve(&model_id)?;
    let model = Model::parse(&base);
    if metric_id(&model_id) == base && model.is_some_and(|model| model.has(Rule::ProfileOnly)) {
        return Err(ApiError::validation(format!(
            "Invocation of model ID {base} with on-demand throughput isn\u{2019}t supported. Retry your request with the ID or ARN of an \
             inference profile that contains this model."
        )));
    }
    let body = fields::body(body)?;
    let form = Form::of(operation, model)?;
    let prompt = form.read(headers, body, model)?;
    let mut directives = Directives::parse(prompt.last_user_text())?;
    if directives.fault.is_some() && !sim.meets_fault(prompt.last_user_text(), directives.times) {
        directives.fault = None;
    }
    Ok(Call { operation, form, model_id, base, prompt, directives, arrived })
}

impl Call {
    /// The answer, whole or in events. The latency of the call is the time before the first event. Faults other than missing
    /// counts and empty texts come before it.
    async fn serve(self, sim: &Sim, connection: &Connection) -> Result<Response, ApiError> {
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
                // In the service model, only InvokeModel has this exception.
                Ok(if exception == Exception::Quota && !self.operation.invokes {
                    answer::damaged(response)
                } else {
                    response
                })
            }
            Some(Fault::Malformed) => {
                let reply = self.reply(sim).await?;
                Ok(self.having_spent(&reply, answer::damaged(answer::malformed())))
            }
            Some(Fault::MissingUsage | Fault::Empty) | None => {
                let reply = self.reply(sim).await?;
                Ok(self.having_spent(&reply, self.respond(&reply)))
            }
        }
    }

    /// Writes the reply, waits for the latency, and schedules the metrics.
    async fn reply(&self, sim: &Sim) -> Result<Reply, ApiError> {
        let backend = sim.openai.as_ref().filter(|_| self.directives.output_bytes.is_none());
        let draft = match backend {
            Some(openai) => openai.complete(&self.prompt, &self.base).await?,
            None => reply::filler(&self.prompt, &self.directives),
        };
        let mut reply = reply::finish(&self.prompt, &self.directives, draft, &self.base);
        self.use_cache(sim, &mut reply);
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

    /// Splits the input tokens by the content of the prompt cache. This happens only if the request has checkpoints,
    /// no directive sets the input tokens, and no guardrail blocks the input.
    fn use_cache(&self, sim: &Sim, reply: &mut Reply) {
        let least = facts::value(&self.base, Rule::Caches).unwrap_or(1);
        let is_told = self.directives.tells_input() || guardrail::blocks_input(&self.prompt);
        if !self.prompt.cache_points.is_empty() && !is_told {
            reply.usage = sim.cache.serve(&self.prompt.cache_points, least, reply.usage, sim.clock.now());
        }
    }

    /// Tells the recorder what the reply used. A guardrail that blocks the input leaves the model without a call.
    fn having_spent(&self, reply: &Reply, mut response: Response) -> Response {
        if !guardrail::blocks_input(&self.prompt) {
            response.extensions_mut().insert(Spent::from(reply.usage));
        }
        response
    }

    fn respond(&self, reply: &Reply) -> Response {
        let Self { operation, form, base, prompt, directives, .. } = self;
        if operation.streams {
            let mut response = stream::respond(form.events(reply, prompt, base, directives), directives);
            if operation.invokes {
                invoke::set_stream_headers(response.headers_mut(), prompt);
            }
            return response;
        }
        let mut response = Json(form.answer(reply, prompt, base)).into_response();
        if operation.invokes {
            let is_counted = reply.usage_is_told && !guardrail::blocks_input(prompt);
            invoke::set_headers(response.headers_mut(), reply, prompt, is_counted);
        }
        let is_whole = reply.usage_is_told && form.knows_stop_reason(&reply.stop_reason);
        if is_whole { response } else { answer::damaged(response) }
    }

    fn latency_ms(&self, sim: &Sim, output_tokens: u64) -> u64 {
        let defaults = sim.defaults();
        let computed =
            defaults.base_latency_ms.saturating_add(defaults.latency_ms_per_token.saturating_mul(output_tokens));
        self.directives.latency_ms.unwrap_or(computed)
    }

    /// Waits until `latency_ms` milliseconds after the arrival of the call.
    async fn wait(&self, latency_ms: u64) {
        match self.arrived.0.checked_add(Duration::from_millis(latency_ms)) {
            Some(until) => sleep_until(until).await,
            None => std::future::pending().await,
        }
    }
}
