//! Tables of a test's own, limits, and many requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::config::{Credentials, Region};
use aws_sdk_dynamodb::types::{AttributeDefinition, BillingMode, KeySchemaElement, KeyType, ScalarAttributeType};
use chrono::{DateTime, TimeDelta, Utc};
use sentry_contract::states::{LimitWindow, Reservation, ScopeLimit};
use sentry_domain::{Amount, Limits};
use sentry_ledger::{Admission, Ask, Holder, Ledger};
use tokio::sync::Semaphore;

pub const HOLD: TimeDelta = TimeDelta::seconds(360);
/// Connections that the local AWS serves at a time; more wait in the client.
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

/// A ledger in tables of its own.
pub async fn ledger() -> Ledger {
    let client = client().await;
    let (table, requests) = tables(&client).await;
    Ledger::new(client, table, requests)
}

/// New tables for a ledger and its requests.
pub async fn tables(client: &Client) -> (String, String) {
    let unique = format!("{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let (table, requests) = (format!("ledger-{unique}"), format!("requests-{unique}"));
    create(client, &table, &[("scope", KeyType::Hash), ("window", KeyType::Range)]).await;
    create(client, &requests, &[("requestId", KeyType::Hash)]).await;
    (table, requests)
}

async fn create(client: &Client, table: &str, keys: &[(&str, KeyType)]) {
    let mut call = client.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
    for (name, kind) in keys {
        let kind = kind.clone();
        call = call
            .key_schema(KeySchemaElement::builder().attribute_name(*name).key_type(kind).build().unwrap())
            .attribute_definitions(
                AttributeDefinition::builder()
                    .attribute_name(*name)
                    .attribute_type(ScalarAttributeType::S)
                    .build()
                    .unwrap(),
            );
    }
    call.send().await.unwrap();
}

/// A limit on output tokens in this month.
pub fn limit(scope: &str, output: u64, shards: u8) -> ScopeLimit {
    let window = LimitWindow {
        name: "2026-11".into(),
        key: "2026-11".into(),
        start: "2026-11-01T00:00:00Z".parse().unwrap(),
        resets_at: "2026-12-01T00:00:00Z".parse().unwrap(),
    };
    let limits = Limits { output: Some(output), ..Limits::default() };
    ScopeLimit {
        scope: scope.into(),
        source: "model".into(),
        item: scope.into(),
        window,
        limits,
        alert_at: vec![],
        shards,
        when_exceeded: vec![],
    }
}

/// A fixed clock.
pub fn noon() -> DateTime<Utc> {
    "2026-11-21T12:00:00Z".parse().unwrap()
}

/// A request for `max_tokens` of output that the client insists on.
pub fn ask(limits: &[ScopeLimit], max_tokens: u32) -> Ask<'_> {
    Ask { input_tokens: 10, max_tokens, given: true, has_fallback: false, price: None, limits, seen: Amount::ZERO }
}

/// `count` requests at once; what became of each.
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
        .filter_map(|each| if let Admission::Approved(reservation) = each { Some(reservation) } else { None })
        .collect()
}

/// An amount of output tokens.
pub fn output(output: u64) -> Amount {
    Amount { output, ..Amount::ZERO }
}
