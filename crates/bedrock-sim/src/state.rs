//! What the stand-in remembers while it runs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde::{Deserialize, Serialize};

use crate::{
    error::ApiError,
    metrics::Publisher,
    models::{ArnKind, Model, parse_arn},
    openai::OpenAi,
    options::Options,
    profiles::Profiles,
    recorder::Recorder,
    reply::fingerprint,
};

/// The settings that can be changed while it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Defaults {
    /// Milliseconds that every call takes.
    pub base_latency_ms: u64,
    /// Milliseconds that every output token adds.
    pub latency_ms_per_token: u64,
    /// Seconds between a call and its metrics.
    pub metrics_delay_seconds: u64,
}

/// How many calls arrived.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Calls {
    /// All model calls.
    pub total: u64,
    /// Model calls by the model id they were sent with.
    pub by_model: BTreeMap<String, u64>,
    /// Calls of CountTokens, which are no model calls.
    pub count_tokens: u64,
}

/// The whole state of one stand-in.
pub struct Sim {
    /// Inference profiles that were created here.
    pub profiles: Profiles,
    /// Sends metrics, if there is a CloudWatch to send them to.
    pub metrics: Option<Publisher>,
    /// Writes the replies, if a backend was given.
    pub openai: Option<OpenAi>,
    /// The last exchanges, if they are kept.
    pub recorder: Recorder,
    defaults: Mutex<Defaults>,
    calls: Mutex<Calls>,
    faults_met: Mutex<HashMap<u64, u64>>,
}

impl Sim {
    /// A fresh state.
    ///
    /// # Errors
    /// An error text if the OpenAI endpoint is not a plain http URL.
    pub fn new(options: &Options) -> Result<Self, String> {
        let openai = options.openai_endpoint.as_deref();
        Ok(Self {
            profiles: Profiles::new(&options.region, options.accept_any_profile),
            metrics: options.cloudwatch_endpoint.as_deref().map(|endpoint| Publisher::new(endpoint, &options.region)),
            openai: openai.map(|endpoint| OpenAi::new(endpoint, options.openai_model.clone())).transpose()?,
            recorder: Recorder::new(options.record),
            defaults: Mutex::new(Defaults {
                base_latency_ms: options.base_latency_ms,
                latency_ms_per_token: options.latency_ms_per_token,
                metrics_delay_seconds: options.metrics_delay_seconds,
            }),
            calls: Mutex::default(),
            faults_met: Mutex::default(),
        })
    }

    /// The settings as they are now.
    pub fn defaults(&self) -> Defaults {
        *lock(&self.defaults)
    }

    /// Replaces the settings.
    pub fn set_defaults(&self, defaults: Defaults) {
        *lock(&self.defaults) = defaults;
    }

    /// The calls so far.
    pub fn calls(&self) -> Calls {
        lock(&self.calls).clone()
    }

    /// Counts a model call.
    pub fn count_call(&self, model_id: &str) {
        let mut calls = lock(&self.calls);
        calls.total = calls.total.saturating_add(1);
        let count = calls.by_model.entry(model_id.to_owned()).or_default();
        *count = count.saturating_add(1);
    }

    /// Counts a call of CountTokens.
    pub fn count_token_count(&self) {
        let mut calls = lock(&self.calls);
        calls.count_tokens = calls.count_tokens.saturating_add(1);
    }

    /// Whether a fault that meets only the first `times` calls with this text meets this one too.
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

    /// The foundation model behind a model id.
    ///
    /// # Errors
    /// A ValidationException if no such model is known, a ResourceNotFoundException if it is not served any more.
    pub fn resolve(&self, model_id: &str) -> Result<String, ApiError> {
        let known = |id: &str| Model::parse(id).map(|model| model.base.to_owned());
        let created = |id: &str| self.profiles.model_behind(id);
        let resolved = match parse_arn(model_id) {
            Some((ArnKind::ApplicationProfile, id)) => created(id),
            Some((_, id)) => known(id),
            None => known(model_id),
        };
        let base = resolved.ok_or_else(|| ApiError::validation("The provided model identifier is invalid."))?;
        if Model::parse(&base).is_some_and(|model| model.is_retired()) {
            return Err(ApiError::not_found(
                "This model version has reached the end of its life. Please refer to the AWS documentation for more details.",
            ));
        }
        Ok(base)
    }
}

/// Locks; a panic elsewhere leaves these maps and numbers whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
