//! The stand-in's own routes under `/_sim`.

use std::{sync::Arc, time::Duration};

use axum::{Json, body::Bytes, extract::State};
use serde_json::{Value, json};

use crate::{
    error::ApiError,
    fields::{self, Fields},
    state::{Calls, Defaults, Sim, time},
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

/// `GET /_sim/clock`.
pub async fn clock(State(sim): State<Arc<Sim>>) -> Json<Value> {
    Json(json!({"now": sim.now_text()}))
}

/// `POST /_sim/clock`: `now` sets it, `advanceSeconds` puts it forward; answers the new time.
pub async fn set_clock(State(sim): State<Arc<Sim>>, body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = fields::body(&body)?;
    let fields = Fields::new(&body, "#", &["now", "advanceSeconds"])?;
    if let Some(now) = fields.string("now")? {
        sim.set_now(time(now).ok_or_else(|| fields::malformed("#/now: is no time such as 2027-01-08T00:00:00Z"))?);
    }
    if let Some(seconds) = fields.integer("advanceSeconds", 0)? {
        let then = sim.now().checked_add(Duration::from_secs(seconds));
        sim.set_now(then.ok_or_else(|| fields::malformed("#/advanceSeconds: is too much"))?);
    }
    Ok(clock(State(sim)).await)
}
