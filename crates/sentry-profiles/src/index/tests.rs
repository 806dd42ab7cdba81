//! Tests of the index with a store and a source in memory.

use std::sync::Mutex as StdMutex;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use aws_sdk_resourcegroupstagging::error::{ErrorMetadata, SdkError};
use aws_sdk_resourcegroupstagging::operation::get_resources::GetResourcesError;
use test_support::at;

use super::*;

const MODEL: &str = "amazon.nova-lite-v1:0";

fn profile(center: &str) -> TaggedProfile {
    let values = [None, Some(center.to_owned()), None];
    TaggedProfile { arn: format!("arn-of-{center}"), model: MODEL.to_owned(), values }
}

fn start() -> DateTime<Utc> {
    at("2026-11-27T12:00:00Z")
}

/// A store and a source that many indexes share, as environments share them.
#[derive(Clone, Default)]
struct Aws(Arc<Inner>);

#[derive(Default)]
struct Inner {
    stored: StdMutex<Option<Stored>>,
    claimed_until: StdMutex<Option<DateTime<Utc>>>,
    profiles: StdMutex<Vec<TaggedProfile>>,
    sweeps: AtomicUsize,
    reads: AtomicUsize,
    is_throttled: StdMutex<bool>,
    refuses_reads: StdMutex<bool>,
}

impl Source for Aws {
    async fn sweep(&self) -> Result<Vec<TaggedProfile>, SweepError> {
        self.0.sweeps.fetch_add(1, SeqCst);
        sleep(Duration::from_millis(300)).await;
        if *self.0.is_throttled.lock().unwrap() {
            let throttled = GetResourcesError::generic(ErrorMetadata::builder().code("ThrottledException").build());
            return Err(SweepError::Tags(Box::new(SdkError::construction_failure(throttled))));
        }
        Ok(self.0.profiles.lock().unwrap().clone())
    }
}

impl Store for Aws {
    async fn read(&self) -> Result<Option<Stored>, SharedError> {
        self.0.reads.fetch_add(1, SeqCst);
        tokio::task::yield_now().await;
        if *self.0.refuses_reads.lock().unwrap() {
            return Err(SharedError::Form(sentry_contract::sealed::Unsealable::Encoding));
        }
        Ok(self.0.stored.lock().unwrap().clone())
    }

    async fn claim(&self, now: DateTime<Utc>, duration: TimeDelta, oldest: DateTime<Utc>) -> Result<bool, SharedError> {
        let mut claimed = self.0.claimed_until.lock().unwrap();
        let is_old = self.0.stored.lock().unwrap().as_ref().is_none_or(|stored| stored.as_of <= oldest);
        let free = is_old && claimed.is_none_or(|until| until <= now);
        if free {
            *claimed = Some(now + duration);
        }
        Ok(free)
    }

    async fn store(&self, profiles: &[TaggedProfile], as_of: DateTime<Utc>) -> Result<(), SharedError> {
        *self.0.stored.lock().unwrap() = Some(Stored { profiles: profiles.to_vec(), as_of });
        *self.0.claimed_until.lock().unwrap() = None;
        Ok(())
    }
}

impl Aws {
    fn with(profiles: Vec<TaggedProfile>) -> Self {
        let aws = Self::default();
        *aws.0.profiles.lock().unwrap() = profiles;
        aws
    }

    fn index(&self) -> ProfileIndex<Self, Self> {
        ProfileIndex::new(self.clone(), self.clone())
    }

    /// Renews the list as the scheduled function does.
    async fn renew(&self, now: DateTime<Utc>) {
        let profiles = self.sweep().await.unwrap();
        self.store(&profiles, now).await.unwrap();
    }
}

async fn finds(index: &ProfileIndex<Aws, Aws>, center: &str, now: DateTime<Utc>) -> Result<bool, String> {
    let snapshot = index.snapshot(now).await.map_err(|error| error.0.to_string())?;
    Ok(snapshot.find(MODEL, [None, Some(center), None]).unwrap().is_some())
}

#[tokio::test(start_paused = true)]
async fn cold_look_ups_of_one_environment_and_of_many_make_one_sweep() {
    for environments in [1, 64] {
        let aws = Aws::with(vec![profile("sales")]);
        let indexes: Vec<_> = (0..environments).map(|_| aws.index()).collect();
        let look_ups = indexes.iter().cycle().take(64).map(|index| finds(index, "sales", start()));
        assert_eq!(futures_util::future::join_all(look_ups).await, vec![Ok(true); 64]);
        assert_eq!(aws.0.sweeps.load(SeqCst), 1, "{environments} environments");
    }
}

#[tokio::test(start_paused = true)]
async fn a_failed_first_sweep_is_not_repeated_by_every_caller() {
    let aws = Aws::with(vec![profile("sales")]);
    *aws.0.is_throttled.lock().unwrap() = true;
    let index = aws.index();
    let outcomes = futures_util::future::join_all((0..64).map(|_| finds(&index, "sales", start()))).await;
    assert!(
        outcomes.iter().all(|outcome| outcome == &Err("the tags of the inference profiles cannot be listed".into()))
    );
    assert_eq!(aws.0.sweeps.load(SeqCst), 1);
    *aws.0.is_throttled.lock().unwrap() = false;
    assert_eq!(finds(&index, "sales", start() + TimeDelta::seconds(6)).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn one_look_up_renews_while_the_others_use_the_snapshot_before() {
    let aws = Aws::with(vec![profile("sales")]);
    let index = aws.index();
    aws.renew(start()).await;
    assert_eq!(finds(&index, "sales", start()).await, Ok(true));
    let (reads, sweeps) = (aws.0.reads.load(SeqCst), aws.0.sweeps.load(SeqCst));
    let later = start() + TIME_TO_LIVE;
    let look_ups = (0..64).map(|_| finds(&index, "sales", later));
    assert_eq!(futures_util::future::join_all(look_ups).await, vec![Ok(true); 64]);
    assert_eq!((aws.0.reads.load(SeqCst) - reads, aws.0.sweeps.load(SeqCst) - sweeps), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_deleted_profile_is_gone_and_a_new_one_is_found_within_the_time_to_live() {
    let aws = Aws::with(vec![profile("sales")]);
    let index = aws.index();
    aws.renew(start()).await;
    assert_eq!(finds(&index, "sales", start()).await, Ok(true));
    *aws.0.profiles.lock().unwrap() = vec![profile("support")];
    aws.renew(start() + TimeDelta::seconds(1)).await;
    assert_eq!(finds(&index, "sales", start() + TIME_TO_LIVE - TimeDelta::milliseconds(1)).await, Ok(true));
    assert_eq!(finds(&index, "sales", start() + TIME_TO_LIVE).await, Ok(false));
    assert_eq!(finds(&index, "support", start() + TIME_TO_LIVE).await, Ok(true));
}

#[tokio::test(start_paused = true)]
async fn an_old_list_is_used_for_an_hour_while_aws_throttles_or_the_table_fails() {
    let aws = Aws::with(vec![profile("sales")]);
    let index = aws.index();
    aws.renew(start()).await;
    *aws.0.is_throttled.lock().unwrap() = true;
    for minute in 0..60 {
        *aws.0.refuses_reads.lock().unwrap() = minute % 2 == 1;
        assert_eq!(finds(&index, "sales", start() + TimeDelta::minutes(minute)).await, Ok(true), "{minute}");
    }
    *aws.0.refuses_reads.lock().unwrap() = false;
    assert!(finds(&index, "sales", start() + TimeDelta::minutes(60)).await.is_err());
}
