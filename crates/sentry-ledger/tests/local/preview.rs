//! A preview decides as the next reservation does, and writes nothing.

use fastrand::Rng;
use sentry_domain::{Enforcement, Remedy, ScopeLimit};
use sentry_ledger::{Admission, Ask, Holder, Ledger, Preview};
use test_support::local::client;

use crate::support::{HOLD, ask, limit, noon, output, tables};

const SEQUENCES: u64 = 12;
const REQUESTS: u32 = 25;
const REMEDIES: [&[Remedy]; 4] = [&[], &[Remedy::Clamp], &[Remedy::Fallback], &[Remedy::Fallback, Remedy::Clamp]];

/// Limits of a model and of a cost center, with everything that the decision depends on.
fn limits(rng: &mut Rng, model: &str) -> Vec<ScopeLimit> {
    let shards = [1, 1, 3][rng.usize(..3)];
    let enforce = if rng.u8(..5) == 0 { Enforcement::Observe } else { Enforcement::Deny };
    let words = REMEDIES[rng.usize(..REMEDIES.len())].to_vec();
    let own = ScopeLimit { enforce, when_exceeded: words, ..limit(model, rng.u64(100..800), shards) };
    vec![own, limit("costCenter#c", 900, 1)]
}

/// All items of both tables, in an order that does not depend on the read.
async fn everything(client: &aws_sdk_dynamodb::Client, names: &[&String]) -> Vec<String> {
    let mut items = Vec::new();
    for name in names {
        let scanned = client.scan().table_name(*name).consistent_read(true).send().await.unwrap();
        items.extend(scanned.items().iter().map(|item| {
            let mut fields: Vec<String> = item.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
            fields.sort();
            fields.join(" ")
        }));
    }
    items.sort();
    items
}

/// The part of a decision that a client notices. It does not have the places of the holds.
fn told(admission: &Admission) -> String {
    match admission {
        Admission::Approved { reservation, would_deny } => {
            let scopes: Vec<&str> = reservation.scopes.iter().map(|scope| scope.limit.scope.as_str()).collect();
            format!("{} {:?} {scopes:?} {would_deny:?}", reservation.max_tokens, reservation.hold)
        }
        Admission::Denied { shortage, budget, .. } => format!("{shortage:?} {budget:?}"),
        Admission::Duplicate(earlier) => format!("{earlier:?}"),
    }
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_preview_decides_as_the_next_reservation_and_writes_nothing() {
    let client = client().await;
    let mut denied = 0;
    for seed in 0..SEQUENCES {
        let mut rng = Rng::with_seed(seed);
        let (table, requests) = tables(&client).await;
        let ledger = Ledger::new(client.clone(), table.clone(), requests.clone());
        let (wanted, instead) = (limits(&mut rng, "model#dear"), limits(&mut rng, "model#cheap"));
        let mut held = Vec::new();
        for number in 0..REQUESTS {
            let (id, run) = (format!("r{number}"), format!("arn:execution:{number}"));
            let holder = Holder { request_id: &id, execution_id: &run };
            let size = rng.u32(20..200);
            let wanted = Ask { given: rng.bool(), ..ask(&wanted, size) };
            let fallback = ask(&instead, size);
            let fallback = rng.bool().then_some(&fallback);
            let before = everything(&client, &[&table, &requests]).await;
            let Preview { admission, choice, .. } =
                ledger.preview(holder, &wanted, fallback, noon(), HOLD).await.unwrap();
            assert_eq!(everything(&client, &[&table, &requests]).await, before, "seed {seed}, request {number}");
            let really = ledger.reserve_either(holder, &wanted, fallback, None, noon(), HOLD).await.unwrap();
            assert_eq!((told(&admission), choice), (told(&really.0), really.1), "seed {seed}, request {number}");
            match really.0 {
                Admission::Approved { reservation, .. } => held.push(reservation),
                _ => denied += 1,
            }
            if rng.u8(..3) == 0 && !held.is_empty() {
                let reservation = held.swap_remove(rng.usize(..held.len()));
                ledger.settle(&reservation, Some(output(rng.u64(..20))), noon()).await.unwrap();
            }
        }
        let first = Holder { request_id: "r0", execution_id: "arn:execution:other" };
        let again = ledger.preview(first, &ask(&wanted, 1), None, noon(), HOLD).await.unwrap();
        let really = ledger.reserve(first, &ask(&wanted, 1), noon(), HOLD).await.unwrap();
        assert_eq!(told(&again.admission), told(&really), "seed {seed}");
    }
    assert!(denied > 20, "only {denied} requests were denied");
}
