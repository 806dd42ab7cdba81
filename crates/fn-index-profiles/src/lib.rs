#![doc = include_str!("../README.md")]

use aws_sdk_cloudwatch::Client;
use aws_sdk_cloudwatch::primitives::DateTime as SdkDateTime;
use aws_sdk_cloudwatch::types::{MetricDatum, StandardUnit};
use chrono::{DateTime, Utc};
use sentry_contract::{ErrorCode, METRIC_NAMESPACE};
use sentry_lambda::{Failure, cause};
use sentry_profiles::{Listing, SharedProfiles};
use serde::Serialize;
use tracing::error;

/// Name of the metric: the age of the stored list.
const METRIC: &str = "ProfileListAge";

/// The results of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Report {
    /// Number of profiles with a tag that selects them.
    pub profiles: usize,
}

/// Lists the profiles and stores the list.
#[derive(Debug)]
pub struct IndexProfiles {
    listing: Listing,
    shared: SharedProfiles,
    metrics: Client,
}

impl IndexProfiles {
    /// A job that reads `listing`, stores the list in `shared`, and publishes its age with `metrics`.
    #[must_use]
    pub const fn new(listing: Listing, shared: SharedProfiles, metrics: Client) -> Self {
        Self { listing, shared, metrics }
    }

    /// Lists all profiles and stores the list. Then publishes the age of the stored list, also if the listing failed.
    ///
    /// # Errors
    /// `LedgerUnavailable` if the profiles cannot be listed, or the list cannot be stored. The next run tries again.
    pub async fn run(&self, clock: impl Fn() -> DateTime<Utc>) -> Result<Report, Failure> {
        let begun = clock();
        let renewed = self.renew(begun).await;
        let as_of = if renewed.is_ok() { Some(begun) } else { self.stored_as_of().await };
        if let Some(as_of) = as_of {
            self.publish(as_of, clock()).await;
        }
        renewed
    }

    async fn renew(&self, now: DateTime<Utc>) -> Result<Report, Failure> {
        let failed = |error: &dyn std::error::Error| Failure::caused(ErrorCode::LedgerUnavailable, error);
        let profiles = self.listing.tagged().await.map_err(|error| failed(&error))?;
        self.shared.store(&profiles, now).await.map_err(|error| failed(&error))?;
        Ok(Report { profiles: profiles.len() })
    }

    async fn stored_as_of(&self) -> Option<DateTime<Utc>> {
        match self.shared.read().await {
            Ok(stored) => stored.map(|stored| stored.as_of),
            Err(problem) => {
                error!(cause = cause(&problem), "the age of the list of inference profiles is not known");
                None
            }
        }
    }

    async fn publish(&self, as_of: DateTime<Utc>, now: DateTime<Utc>) {
        let age = (now - as_of).as_seconds_f64().max(0.0);
        let at = SdkDateTime::from_millis(now.timestamp_millis());
        let datum =
            MetricDatum::builder().metric_name(METRIC).timestamp(at).unit(StandardUnit::Seconds).value(age).build();
        let put = self.metrics.put_metric_data().namespace(METRIC_NAMESPACE).metric_data(datum).send().await;
        if let Err(problem) = put {
            error!(cause = cause(&problem), "the age of the list of inference profiles is not published");
        }
    }
}

#[cfg(test)]
mod tests;
