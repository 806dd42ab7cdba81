#![doc = include_str!("../README.md")]

mod cache;
mod query;
mod shared;

use std::time::Duration;

use aws_sdk_cloudwatch::Client;
use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::ErrorCode;
use sentry_contract::usage::{FetchUsageInput, UsageFound, UsageSeries};
use sentry_domain::UsageGrid;
use sentry_lambda::Failure;
use tokio::time::{Instant, sleep};
use tracing::warn;

use crate::cache::Cache;
pub use crate::shared::SharedFigures;

/// Maximum age of a figure that may decide if CloudWatch returns no newer one, in seconds.
const OLDEST_SECONDS: u64 = 300;
/// Time for which one environment keeps the others from asking. It is longer than the wait for CloudWatch. After a
/// failure, the next one asks when this time has passed.
const CLAIM: TimeDelta = TimeDelta::seconds(5);
/// Time to wait for another environment's figure if there is none yet. If that environment's claim ends during the
/// wait, enough time remains to ask CloudWatch.
const PATIENCE: Duration = Duration::from_millis(2_000);
/// The pause between two reads of the shared figure.
const PAUSE: Duration = Duration::from_millis(100);

/// The source of usage figures: CloudWatch, or a recent figure from it.
#[derive(Debug)]
pub struct UsageSource {
    client: Client,
    shared: Option<SharedFigures>,
    cache: Cache,
}

impl UsageSource {
    /// Asks CloudWatch through `client`. All environments together ask at most once every `max_age_seconds` for each
    /// model, and share the figure through `shared`. With 0, each environment asks for every request, and nothing is
    /// shared.
    #[must_use]
    pub fn new(client: Client, shared: SharedFigures, max_age_seconds: u64) -> Self {
        let shared = (max_age_seconds > 0).then_some(shared);
        Self { client, shared, cache: Cache::new(max_age_seconds) }
    }

    /// The usage of both models at `now`.
    ///
    /// # Errors
    /// Returns `UsageUnavailable` if CloudWatch does not return every figure of the model completely, and there is no
    /// figure of the last five minutes. If only the fallback's figure is missing, the result has no fallback usage, and
    /// the fallback cannot answer.
    pub async fn fetch(&self, input: &FetchUsageInput, now: DateTime<Utc>) -> Result<UsageFound, Failure> {
        let fallback = async {
            let found = self.figure(input.fallback_metric.as_deref()?, &input.grid, now).await;
            found
                .inspect_err(|failure| warn!(cause = %failure, "the fallback's usage is unknown, so it cannot step in"))
                .ok()
        };
        let (model, fallback) = tokio::join!(self.figure(&input.model_metric, &input.grid, now), fallback);
        Ok(UsageFound { model: model?, fallback })
    }

    async fn figure(&self, metric: &str, grid: &UsageGrid, now: DateTime<Utc>) -> Result<UsageSeries, Failure> {
        if let Some(series) = self.cache.get(metric, now) {
            return Ok(series);
        }
        let series = match &self.shared {
            None => self.ask(metric, grid, now).await?,
            Some(shared) => self.share(shared, metric, grid, now).await?,
        };
        self.cache.put(metric, series.clone(), now);
        Ok(series)
    }

    /// Returns the shared figure if it is fresh. Otherwise one environment asks for the next figure, and the others use
    /// the last one.
    async fn share(
        &self,
        shared: &SharedFigures,
        metric: &str,
        grid: &UsageGrid,
        begun: DateTime<Utc>,
    ) -> Result<UsageSeries, Failure> {
        let clock = Instant::now();
        let now = || begun + TimeDelta::from_std(clock.elapsed()).unwrap_or_default();
        loop {
            let figure = match shared.read(metric).await {
                Ok(figure) => figure,
                Err(problem) => {
                    warn!(metric, cause = %problem, "CloudWatch is asked without the shared figure");
                    return self.ask(metric, grid, now()).await;
                }
            };
            let last = figure.series.filter(|series| series.age_seconds(now()) <= OLDEST_SECONDS);
            if let Some(fresh) = last.as_ref().filter(|series| self.cache.is_fresh(series, now())) {
                return Ok(fresh.clone());
            }
            let free = figure.asked_until_ms <= now().timestamp_millis();
            if free && shared.claim(metric, now(), now() + CLAIM).await.unwrap_or(true) {
                return self.renew(shared, metric, grid, now(), last).await;
            }
            match last {
                Some(last) => return Ok(last),
                None if clock.elapsed() < PATIENCE => sleep(PAUSE).await,
                None => return Err(unavailable("another function asks it, and has had no answer yet")),
            }
        }
    }

    /// Asks for the next figure and stores it. If CloudWatch does not answer, returns `last`.
    async fn renew(
        &self,
        shared: &SharedFigures,
        metric: &str,
        grid: &UsageGrid,
        now: DateTime<Utc>,
        last: Option<UsageSeries>,
    ) -> Result<UsageSeries, Failure> {
        match self.ask(metric, grid, now).await {
            Ok(series) => {
                if let Err(problem) = shared.store(metric, &series, now).await {
                    warn!(metric, cause = %problem, "a usage figure is not shared");
                }
                Ok(series)
            }
            Err(failure) => match last {
                Some(last) => {
                    let age_seconds = last.age_seconds(now);
                    warn!(metric, age_seconds, cause = %failure, "an older usage figure decides");
                    Ok(last)
                }
                None => Err(failure),
            },
        }
    }

    async fn ask(&self, metric: &str, grid: &UsageGrid, now: DateTime<Utc>) -> Result<UsageSeries, Failure> {
        let series = query::series(&self.client, metric, grid, now).await;
        series.map_err(|unusable| unavailable(&unusable.to_string()))
    }
}

fn unavailable(problem: &str) -> Failure {
    Failure::new(ErrorCode::UsageUnavailable, format!("CloudWatch gave no complete usage: {problem}"))
}

#[cfg(test)]
mod sharing_tests;
#[cfg(test)]
mod tests;
