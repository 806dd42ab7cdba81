//! The ledger in memory decides a sequence of requests as the ledger in DynamoDB does.

use chrono::{DateTime, TimeDelta, Timelike, Utc};
use fastrand::Rng;
use sentry_domain::{Alert, Amount, Enforcement, Limits, Reaction, Remedy, Reservation, ScopeLimit};
use sentry_ledger::{Admission, Ask, Book, Choice, Earlier, Holder, Ledger, Preview, Used};

use crate::support::{HOLD, ask, ledger, limit, noon, sweep};

const SEQUENCES: u64 = 4;
const REQUESTS: u32 = 60;
const REMEDIES: [&[Remedy]; 4] = [&[], &[Remedy::Clamp], &[Remedy::Fallback], &[Remedy::Fallback, Remedy::Clamp]];

/// The items of one sequence.
struct Settings {
    model: ScopeLimit,
    fallback: ScopeLimit,
    hourly: ScopeLimit,
    in_flight: ScopeLimit,
}

impl Settings {
    fn of(rng: &mut Rng) -> Self {
        let enforce = if rng.u8(..4) == 0 { Enforcement::Observe } else { Enforcement::Deny };
        let remedies = REMEDIES[rng.usize(..REMEDIES.len())].to_vec();
        let shards = [1, 1, 3][rng.usize(..3)];
        let model =
            ScopeLimit { enforce, when_exceeded: remedies, ..limit("model#dear", rng.u64(1_500..3_000), shards) };
        let hourly = limit("costCenter#c", rng.u64(500..900), 1);
        let lowered = Limits { output: Some(rng.u64(200..500)), ..Limits::default() };
        let at_once = Limits { in_flight: Some(rng.u64(2..6)), ..Limits::default() };
        let mut in_flight = test_support::limit("application#a", at_once, 1);
        "inFlight".clone_into(&mut in_flight.window.key);
        in_flight.window.resets_at = None;
        Self {
            model,
            fallback: limit("model#cheap", rng.u64(500..1_500), 1),
            hourly: if rng.bool() { hourly.responding(rng.u8(30..90), Reaction::Set(lowered)) } else { hourly },
            in_flight,
        }
    }

    /// The limits at `now`, as the look-up finds them: the model's, and those of the tags.
    fn at(&self, now: DateTime<Utc>, model: &ScopeLimit) -> Vec<ScopeLimit> {
        let mut hourly = self.hourly.clone();
        in_hour(&mut hourly, now);
        if let Some(then) = hourly.respond.as_mut().and_then(|response| response.then.as_mut()) {
            in_hour(then, now);
        }
        vec![model.clone(), self.in_flight.clone(), hourly]
    }
}

fn in_hour(limit: &mut ScopeLimit, now: DateTime<Utc>) {
    let start = now.with_minute(0).unwrap().with_second(0).unwrap();
    limit.window.key = start.to_rfc3339();
    limit.window.start = start;
    limit.window.resets_at = Some(start + TimeDelta::hours(1));
}

/// The decision as the client notices it, without the places of the holds.
fn told(admission: &Admission, choice: Choice) -> String {
    match admission {
        Admission::Approved { reservation, would_deny } => {
            format!("{choice:?} {} {:?} {would_deny:?}", reservation.max_tokens, reservation.hold)
        }
        // The other figures can differ: those of a scope with shards that did not deny count leases as held.
        Admission::Denied { shortage, .. } => format!("{shortage:?}"),
        // A book does not keep the text about the usage.
        Admission::Duplicate(earlier) => format!("{:?}", matches!(earlier, Earlier::Settled { .. })),
    }
}

async fn mark(ledger: &Ledger, alerts: &[Alert], now: DateTime<Utc>) {
    for alert in alerts {
        ledger.claim_alert(alert, now, now + TimeDelta::minutes(1)).await.unwrap();
        ledger.alert_is_sent(alert).await.unwrap();
    }
}

/// Ends a request in both ledgers. The reservations differ in the shards, which a book does not have. The alerts of the real one are marked, as `Emit Metrics` does.
async fn end(ledger: &Ledger, book: &mut Book, rng: &mut Rng, pair: &(Reservation, Reservation), now: DateTime<Utc>) {
    let (held, foreseen) = pair;
    let used = Amount { output: rng.u64(0..=held.hold.output), requests: 1, ..Amount::ZERO };
    let (used, nothing) = match rng.u8(..10) {
        0 => (None, true),
        1 => (None, false),
        _ => (Some(used), false),
    };
    let told = used.map(|amount| Used { amount, told: "7".to_owned() });
    let settled = ledger.end(held, told, nothing, now).await.unwrap();
    mark(ledger, &settled.alerts, now).await;
    book.settle(foreseen, used.or(nothing.then_some(Amount::ZERO)), now);
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn a_ledger_in_memory_decides_as_the_one_in_dynamodb() {
    let (mut denied, mut degraded, mut duplicates) = (0, 0, 0);
    for seed in 0..SEQUENCES {
        let mut rng = Rng::with_seed(seed);
        let (ledger, mut book, settings) = (ledger().await, Book::default(), Settings::of(&mut rng));
        let (mut now, mut held) = (noon(), Vec::new());
        for number in 0..REQUESTS {
            now += TimeDelta::seconds(rng.i64(0..180));
            // The sweep settles expired holds every minute. A request that finds one before the sweep settles it itself,
            // but judges by the limits before that.
            mark(&ledger, &sweep(&ledger, now).await.alerts, now).await;
            // One in twelve has the id of an earlier request.
            let id = if rng.u8(..12) == 0 { rng.u32(..=number) } else { number };
            let (id, run) = (format!("r{id}"), format!("arn:execution:{number}"));
            let holder = Holder { request_id: &id, execution_id: &run };
            let size = rng.u32(20..200);
            let (wanted, instead) = (settings.at(now, &settings.model), settings.at(now, &settings.fallback));
            let wanted = Ask { given: rng.bool(), ..ask(&wanted, size) };
            let fallback = ask(&instead, size);
            let fallback = rng.bool().then_some(&fallback);
            let Preview { admission, choice, .. } = book.preview(holder, &wanted, fallback, now, HOLD);
            let really = ledger.reserve_either(holder, &wanted, fallback, None, now, HOLD).await.unwrap();
            assert_eq!(told(&admission, choice), told(&really.0, really.1), "seed {seed}, request {number}");
            match (admission, really.0) {
                (Admission::Approved { reservation: foreseen, .. }, Admission::Approved { reservation, .. }) => {
                    degraded += u32::from(choice == Choice::Fallback || reservation.max_tokens < size);
                    book.take(&foreseen);
                    held.push((reservation, foreseen));
                }
                (Admission::Duplicate(_), _) => duplicates += 1,
                _ => denied += 1,
            }
            while !held.is_empty() && rng.u8(..3) > 0 {
                let pair = held.swap_remove(rng.usize(..held.len()));
                end(&ledger, &mut book, &mut rng, &pair, now).await;
            }
        }
    }
    assert!(
        denied > 20 && degraded > 10 && duplicates > 5,
        "{denied} denied, {degraded} degraded, {duplicates} duplicates"
    );
}
