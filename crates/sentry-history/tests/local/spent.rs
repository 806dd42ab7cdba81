//! Usage from before a budget was set in mid-window.

use sentry_domain::{Amount, Usd};
use sentry_history::{Decided, History, Recorded};
use serde_json::json;
use test_support::at;

use crate::support::{client, table};

/// An answer with ten input tokens and one output token, at one microdollar per token.
fn answer(number: usize, timestamp: &str) -> Decided {
    let record = json!({
        "executionId": format!("run-{number}"), "outcome": "Succeeded",
        "tags": {"applicationId": "helper", "timestamp": timestamp},
        "model": {"requested": "any", "modelId": "m", "modelMetric": "m", "price": {"input": "1", "output": "1"}},
        "usage": {"inputTokens": 10, "outputTokens": 1, "totalTokens": 11}
    });
    Decided::of(&serde_json::from_value(record).unwrap(), "message", &[]).unwrap()
}

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn the_days_of_a_window_are_summed_and_no_other() {
    let client = client().await;
    let table = table(&client).await;
    let history = History::new(client, table);
    let days = [
        "2026-10-31T23:59:59.9Z",
        "2026-11-01T00:00:00Z",
        "2026-11-20T12:00:00Z",
        "2026-11-21T05:00:00Z",
        "2026-11-22T00:00:00Z",
    ];
    let answers: Vec<_> = days.iter().enumerate().map(|(number, day)| answer(number, day)).collect();
    let now = at("2026-11-21T13:00:00Z");
    assert_eq!(history.record(&answers, now).await.recorded, [Recorded::Counted; 5]);
    assert_eq!(history.record(&answers, now).await.recorded, [Recorded::Before; 5]);
    let times = |count: u64| Amount {
        input: 10 * count,
        output: count,
        usd: Usd::from_picodollars(u128::from(11_000_000 * count)),
        requests: count,
        in_flight: 0,
    };
    let cases = [
        // The UTC month, the UTC day, and a window that never ends.
        ("2026-11-01T00:00:00Z", 3),
        ("2026-11-21T00:00:00Z", 1),
        ("1970-01-01T00:00:00Z", 4),
        // The month and the day of Tokyo, and an hour.
        ("2026-10-31T15:00:00Z", 3),
        ("2026-11-20T15:00:00Z", 1),
        ("2026-11-21T13:00:00Z", 0),
    ];
    for (from, count) in cases {
        let spent = history.spent("application#helper", at(from), now).await.unwrap();
        assert_eq!(spent, times(count), "{from}");
    }
    assert_eq!(history.spent("application#other", at("1970-01-01T00:00:00Z"), now).await.unwrap(), Amount::ZERO);
}
