//! Many environments that know no profile yet, with the SDK's clients: the ledger table of the local AWS, and the profiles
//! of the simulator. `cargo xtask test` starts the local AWS and sets `SENTRY_TEST_ENDPOINT`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "tests")]

use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::{Duration, Instant};

use aws_sdk_bedrock::config::{Credentials, Region};
use aws_sdk_bedrock::types::{InferenceProfileModelSource, Tag};
use bedrock_sim::Options;
use chrono::Utc;
use futures_util::future::join_all;
use sentry_profiles::{Directory, ProfileIndex, SharedProfiles, Source, SweepError, TaggedProfile};
use test_support::local::{client, create_table};

const MODEL: &str = "us.amazon.nova-lite-v1:0";
const PROFILES: usize = 1_000;
const ENVIRONMENTS: usize = 64;
const LOOK_UPS: usize = 10_000;
/// The longest duration of a call, and of the first list. The machine may be busy.
const LONGEST: Duration = Duration::from_secs(60);

/// A directory that counts its sweeps.
#[derive(Clone, Debug)]
struct Counted {
    directory: Directory,
    sweeps: Arc<AtomicUsize>,
}

impl Source for Counted {
    async fn sweep(&self) -> Result<Vec<TaggedProfile>, SweepError> {
        self.sweeps.fetch_add(1, SeqCst);
        self.directory.tagged().await
    }
}

/// Starts a simulator. Returns clients of its two services.
async fn simulator() -> (aws_sdk_bedrock::Client, aws_sdk_resourcegroupstagging::Client) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    tokio::spawn(bedrock_sim::run(Options {
        port,
        base_latency_ms: 0,
        latency_ms_per_token: 0,
        cloudwatch_endpoint: None,
        metrics_delay_seconds: 0,
        openai_endpoint: None,
        openai_model: None,
        accept_any_profile: false,
        record: 0,
        now: None,
        region: "us-east-1".to_owned(),
    }));
    let (url, shared) = (format!("http://127.0.0.1:{port}"), sentry_lambda::aws_config(LONGEST, LONGEST).await);
    let (region, keys) = (Region::new("us-east-1"), Credentials::new("test", "test", None, None, "tests"));
    // The URL is set on the services, because variables of the environment would replace that of the shared configuration.
    let bedrock = aws_sdk_bedrock::config::Builder::from(&shared)
        .endpoint_url(&url)
        .region(region.clone())
        .credentials_provider(keys.clone());
    let tagging = aws_sdk_resourcegroupstagging::config::Builder::from(&shared)
        .endpoint_url(&url)
        .region(region)
        .credentials_provider(keys);
    (
        aws_sdk_bedrock::Client::from_conf(bedrock.build()),
        aws_sdk_resourcegroupstagging::Client::from_conf(tagging.build()),
    )
}

fn center(number: usize) -> String {
    format!("center-{number}")
}

/// Creates a profile of [`MODEL`] for the cost center `number`. Returns its ARN.
async fn create(bedrock: &aws_sdk_bedrock::Client, number: usize) -> String {
    let source = format!("arn:aws:bedrock:us-east-1:000000000000:inference-profile/{MODEL}");
    let call = bedrock.create_inference_profile().inference_profile_name(format!("profile-{number}"));
    let call = call.model_source(InferenceProfileModelSource::CopyFrom(source));
    let tag = Tag::builder().key("costCenter").value(center(number)).build().unwrap();
    call.tags(tag).send().await.unwrap().inference_profile_arn
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn cold_environments_at_once_make_one_sweep_of_1000_profiles() {
    let (bedrock, tagging) = simulator().await;
    // The server answers when it has started.
    while bedrock.list_inference_profiles().send().await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let mut arns = Vec::new();
    for number in 0..PROFILES {
        arns.push(create(&bedrock, number).await);
    }
    let dynamodb = client().await;
    let table = create_table(&dynamodb, "ledger", &["scope", "window"], |call| call).await;
    let sweeps = Arc::new(AtomicUsize::new(0));
    let environment = || {
        let directory = Directory::new(bedrock.clone(), tagging.clone());
        let source = Counted { directory, sweeps: Arc::clone(&sweeps) };
        ProfileIndex::new(SharedProfiles::new(dynamodb.clone(), table.clone()), source).waiting(LONGEST)
    };
    let environments: Vec<_> = (0..ENVIRONMENTS).map(|_| environment()).collect();
    let now = Utc::now();
    let snapshots = join_all(environments.iter().map(|index| index.snapshot(now))).await;
    for (number, snapshot) in snapshots.iter().enumerate() {
        let number = number * PROFILES / ENVIRONMENTS;
        let found = snapshot.as_ref().unwrap().find(MODEL, [Some("shop"), Some(&center(number)), None]).unwrap();
        assert_eq!(found.map(|profile| &profile.arn), arns.get(number));
    }
    assert_eq!(sweeps.load(SeqCst), 1);

    let index = environment();
    index.snapshot(now).await.unwrap();
    let mut micros = Vec::new();
    for number in 0..LOOK_UPS {
        let center = center(number % PROFILES);
        let since = Instant::now();
        let snapshot = index.snapshot(now).await.unwrap();
        let found = snapshot.find(MODEL, [Some("shop"), Some(&center), Some("prod")]).unwrap();
        micros.push(since.elapsed().as_micros());
        assert_eq!(found.map(|profile| &profile.arn), arns.get(number % PROFILES));
    }
    micros.sort_unstable();
    // A figure that depends on the machine, so the test does not fail on it.
    println!("warm look-up: p50 {} µs, p99 {} µs", micros[LOOK_UPS / 2], micros[LOOK_UPS * 99 / 100]);
    assert_eq!(sweeps.load(SeqCst), 1);
}
