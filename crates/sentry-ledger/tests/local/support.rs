//! Tables for each test, limits, and many requests at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{GlobalSecondaryIndex, Projection, ProjectionType, ScalarAttributeType};
use chrono::{DateTime, TimeDelta, Utc};
use sentry_domain::{Amount, Charges, Limits, Reservation, ScopeLimit};
use sentry_ledger::{Admission, Ask, Budget, Holder, Ledger, Swept};
use test_support::at;
use test_support::local::{attribute, create_table, key_schema};
use tokio::sync::Semaphore;

pub use test_support::local::client;

pub const HOLD: TimeDelta = TimeDelta::seconds(360);
/// The most connections to the local AWS at a time. Further requests wait in the client.
const CONNECTIONS: usize = 64;
static NEXT: AtomicUsize = AtomicUsize::new(0);

/// A ledger in new tables.
pub async fn ledger() -> Ledger {
    let client = client().await;
    let (table, requests) = tables(&client).await;
    Ledger::new(client, table, requests)
}

/// Creates new tables for a ledger and its requests.
pub async fn tables(client: &Client) -> (String, String) {
    let projection = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
    let index = GlobalSecondaryIndex::builder()
        .index_name("SweepIndex")
        .set_key_schema(Some(key_schema(&["sweep", "sweepAtMs"])))
        .projection(projection)
        .build()
        .unwrap();
    let table = create_table(client, "ledger", &["scope", "window"], |call| {
        call.attribute_definitions(attribute("sweep", ScalarAttributeType::S))
            .attribute_definitions(attribute("sweepAtMs", ScalarAttributeType::N))
            .global_secondary_indexes(index)
    });
    (table.await, create_table(client, "requests", &["requestId"], |call| call).await)
}

/// A limit on output tokens in November 2026.
pub fn limit(scope: &str, output: u64, shards: u16) -> ScopeLimit {
    test_support::limit(scope, Limits { output: Some(output), ..Limits::default() }, shards)
}

/// The fixed time of the tests.
pub fn noon() -> DateTime<Utc> {
    at("2026-11-21T12:00:00Z")
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
