//! The state of the simulator while it runs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex},
    time::SystemTime,
};

use serde::{Deserialize, Serialize};

use crate::{
    cache::Cache,
    clock::{Clock, time},
    error::ApiError,
    fingerprint::fingerprint,
    lock::lock,
    metrics::Publisher,
    models::{ArnKind, Model, parse_arn},
    openai::OpenAi,
    options::Options,
    profiles::Profiles,
    recorder::Recorder,
};

/// Settings that can change while the simulator runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// Latency of every call, in milliseconds.
    pub base_latency_ms: u64,
    /// Additional latency of each output token, in milliseconds.
    pub latency_ms_per_token: u64,
    /// Time from a call to its metrics, in seconds.
    pub metrics_delay_seconds: u64,
}

/// Number of calls that the simulator received.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Calls {
    /// Number of all model calls.
    pub total: u64,
    /// Number of model calls by the model id in the request.
    pub by_model: BTreeMap<String, u64>,
    /// Number of calls to `CountTokens`. They do not count as model calls.
    pub count_tokens: u64,
}

/// The whole state of one simulator.
pub struct Sim {
    /// The time at which models end and prompt caches expire.
    pub clock: Arc<Clock>,
    /// Application inference profiles that this simulator created.
    pub profiles: Arc<Profiles>,
    /// Publishes metrics. Absent if no CloudWatch endpoint is set.
    pub metrics: Option<Publisher>,
    /// Backend that writes the replies. Absent if none is configured.
    pub openai: Option<OpenAi>,
    /// Records the last exchanges, if `--record` is set.
    pub recorder: Arc<Recorder>,
    /// Prompt cache of all models.
    pub cache: Cache,
    region: String,
    defaults: Mutex<Defaults>,
    calls: Mutex<Calls>,
    faults_met: Mutex<HashMap<u64, u64>>,
}

impl Sim {
    /// A new state with the given options.
    ///
    /// # Errors
    /// An error text if the OpenAI endpoint is not a plain http URL, or if `--now` is not a valid time.
    pub fn new(options: &Options) -> Result<Self, String> {
        let openai = options.openai_endpoint.as_deref();
        let start = match &options.now {
            Some(now) => time(now).ok_or_else(|| format!("--now {now}: is no time such as 2027-01-08T00:00:00Z"))?,
            None => SystemTime::now(),
        };
        let clock = Arc::new(Clock::new(start));
        Ok(Self {
            profiles: Arc::new(Profiles::new(&options.region, options.accept_any_profile, Arc::clone(&clock))),
            metrics: options.cloudwatch_endpoint.as_deref().map(|endpoint| Publisher::new(endpoint, &options.region)),
            openai: openai.map(|endpoint| OpenAi::new(endpoint, options.openai_model.clone())).transpose()?,
            recorder: Arc::new(Recorder::new(options.record)),
            cache: Cache::default(),
            region: options.region.clone(),
            clock,
            defaults: Mutex::new(Defaults {
                base_latency_ms: options.base_latency_ms,
                latency_ms_per_token: options.latency_ms_per_token,
                metrics_delay_seconds: options.metrics_delay_seconds,
            }),
            calls: Mutex::default(),
            faults_met: Mutex::default(),
        })
    }

    /// The current settings of the simulator.
    pub fn defaults(&self) -> Defaults {
        *lock(&self.defaults)
    }

    /// Replaces all settings of the simulator.
    pub fn set_defaults(&self, defaults: Defaults) {
        *lock(&self.defaults) = defaults;
    }

    /// The number of calls so far.
    pub fn calls(&self) -> Calls {
        lock(&self.calls).clone()
    }

    /// Counts one model call.
    pub fn count_call(&self, model_id: &str) {
        let mut calls = lock(&self.calls);
        calls.total = calls.total.saturating_add(1);
        let count = calls.by_model.entry(model_id.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// Counts one call to `CountTokens`.
    pub fn count_token_count(&self) {
        let mut calls = lock(&self.calls);
        calls.count_tokens = calls.count_tokens.saturating_add(1);
    }

    /// `true` if the fault applies to this call. With `times`, a fault applies only to the first `times` calls with
    /// this text.
    pub fn meets_fault(&self, text: &str, times: Option<u64>) -> bool {
        let Some(times) = times else { return true };
        let mut faults_met = lock(&self.faults_met);
        let met = faults_met.entry(fingerprint(text)).or_default();
        if *met >= times {
            return false;
        }
        *met = met.saturating_add(1);
        true
    }

    /// The foundation model of a model id, a cross-Region profile id, or an ARN.
    ///
    /// # Errors
    /// A `ValidationException` if the model is unknown. A `ResourceNotFoundException` if the model has reached the end
    /// of its life.
    pub fn resolve(&self, model_id: &str) -> Result<String, ApiError> {
        let is_here = |model: &Model<'_>| model.is_in(&self.region);
        let known = |id: &str| Model::parse(id).filter(is_here).map(|model| model.base.to_owned());
        let created = |id: &str| self.profiles.model_behind(id);
        let resolved = match parse_arn(model_id) {
            Some((ArnKind::ApplicationProfile, id)) => created(id),
            Some((_, id)) => known(id),
            None => known(model_id),
        };
        let base = resolved.ok_or_else(|| ApiError::validation("The provided model identifier is invalid."))?;
        let now = self.clock.text();
        let today = now.get(..10).unwrap_or_default();
        if Model::parse(&base).is_some_and(|model| model.has_ended(today)) {
            return Err(ApiError::not_found(
                "This model version has reached the end of its life. Please refer to the AWS documentation for more details.",
            ));
        }
        Ok(base)
    }
}
