//! Tables for each test, limits, and many requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, Region};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType,
};
use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::states::{Enforcement, LimitWindow, Reservation, ScopeLimit};
use sentry_domain::{Amount, Charges, Limits};
use sentry_ledger::{Admission, Ask, Budget, Holder, Ledger, Swept};
use tokio::sync::Semaphore;

pub const HOLD: TimeDelta = TimeDelta::seconds(360);
/// The most connections to the local AWS at a time. Further requests wait in the client.
const CONNECTIONS: usize = 64;
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A client of the local AWS.
pub async fn client() -> Client {
    let endpoint = std::env::var("SENTRY_TEST_ENDPOINT").expect("SENTRY_TEST_ENDPOINT: cargo xtask test sets it");
    let long = std::time::Duration::from_secs(60);
    let shared = sentry_lambda::aws_config(long, long).await;
    let config = aws_sdk_dynamodb::config::Builder::from(&shared)
        .endpoint_url(endpoint)
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("test", "test", None, None, "tests"))
        .build();
    Client::from_conf(config)
}

/// A ledger in new tables.
pub async fn ledger() -> Ledger {
    let client = client().await;
    let (table, requests) = tables(&client).await;
    Ledger::new(client, table, requests)
}

/// Creates new tables for a ledger and its requests.
pub async fn tables(client: &Client) -> (String, String) {
    let unique = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let (table, requests) = (format!("ledger-{unique}"), format!("requests-{unique}"));
    create_ledger(client, &table).await;
    create(client, &requests, &[("requestId", KeyType::Hash)]).await;
    (table, requests)
}

async fn create(client: &Client, table: &str, keys: &[(&str, KeyType)]) {
    let call = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    let call = call.set_key_schema(Some(schema(keys)));
    let call =
        keys.iter().fold(call, |call, (name, _)| call.attribute_definitions(attribute(name, ScalarAttributeType::S)));
    call.send().await.unwrap();
}

/// Creates the ledger's table, with the index that the sweep reads.
async fn create_ledger(client: &Client, table: &str) {
    let projection = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
    let index = GlobalSecondaryIndex::builder()
        .index_name("SweepIndex")
        .set_key_schema(Some(schema(&[("sweep", KeyType::Hash), ("sweepAtMs", KeyType::Range)])))
        .projection(projection)
        .build()
        .unwrap();
    let call = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    let call = call.set_key_schema(Some(schema(&[("scope", KeyType::Hash), ("window", KeyType::Range)])));
    let texts = ["scope", "window", "sweep"].map(|name| attribute(name, ScalarAttributeType::S));
    let call = texts.into_iter().fold(call, |call, attribute| call.attribute_definitions(attribute));
    let call = call.attribute_definitions(attribute("sweepAtMs", ScalarAttributeType::N));
    call.global_secondary_indexes(index).send().await.unwrap();
}

fn schema(keys: &[(&str, KeyType)]) -> Vec<KeySchemaElement> {
    let element = |(name, kind): &(&str, KeyType)| {
        KeySchemaElement::builder().attribute_name(*name).key_type(kind.clone()).build().unwrap()
    };
    keys.iter().map(element).collect()
}

fn attribute(name: &str, kind: ScalarAttributeType) -> AttributeDefinition {
    AttributeDefinition::builder().attribute_name(name).attribute_type(kind).build().unwrap()
}

/// A limit on output tokens in November 2026.
pub fn limit(scope: &str, output: u64, shards: u16) -> ScopeLimit {
    let window = LimitWindow {
        name: "2026-11".into(),
        key: "2026-11".into(),
        start: "2026-11-01T00:00:00Z".parse().unwrap(),
        resets_at: "2026-12-01T00:00:00Z".parse().ok(),
    };
    let limits = Limits { output: Some(output), ..Limits::default() };
    ScopeLimit {
        scope: scope.into(),
        source: "model".into(),
        item: scope.into(),
        window,
        limits,
        per_request: Limits::default(),
        enforce: Enforcement::Deny,
        alert_at: vec![],
        shards,
        when_exceeded: vec![],
    }
}

/// The fixed time of the tests.
pub fn noon() -> DateTime<Utc> {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// A request for `max_tokens` output tokens that the client has given.
pub fn ask(limits: &[ScopeLimit], max_tokens: u32) -> Ask<'_> {
    let budgets = limits.iter().map(|limit| Budget { limit, seen: Amount::ZERO }).collect();
    Ask {
        input_tokens: 10,
        max_tokens,
        given: true,
        has_fallback: false,
        price: None,
        charges: Charges::default(),
        budgets,
    }
}

/// Sends `count` requests at once, and returns their results.
pub async fn at_once(ledger: &Ledger, limits: &[ScopeLimit], count: usize, max_tokens: u32) -> Vec<Admission> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS));
    let tasks = (0..count).map(|_| {
        let (ledger, limits, permits) = (ledger.clone(), limits.to_vec(), Arc::clone(&permits));
        tokio::spawn(async move {
            let _permit = permits.acquire().await.unwrap();
            let id = format!("r{}", NEXT.fetch_add(1, Ordering::Relaxed));
            let holder = Holder { request_id: &id, execution_id: &format!("arn:execution:{id}") };
            ledger.reserve(holder, &ask(&limits, max_tokens), noon(), HOLD).await.unwrap()
        })
    });
    let tasks: Vec<_> = tasks.collect();
    let mut admissions = Vec::with_capacity(count);
    for task in tasks {
        admissions.push(task.await.unwrap());
    }
    admissions
}

/// The reservations among `admissions`.
pub fn approved(admissions: &[Admission]) -> Vec<&Reservation> {
    admissions
        .iter()
        .filter_map(|each| if let Admission::Approved { reservation, .. } = each { Some(reservation) } else { None })
        .collect()
}

/// An amount of output tokens.
pub fn output(output: u64) -> Amount {
    Amount { output, ..Amount::ZERO }
}

/// The used and held output tokens of a scope over all its items, as a denial shows them.
pub async fn figures_of(ledger: &Ledger, limit: &ScopeLimit) -> (u64, u64) {
    let nobody = Holder { request_id: "nobody", execution_id: "nobody" };
    let limits = std::slice::from_ref(limit);
    let denied = ledger.reserve(nobody, &ask(limits, u32::MAX), noon(), HOLD).await.unwrap();
    let Admission::Denied { budget, .. } = denied else { panic!("{denied:?}") };
    let output = budget[0].output.unwrap();
    (output.used, output.reserved)
}

/// A sweep whose alerts are on their way at once.
pub async fn sweep(ledger: &Ledger, now: DateTime<Utc>) -> Swept {
    let swept = ledger.sweep(now).await.unwrap();
    assert_eq!(ledger.sweep_again_later(swept.clone(), now).await, 0);
    swept
}
