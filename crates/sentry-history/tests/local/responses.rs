//! The end of an automated response is claimed by one run at a time.

use chrono::TimeDelta;
use sentry_history::{CLAIMED, History, Remembered};
use test_support::at;

use crate::support::{client, table};

const NAME: &str = "2026-11 costCenter#a";

#[tokio::test]
#[ignore = "needs the local AWS: cargo xtask test"]
async fn one_of_many_runs_claims_an_end_and_another_one_may_after_a_minute() {
    let client = client().await;
    let history = History::new(client.clone(), table(&client).await);
    let now = at("2026-11-27T12:00:00Z");
    assert!(!history.claim_end(NAME, now).await.unwrap());
    assert_eq!(history.responses().await.unwrap(), []);

    history.remember_response(NAME, "{}", None).await.unwrap();
    let runs = futures_util::future::join_all((0..8).map(|_| history.claim_end(NAME, now))).await;
    assert_eq!(runs.into_iter().filter(|claimed| *claimed.as_ref().unwrap()).count(), 1);
    assert_eq!(history.responses().await.unwrap(), [Remembered { name: NAME.to_owned(), text: "{}".to_owned() }]);

    assert!(!history.claim_end(NAME, now + CLAIMED - TimeDelta::seconds(1)).await.unwrap());
    assert!(history.claim_end(NAME, now + CLAIMED).await.unwrap());
    history.forget_response(NAME).await.unwrap();
    assert!(!history.claim_end(NAME, now + CLAIMED * 2).await.unwrap());
    assert_eq!(history.responses().await.unwrap(), []);
}
