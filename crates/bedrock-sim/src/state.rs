//! What the stand-in remembers while it runs.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use aws_smithy_types::date_time::{DateTime, Format};

use serde::{Deserialize, Serialize};

use crate::{
    cache::Cache,
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
    /// The prompt cache.
    pub cache: Cache,
    region: String,
    /// What the clock showed, and when.
    clock: Mutex<(SystemTime, Instant)>,
    defaults: Mutex<Defaults>,
    calls: Mutex<Calls>,
    faults_met: Mutex<HashMap<u64, u64>>,
}

impl Sim {
    /// A fresh state.
    ///
    /// # Errors
    /// An error text if the OpenAI endpoint is not a plain http URL, or the time is none.
    pub fn new(options: &Options) -> Result<Self, String> {
        let openai = options.openai_endpoint.as_deref();
        let start = match &options.now {
            Some(now) => time(now).ok_or_else(|| format!("--now {now}: is no time such as 2027-01-08T00:00:00Z"))?,
            None => SystemTime::now(),
        };
        Ok(Self {
            profiles: Profiles::new(&options.region, options.accept_any_profile),
            metrics: options.cloudwatch_endpoint.as_deref().map(|endpoint| Publisher::new(endpoint, &options.region)),
            openai: openai.map(|endpoint| OpenAi::new(endpoint, options.openai_model.clone())).transpose()?,
            recorder: Recorder::new(options.record),
            cache: Cache::default(),
            region: options.region.clone(),
            clock: Mutex::new((start, Instant::now())),
            defaults: Mutex::new(Defaults {
                base_latency_ms: options.base_latency_ms,
                latency_ms_per_token: options.latency_ms_per_token,
                metrics_delay_seconds: options.metrics_delay_seconds,
            }),
            calls: Mutex::default(),
            faults_met: Mutex::default(),
        })
    }

    /// The time by the stand-in's own clock.
    pub fn now(&self) -> SystemTime {
        let (then, at) = *lock(&self.clock);
        then + at.elapsed()
    }

    /// Sets the clock; it goes on from there.
    pub fn set_now(&self, now: SystemTime) {
        *lock(&self.clock) = (now, Instant::now());
    }

    /// The time as text, such as `2026-11-26T12:00:00Z`.
    pub fn now_text(&self) -> String {
        let seconds = self.now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let whole = DateTime::from(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds));
        whole.fmt(Format::DateTime).unwrap_or_default()
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
        let is_here = |model: &Model<'_>| model.is_in(&self.region);
        let known = |id: &str| Model::parse(id).filter(is_here).map(|model| model.base.to_owned());
        let created = |id: &str| self.profiles.model_behind(id);
        let resolved = match parse_arn(model_id) {
            Some((ArnKind::ApplicationProfile, id)) => created(id),
            Some((_, id)) => known(id),
            None => known(model_id),
        };
        let base = resolved.ok_or_else(|| ApiError::validation("The provided model identifier is invalid."))?;
        let now = self.now_text();
        let today = now.get(..10).unwrap_or_default();
        if Model::parse(&base).is_some_and(|model| model.has_ended(today)) {
            return Err(ApiError::not_found(
                "This model version has reached the end of its life. Please refer to the AWS documentation for more details.",
            ));
        }
        Ok(base)
    }
}

/// The time that a text such as `2027-01-08T00:00:00Z` means.
pub fn time(text: &str) -> Option<SystemTime> {
    DateTime::from_str(text, Format::DateTime).ok()?.try_into().ok()
}

/// Locks; a panic elsewhere leaves these maps and numbers whole.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
