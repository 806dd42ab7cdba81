//! The stand-in's own routes under `/_sim`.

use std::sync::Arc;

use axum::{Json, body::Bytes, extract::State};
use serde_json::{Value, json};

use crate::{
    error::ApiError,
    fields::{self, Fields},
    state::{Calls, Defaults, Sim},
};

/// `GET /_sim/health`.
pub async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// `GET /_sim/calls`.
pub async fn calls(State(sim): State<Arc<Sim>>) -> Json<Calls> {
    Json(sim.calls())
}

/// `GET /_sim/defaults`.
pub async fn defaults(State(sim): State<Arc<Sim>>) -> Json<Defaults> {
    Json(sim.defaults())
}

/// `POST /_sim/defaults`: what is left out stays as it is; answers all of them.
pub async fn set_defaults(State(sim): State<Arc<Sim>>, body: Bytes) -> Result<Json<Defaults>, ApiError> {
    let body = fields::body(&body)?;
    let fields = Fields::new(&body, "#", &["baseLatencyMs", "latencyMsPerToken", "metricsDelaySeconds"])?;
    let now = sim.defaults();
    let defaults = Defaults {
        base_latency_ms: fields.integer("baseLatencyMs", 0)?.unwrap_or(now.base_latency_ms),
        latency_ms_per_token: fields.integer("latencyMsPerToken", 0)?.unwrap_or(now.latency_ms_per_token),
        metrics_delay_seconds: fields.integer("metricsDelaySeconds", 0)?.unwrap_or(now.metrics_delay_seconds),
    };
    sim.set_defaults(defaults);
    Ok(Json(defaults))
}
