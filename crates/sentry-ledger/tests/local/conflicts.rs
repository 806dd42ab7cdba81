//! With conflicts, throttling and lost answers, a hold is still taken once and settled once, and as many requests are
//! admitted as fit.

use std::sync::Arc;

use fastrand::Rng;
use sentry_domain::{Reservation, ScopeLimit};
use sentry_ledger::{Admission, Choice, Holder, Ledger, LedgerError, ScopesAhead};
use tokio::sync::Semaphore;

use crate::faults::{Fault, Plan, faulty};
use crate::support::{HOLD, ask, client, figures_of, limit, noon, output, tables};

const TOKENS: u32 = 10;
const CAPACITY: usize = 20;
const ARRIVALS: usize = 200;
/// The state machine calls the function this many times in the same execution.
const ATTEMPTS: usize = 3;
/// The queue then delivers the settlement or the cancellation again, and the client sends the request again.
const ROUNDS: usize = 10;

async fn reserve(ledger: &Ledger, limits: &[ScopeLimit], id: &str) -> Result<Admission, LedgerError> {
    held_by(ledger, limits, Holder { request_id: id, execution_id: &format!("arn:execution:{id}") }).await
}

async fn held_by(ledger: &Ledger, limits: &[ScopeLimit], holder: Holder<'_>) -> Result<Admission, LedgerError> {
    let mut last = None;
    for _ in 0..ATTEMPTS {
        match ledger.reserve(holder, &ask(limits, TOKENS), noon(), HOLD).await {
            Ok(admission) => return Ok(admission),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap())
}

/// Sends a request again, each time in a new execution, until it is approved or denied. An execution that ends without
/// an answer is canceled first.
async fn answered(ledger: &Ledger, limits: &[ScopeLimit], id: &str) -> Admission {
    for round in 0..ROUNDS {
        let holder = Holder { request_id: id, execution_id: &format!("arn:execution:{id}:{round}") };
        match held_by(ledger, limits, holder).await {
            Ok(admission) => return admission,
            Err(_) => cancel(ledger, limits, holder).await,
        }
    }
    panic!("no answer in {ROUNDS} rounds")
}

async fn cancel(ledger: &Ledger, limits: &[ScopeLimit], holder: Holder<'_>) {
    let limits: Vec<&ScopeLimit> = limits.iter().collect();
    for round in 1..=ROUNDS {
        match ledger.cancel(holder, &limits, noon()).await {
            Ok(()) => return,
            Err(error) => assert!(round < ROUNDS, "{error}"),
        }
    }
}

async fn settle(ledger: &Ledger, reservation: &Reservation, tokens: u64) {
    for round in 1..=ROUNDS {
        match ledger.settle(reservation, Some(output(tokens)), noon()).await {
            Ok(_) => return,
            Err(error) => assert!(round < ROUNDS, "{error}"),
        }
    }
}

fn scopes(count: usize) -> Vec<ScopeLimit> {
    ["model#m", "application#a", "costCenter#c"].iter().take(count).map(|scope| limit(scope, 1_000, 1)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn whatever_fails_a_hold_is_taken_once_and_settled_once() {
    let cases = [
        (1, "UpdateItem", Fault::Conflict, 5),
        (1, "UpdateItem", Fault::Throttled, 2),
        (1, "UpdateItem", Fault::Lost, 1),
        (1, "UpdateItem", Fault::Lost, 2),
        (1, "PutItem", Fault::Lost, 1),
        (1, "PutItem", Fault::Throttled, 2),
        (3, "TransactWriteItems", Fault::Conflict, 5),
        (3, "TransactWriteItems", Fault::Throttled, 5),
        (3, "TransactWriteItems", Fault::InProgress, 5),
        (3, "TransactWriteItems", Fault::Lost, 1),
        (3, "TransactWriteItems", Fault::Lost, 2),
        (3, "BatchGetItem", Fault::Throttled, 2),
        (3, "UpdateItem", Fault::Conflict, 5),
        (3, "UpdateItem", Fault::Lost, 2),
    ];
    for (count, operation, fault, times) in cases {
        let (client, plan) = faulty(Plan::Next { operation, fault, times }).await;
        let (table, requests) = tables(&client).await;
        let plain = Ledger::new(self::client().await, table.clone(), requests.clone());
        let (ledger, limits) = (Ledger::new(client, table, requests), scopes(count));
        let case = format!("{count} scopes, {operation}, {fault:?} {times} times");
        let Admission::Approved { reservation, .. } = reserve(&ledger, &limits, "a").await.unwrap() else {
            panic!("{case}")
        };
        // Conflicts may have spread a scope. Its figures are the sums over all its items.
        for limit in &limits {
            assert_eq!(figures_of(&plain, limit).await, (0, TOKENS.into()), "{case}");
        }
        *plan.lock().unwrap() = Plan::Next { operation, fault, times };
        settle(&ledger, &reservation, 4).await;
        for limit in &limits {
            assert_eq!(figures_of(&plain, limit).await, (4, 0), "{case}");
        }
    }
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn scopes_that_were_read_ahead_are_not_read_again() {
    let plain = client().await;
    let (table, requests) = tables(&plain).await;
    let (ledger, limits) = (Ledger::new(plain.clone(), table.clone(), requests.clone()), scopes(1));
    let Admission::Approved { reservation, .. } = reserve(&ledger, &limits, "a").await.unwrap() else { panic!() };
    let keys = ScopesAhead::keys_of(&reservation);
    let call = plain.batch_get_item().request_items(&table, ScopesAhead::wanted(&keys).unwrap());
    let found = call.send().await.unwrap().responses.unwrap().remove(&table).unwrap();
    let ahead = ScopesAhead::new(keys, &found);
    let (client, plan) = faulty(Plan::Next { operation: "GetItem", fault: Fault::Throttled, times: 1 }).await;
    let ledger = Ledger::new(client, table, requests);
    for (id, ahead, reads) in [("b", Some(&ahead), false), ("c", None, true)] {
        let holder = Holder { request_id: id, execution_id: id };
        let reserved = ledger.reserve_either(holder, &ask(&limits, TOKENS), None, ahead, noon(), HOLD).await.unwrap();
        assert!(matches!(reserved, (Admission::Approved { .. }, Choice::Wanted)), "{reserved:?}");
        assert_eq!(matches!(*plan.lock().unwrap(), Plan::Next { times: 0, .. }), reads);
    }
}

/// Sends requests at once while `share` of a hundred calls fail. Returns the reservations of the admitted requests,
/// the ledger with faults, and the ledger without faults.
async fn at_once(limits: &[ScopeLimit], share: u32, seed: u64) -> (Vec<Reservation>, Ledger, Ledger) {
    let plain = client().await;
    let (table, requests) = tables(&plain).await;
    let (client, _) = faulty(Plan::Some(share, Rng::with_seed(seed))).await;
    let ledger = Ledger::new(client, table.clone(), requests.clone());
    let permits = Arc::new(Semaphore::new(32));
    let tasks: Vec<_> = (0..ARRIVALS)
        .map(|number| {
            let (ledger, limits, permits) = (ledger.clone(), limits.to_vec(), Arc::clone(&permits));
            tokio::spawn(async move {
                let _permit = permits.acquire().await.unwrap();
                answered(&ledger, &limits, &format!("r{number}")).await
            })
        })
        .collect();
    let mut admitted = Vec::new();
    for task in tasks {
        match task.await.unwrap() {
            Admission::Approved { reservation, .. } => admitted.push(reservation),
            Admission::Denied { .. } => {}
            Admission::Duplicate(_) => panic!("a request is no duplicate of itself"),
        }
    }
    (admitted, ledger, Ledger::new(plain, table, requests))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn as_many_are_admitted_as_fit_whatever_fails() {
    let tight = u64::try_from(CAPACITY).unwrap() * u64::from(TOKENS);
    let mut nested = scopes(3);
    nested[1] = limit("application#a", tight, 1);
    let cases = [
        ("one scope", vec![limit("model#m", tight, 1)]),
        ("three scopes", nested),
        ("one scope in 4 shards", vec![limit("model#m", tight, 4)]),
    ];
    println!("\ncapacity for {CAPACITY}, {ARRIVALS} requests at once, one call in five fails\n");
    for (name, limits) in cases {
        let (admitted, faulty, plain) = at_once(&limits, 20, 20_261_121).await;
        assert_eq!(admitted.len(), CAPACITY, "{name}");
        for reservation in &admitted {
            settle(&faulty, reservation, 7).await;
        }
        let mut after = Vec::new();
        for limit in &limits {
            after.push(figures_of(&plain, limit).await);
        }
        println!("{name}: {} admitted, used and held {after:?}", admitted.len());
        assert!(after.iter().all(|figures| *figures == (7 * 20, 0)));
    }
}
