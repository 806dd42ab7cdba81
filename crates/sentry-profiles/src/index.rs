//! The newest snapshot that an execution environment has.

use std::future::Future;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, timeout};
use tracing::warn;

use crate::directory::{Listing, SweepError};
use crate::shared::{SharedError, SharedProfiles, Stored};
use crate::snapshot::{Snapshot, TaggedProfile};

/// Time after which an environment reads the stored list again.
const TIME_TO_LIVE: TimeDelta = TimeDelta::seconds(15);
/// Time after a failed read without another one.
const RETRY_AFTER: TimeDelta = TimeDelta::seconds(1);
/// Age at which a list is not used any more.
const OLDEST: TimeDelta = TimeDelta::hours(1);
/// Time that a request waits for the first list. The function has three seconds.
const PATIENCE: Duration = Duration::from_millis(2_000);
/// Additional time for which the environment that makes the first list keeps the others from doing so.
const CLAIM_BEYOND_PATIENCE: Duration = Duration::from_secs(3);
/// The pause between two reads while another environment makes the first list.
const PAUSE: Duration = Duration::from_millis(100);

/// The profiles are not known, and there is no list that is young enough.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the inference profiles are not known")]
pub struct Unavailable(#[source] Arc<Cause>);

#[derive(Debug, thiserror::Error)]
enum Cause {
    #[error(transparent)]
    Shared(#[from] SharedError),
    #[error(transparent)]
    Sweep(#[from] SweepError),
    #[error("the first list takes longer than {} ms", .0.as_millis())]
    Slow(Duration),
}

/// Lists all profiles. [`Listing`] is the source in AWS.
pub trait Source: Sync {
    /// All profiles of one model that have a tag of [`KEYS`](crate::KEYS).
    fn sweep(&self) -> impl Future<Output = Result<Vec<TaggedProfile>, SweepError>> + Send;
}

impl Source for Listing {
    async fn sweep(&self) -> Result<Vec<TaggedProfile>, SweepError> {
        self.tagged().await
    }
}

/// The stored list of all environments. [`SharedProfiles`] is the one in DynamoDB.
pub trait Store: Sync {
    /// Reads the list, as [`SharedProfiles::read`] does.
    fn read(&self) -> impl Future<Output = Result<Option<Stored>, SharedError>> + Send;
    /// Claims the making of a new list, as [`SharedProfiles::claim`] does.
    fn claim(
        &self,
        now: DateTime<Utc>,
        duration: TimeDelta,
        oldest: DateTime<Utc>,
    ) -> impl Future<Output = Result<bool, SharedError>> + Send;
    /// Stores a new list, as [`SharedProfiles::store`] does.
    fn store(
        &self,
        profiles: &[TaggedProfile],
        as_of: DateTime<Utc>,
    ) -> impl Future<Output = Result<(), SharedError>> + Send;
}

impl Store for SharedProfiles {
    async fn read(&self) -> Result<Option<Stored>, SharedError> {
        self.read().await
    }

    async fn claim(&self, now: DateTime<Utc>, duration: TimeDelta, oldest: DateTime<Utc>) -> Result<bool, SharedError> {
        self.claim(now, duration, oldest).await
    }

    async fn store(&self, profiles: &[TaggedProfile], as_of: DateTime<Utc>) -> Result<(), SharedError> {
        self.store(profiles, as_of).await
    }
}

/// The newest snapshot, and the time of the last attempt to renew it.
#[derive(Debug, Default)]
struct Held {
    newest: Option<(Arc<Snapshot>, DateTime<Utc>)>,
    tried: Option<(DateTime<Utc>, Option<Unavailable>)>,
}

/// The profiles by model and tags, for requests. One caller at a time renews the snapshot, while the others use the one
/// before.
#[derive(Debug)]
pub struct ProfileIndex<S = SharedProfiles, D = Listing> {
    store: S,
    source: D,
    patience: Duration,
    held: RwLock<Held>,
    renewal: Mutex<()>,
}

impl<S: Store, D: Source> ProfileIndex<S, D> {
    /// An index that has no snapshot yet. It reads the list in `store`. If there is none, it makes the first one from
    /// `source`.
    #[must_use]
    pub fn new(store: S, source: D) -> Self {
        Self { store, source, patience: PATIENCE, held: RwLock::default(), renewal: Mutex::default() }
    }

    /// The same index, but a caller waits for the first list for `patience` instead of two seconds.
    #[must_use]
    pub fn waiting(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The snapshot at `now`. It is at most an hour old.
    ///
    /// # Errors
    /// [`Unavailable`] if there is no such snapshot, and the list can be neither read nor made.
    pub async fn snapshot(&self, now: DateTime<Utc>) -> Result<Arc<Snapshot>, Unavailable> {
        let _renewal = match self.held(now) {
            (Some(snapshot), true) => return Ok(snapshot),
            (Some(snapshot), false) => match self.renewal.try_lock() {
                Ok(guard) => guard,
                Err(_) => return Ok(snapshot),
            },
            (None, _) => self.renewal.lock().await,
        };
        // Another caller may have renewed it before this one had the lock.
        if let (Some(snapshot), true) = self.held(now) {
            return Ok(snapshot);
        }
        if let Some(failure) = self.last_failure(now) {
            return self.held(now).0.ok_or(failure);
        }
        match self.load(now).await {
            Ok(Stored { profiles, as_of }) => {
                let snapshot = Arc::new(Snapshot::new(profiles));
                let newest = Some((Arc::clone(&snapshot), as_of));
                *self.held.write().unwrap_or_else(PoisonError::into_inner) = Held { newest, tried: Some((now, None)) };
                Ok(snapshot)
            }
            Err(cause) => {
                let failure = Unavailable(Arc::new(cause));
                self.held.write().unwrap_or_else(PoisonError::into_inner).tried = Some((now, Some(failure.clone())));
                self.held(now).0.ok_or(failure)
            }
        }
    }

    /// The snapshot that can be used at `now`, and `true` if it need not be renewed.
    fn held(&self, now: DateTime<Utc>) -> (Option<Arc<Snapshot>>, bool) {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let young = held.newest.as_ref().filter(|(_, as_of)| now - *as_of < OLDEST);
        let fresh = held.tried.as_ref().is_some_and(|(at, failure)| failure.is_none() && now - *at < TIME_TO_LIVE);
        (young.map(|(snapshot, _)| Arc::clone(snapshot)), fresh)
    }

    fn last_failure(&self, now: DateTime<Utc>) -> Option<Unavailable> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        let (at, failure) = held.tried.as_ref()?;
        failure.clone().filter(|_| now - *at < RETRY_AFTER)
    }

    async fn load(&self, now: DateTime<Utc>) -> Result<Stored, Cause> {
        let usable = |stored: &Stored| now - stored.as_of < OLDEST;
        match self.store.read().await?.filter(usable) {
            Some(stored) => Ok(stored),
            None => timeout(self.patience, self.first(now)).await.unwrap_or(Err(Cause::Slow(self.patience))),
        }
    }

    /// Makes the first list, or waits for the environment that makes it.
    async fn first(&self, now: DateTime<Utc>) -> Result<Stored, Cause> {
        let begun = Instant::now();
        let claim = TimeDelta::from_std(self.patience + CLAIM_BEYOND_PATIENCE).unwrap_or(OLDEST);
        loop {
            let at = now + begun.elapsed();
            if self.store.claim(at, claim, at - OLDEST).await? {
                let profiles = self.source.sweep().await?;
                if let Err(error) = self.store.store(&profiles, at).await {
                    warn!(cause = %error, "the list of inference profiles is used, but it cannot be stored for others");
                }
                return Ok(Stored { profiles, as_of: at });
            }
            sleep(PAUSE).await;
            if let Some(stored) = self.store.read().await?.filter(|stored| at - stored.as_of < OLDEST) {
                return Ok(stored);
            }
        }
    }
}

#[cfg(test)]
mod tests;
