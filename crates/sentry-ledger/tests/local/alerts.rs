//! Alerts that are due after an expired hold, and their marks.

use chrono::{DateTime, TimeDelta, Utc};
use sentry_domain::{Alert, ScopeLimit};
use sentry_ledger::{Claim, Ledger};

use crate::support::{HOLD, approved, at_once, ledger, limit, noon, output, sweep};

fn watched(output: u64, shards: u16) -> ScopeLimit {
    ScopeLimit { alert_at: vec![50, 80, 100], ..limit("costCenter#c", output, shards) }
}

fn told(alerts: &[Alert]) -> Vec<(u8, &str)> {
    alerts.iter().map(|alert| (alert.threshold, alert.used.as_str())).collect()
}

/// Claims and marks alerts as the functions that publish alerts do. Returns the number of alerts that were published.
async fn publish(ledger: &Ledger, alerts: &[Alert], now: DateTime<Utc>) -> usize {
    let mut published = 0;
    for alert in alerts {
        if let Claim::Made(_) = ledger.claim_alert(alert, now, now + TimeDelta::seconds(120)).await.unwrap() {
            ledger.alert_is_sent(alert).await.unwrap();
            published += 1;
        }
    }
    published
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn an_expired_hold_tells_the_thresholds_that_it_reaches_once_though_no_request_comes() {
    for shards in [1, 4] {
        let (ledger, limits, ends) = (ledger().await, [watched(1_000, shards)], noon() + HOLD);
        // Sixteen requests that die hold 640 of 1,000. With shards, each shard has a few of the holds.
        assert_eq!(approved(&at_once(&ledger, &limits, 16, 40).await).len(), 16);
        let before = sweep(&ledger, ends - TimeDelta::milliseconds(1)).await;
        assert_eq!((before.settled, told(&before.alerts)), (0, vec![]), "{shards} shards");
        // A sweep that dies before the alert is on its way leaves the items due, so the next sweep finds the alert
        // again.
        let lost = ledger.sweep(ends).await.unwrap();
        assert_eq!((lost.settled, lost.failed, told(&lost.alerts)), (16, 0, vec![(50, "640")]), "{shards} shards");
        let again = sweep(&ledger, ends).await;
        assert_eq!((again.settled, &again.alerts), (0, &lost.alerts), "{shards} shards");
        assert_eq!(publish(&ledger, &lost.alerts, ends).await, 1);
        assert_eq!(publish(&ledger, &again.alerts, ends).await, 0);
        // Leases are given back, and the items stay due until they hold nothing.
        for minute in 1..5 {
            assert_eq!(
                told(&sweep(&ledger, ends + TimeDelta::minutes(minute)).await.alerts),
                vec![],
                "{shards} shards"
            );
        }
        assert_eq!(sweep(&ledger, ends + TimeDelta::hours(1)).await.items, 0, "{shards} shards");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn the_thresholds_that_count_are_those_of_the_last_request() {
    let (ledger, mut limits) = (ledger().await, [watched(100, 1)]);
    at_once(&ledger, &limits, 1, 60).await;
    limits[0].alert_at = vec![30, 90];
    at_once(&ledger, &limits, 1, 10).await;
    assert_eq!(told(&sweep(&ledger, noon() + HOLD).await.alerts), [(30, "70")]);
    limits[0].alert_at = vec![];
    at_once(&ledger, &limits, 1, 30).await;
    assert_eq!(told(&sweep(&ledger, noon() + HOLD).await.alerts), []);
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn an_alert_is_claimed_by_one_until_it_lapses_is_given_back_or_is_sent() {
    let (ledger, limits) = (ledger().await, [watched(100, 1)]);
    let taken = at_once(&ledger, &limits, 1, 60).await;
    ledger.settle(approved(&taken)[0], Some(output(60)), noon()).await.unwrap();
    at_once(&ledger, &limits, 1, 30).await;
    let alerts = sweep(&ledger, noon() + HOLD).await.alerts;
    assert_eq!(told(&alerts), [(50, "90"), (80, "90")]);
    let after = |seconds| noon() + TimeDelta::seconds(seconds);
    let claim = async |alert, from, until| ledger.claim_alert(alert, after(from), after(until)).await.unwrap();
    let Claim::Made(first) = claim(&alerts[0], 0, 120).await else { panic!("it is free") };
    assert_eq!(claim(&alerts[0], 119, 240).await, Claim::Taken);
    let Claim::Made(second) = claim(&alerts[0], 121, 241).await else { panic!("it has lapsed") };
    // The first claim has expired. Giving it back late does not remove the second claim.
    ledger.give_back_alert(&alerts[0], first).await.unwrap();
    assert_eq!(claim(&alerts[0], 122, 242).await, Claim::Taken);
    ledger.give_back_alert(&alerts[0], second).await.unwrap();
    assert!(matches!(claim(&alerts[0], 123, 243).await, Claim::Made(_)));
    ledger.alert_is_sent(&alerts[0]).await.unwrap();
    assert_eq!(claim(&alerts[0], 1_000_000, 1_000_120).await, Claim::Taken);
    let gone = Alert { window_key: "2020-01".into(), ..alerts[1].clone() };
    assert_eq!(claim(&gone, 0, 120).await, Claim::ItemGone);
}
