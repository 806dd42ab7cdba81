//! The simulator's own routes under `/_sim`.

use std::{sync::Arc, time::Duration};

use axum::{Json, body::Bytes, extract::State};
use serde_json::{Value, json};

use crate::{
    clock::{Clock, time},
    error::ApiError,
    fields::{self, Fields},
    state::{Calls, Defaults, Sim},
};

/// Handles `GET /_sim/health`: always answers `ok`.
pub async fn health() -> Json<Value> {
    Json(json!({"status": "ok"}))
}

/// Handles `GET /_sim/calls`: the number of calls so far.
pub async fn calls(State(sim): State<Arc<Sim>>) -> Json<Calls> {
    Json(sim.calls())
}

/// Handles `GET /_sim/defaults`: the current settings.
pub async fn defaults(State(sim): State<Arc<Sim>>) -> Json<Defaults> {
    Json(sim.defaults())
}

/// Handles `POST /_sim/defaults`. A missing field keeps its value. The answer contains all settings.
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

/// Handles `GET /_sim/clock`: the simulated time.
pub async fn clock(State(clock): State<Arc<Clock>>) -> Json<Value> {
    Json(json!({"now": clock.text()}))
}

/// Handles `POST /_sim/clock`. `now` sets the clock, and `advanceSeconds` moves it forward. The answer is the new
/// time.
pub async fn set_clock(State(clock): State<Arc<Clock>>, body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = fields::body(&body)?;
    let fields = Fields::new(&body, "#", &["now", "advanceSeconds"])?;
    if let Some(now) = fields.string("now")? {
        clock.set(time(now).ok_or_else(|| fields::malformed("#/now: is no time such as 2027-01-08T00:00:00Z"))?);
    }
    if let Some(seconds) = fields.integer("advanceSeconds", 0)? {
        let then = clock.now().checked_add(Duration::from_secs(seconds));
        clock.set(then.ok_or_else(|| fields::malformed("#/advanceSeconds: is too much"))?);
    }
    Ok(Json(json!({"now": clock.text()})))
}
