//! One model call, from its bytes to its answer: the same way for every format.

use std::{sync::Arc, time::Duration, time::SystemTime};

use axum::{
    body::Bytes,
    extract::{ConnectInfo, Path, State},
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
    faults::Fault,
    fields, invoke_anthropic_messages, invoke_nova, invoke_text_completion,
    models::{Family, Model, metric_id},
    prompt::Prompt,
    reply::{self, Reply},
    state::Sim,
};

/// The format of a call.
#[derive(Clone, Copy)]
enum Format {
    Converse,
    AnthropicMessages,
    AnthropicText,
    Nova,
}

/// A call that was read and may be answered.
struct Call {
    model_id: String,
    base: Option<String>,
    format: Format,
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
    call(&sim, &connection, model_id, &body, |_, _| Ok(Format::Converse)).await
}

/// `POST /model/{modelId}/invoke`.
pub async fn invoke(
    State(sim): State<Arc<Sim>>,
    ConnectInfo(connection): ConnectInfo<Connection>,
    Path(model_id): Path<String>,
    body: Bytes,
) -> Response {
    call(&sim, &connection, model_id, &body, invoke_format).await
}

async fn call(
    sim: &Sim,
    connection: &Connection,
    model_id: String,
    body: &[u8],
    format: impl Fn(Option<Model<'_>>, &Map<String, Value>) -> Result<Format, ApiError>,
) -> Response {
    sim.count_call(&model_id);
    match read(sim, model_id, body, format) {
        Ok(call) => call.answer(sim, connection).await.unwrap_or_else(IntoResponse::into_response),
        Err(error) => error.into_response(),
    }
}

fn read(
    sim: &Sim,
    model_id: String,
    body: &[u8],
    format: impl Fn(Option<Model<'_>>, &Map<String, Value>) -> Result<Format, ApiError>,
) -> Result<Call, ApiError> {
    let arrived = (Instant::now(), SystemTime::now());
    let base = sim.resolve(&model_id)?;
    let model = base.as_deref().and_then(Model::parse);
    let body = fields::body(body)?;
    let format = format(model, &body)?;
    let prompt = match format {
        Format::Converse => converse::parse(&body, model),
        Format::AnthropicMessages => invoke_anthropic_messages::parse(&body),
        Format::AnthropicText => invoke_text_completion::parse(&body),
        Format::Nova => invoke_nova::parse(&body),
    }?;
    let mut directives = Directives::parse(prompt.last_user_text())?;
    if directives.fault.is_some() && !sim.meets_fault(prompt.last_user_text(), directives.times) {
        directives.fault = None;
    }
    Ok(Call { model_id, base, format, prompt, directives, arrived })
}

/// The format of an InvokeModel body: the model's; behind an unknown profile, the one that the body looks like.
fn invoke_format(model: Option<Model<'_>>, body: &Map<String, Value>) -> Result<Format, ApiError> {
    match model.map(|model| model.family()) {
        Some(Family::AnthropicMessages) => Ok(Format::AnthropicMessages),
        Some(Family::AnthropicText) => Ok(Format::AnthropicText),
        Some(Family::Nova) => Ok(Format::Nova),
        Some(Family::Other) => Err(ApiError::validation(
            "bedrock-sim: InvokeModel is served for Claude and Nova only; use Converse for this model.",
        )),
        None if body.contains_key("prompt") => Ok(Format::AnthropicText),
        None if body.contains_key("anthropic_version") => Ok(Format::AnthropicMessages),
        None => Ok(Format::Nova),
    }
}

impl Call {
    async fn answer(self, sim: &Sim, connection: &Connection) -> Result<Response, ApiError> {
        match self.directives.fault {
            Some(Fault::Hang) => std::future::pending().await,
            Some(Fault::Close) => {
                self.wait(self.latency_ms(sim, 0)).await;
                connection.drop_without_answer();
                Ok(Response::default())
            }
            Some(Fault::Exception(exception)) => {
                self.wait(self.latency_ms(sim, 0)).await;
                Err(exception.into())
            }
            Some(Fault::Malformed) => {
                self.reply(sim).await?;
                Ok(answer::malformed())
            }
            Some(Fault::MissingUsage | Fault::Empty) | None => {
                let reply = self.reply(sim).await?;
                Ok(self.respond(&reply))
            }
        }
    }

    /// Writes the reply, takes the time it takes, and has its metrics published.
    async fn reply(&self, sim: &Sim) -> Result<Reply, ApiError> {
        let backend = sim.openai.as_ref().filter(|_| self.directives.output_bytes.is_none());
        let draft = match backend {
            Some(openai) => openai.complete(&self.prompt, self.base.as_deref().unwrap_or(&self.model_id)).await?,
            None => reply::filler(&self.prompt, &self.directives),
        };
        let mut reply = reply::finish(&self.prompt, &self.directives, draft);
        self.wait(self.latency_ms(sim, reply.usage.output)).await;
        reply.latency_ms = u64::try_from(self.arrived.0.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(metrics) = &sim.metrics {
            let delay = Duration::from_secs(sim.defaults().metrics_delay_seconds);
            metrics.publish_later(metric_id(&self.model_id), reply.usage, self.arrived.1, delay);
        }
        Ok(reply)
    }

    fn respond(&self, reply: &Reply) -> Response {
        match self.format {
            Format::Converse => answer::converse(converse::answer(reply)),
            Format::AnthropicMessages => {
                let model = self.base.as_deref().unwrap_or(&self.model_id);
                answer::invoke(invoke_anthropic_messages::answer(reply, model), reply)
            }
            Format::AnthropicText => answer::invoke(invoke_text_completion::answer(reply), reply),
            Format::Nova => answer::invoke(invoke_nova::answer(reply), reply),
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
