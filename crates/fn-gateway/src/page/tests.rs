use axum::body::to_bytes;
use sentry_contract::{ErrorBody, ErrorCode};
use serde_json::json;

use super::*;

fn caller() -> Caller {
    let tags = [("applicationId", "helper".to_owned()), ("costCenter", "<b>R&D</b>".to_owned())];
    Caller { shown: "key", tags: tags.into(), models: None, record: None, ahead: None }
}

fn entries() -> Vec<BudgetEntry> {
    serde_json::from_value(json!([
        {"scope": "application#helper+environment#te%2Bst", "window": "2026-11", "resetsAt": "2026-12-01T00:00:00Z",
         "source": "application+environment",
         "usd": {"limit": "250.00", "used": "200.5", "reserved": "0.25", "remaining": "49.25"},
         "output": {"limit": 1_234_567, "used": 0, "reserved": 0, "remaining": 1_234_567}},
        {"scope": "costCenter#support", "window": "inFlight", "source": "costCenter", "enforce": "observe",
         "inFlight": {"limit": 20, "used": 0, "reserved": 20, "remaining": 0}},
    ]))
    .unwrap()
}

fn now() -> DateTime<Utc> {
    "2026-11-28T09:05:00Z".parse().unwrap()
}

async fn text(response: Response) -> String {
    String::from_utf8(to_bytes(response.into_body(), usize::MAX).await.unwrap().to_vec()).unwrap()
}

#[tokio::test]
async fn the_page_shows_each_budget_in_words_and_escapes_names() {
    let found = Budgets { model: Some("nova-lite".into()), entries: entries(), error: None };
    insta::assert_snapshot!(text(budgets(&caller(), &found, now())).await.replace(STYLES, "…"));
}

#[tokio::test]
async fn a_denial_is_explained_and_a_key_without_limits_is_told_so() {
    let error = ErrorBody::new(ErrorCode::BudgetExceeded, "The budget is used up.");
    let denied =
        text(budgets(&caller(), &Budgets { model: None, entries: entries(), error: Some(error) }, now())).await;
    assert!(denied.contains("A request for one token would be denied now. The budget is used up."));
    let free = text(budgets(&caller(), &Budgets { model: None, entries: Vec::new(), error: None }, now())).await;
    assert!(free.contains("No limit of your tags is in force."));
}

#[tokio::test]
async fn a_browser_may_load_nothing_else_and_keep_nothing() {
    let response = entry(StatusCode::OK, None);
    let header = |name: &str| response.headers()[name].to_str().unwrap().to_owned();
    assert_eq!((header("cache-control"), header("referrer-policy")), ("no-store".into(), "no-referrer".into()));
    let policy = header("content-security-policy");
    assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && policy.contains("form-action 'self'"));
    let page = text(response).await;
    assert!(page.contains(&format!("<style>{STYLES}</style>")), "the hash is that of the styles");
    assert!(!page.contains("<script") && !page.contains("http"));
}

#[test]
fn names_are_in_plain_words() {
    for (name, words) in [
        ("2026-11", "Month 2026-11"),
        ("2026-W47", "Week 2026-W47"),
        ("2026-11-21", "Day 2026-11-21"),
        ("2026-11-21T13", "Hour 2026-11-21 13:00"),
        ("2026-11-21T13:05", "Minute 2026-11-21 13:05"),
        ("2026-11-01T00:00:00Z/2026-12-15T12:00:00Z", "Period 2026-11-01 00:00:00Z to 2026-12-15 12:00:00Z"),
        ("2026-11-01T00:00:00Z/..", "Period 2026-11-01 00:00:00Z"),
        ("total", "In all"),
        ("inFlight", "At any moment"),
    ] {
        assert_eq!(words_of_window(name), words);
    }
    for (scope, words) in [
        ("costCenter#a%23b", "Cost center a#b"),
        ("application#A+costCenter#b+environment#c", "Application A, cost center b, environment c"),
        ("run#nightly", "run nightly"),
        ("costCenter#default", "Cost center default"),
    ] {
        assert_eq!(words_of_scope(scope), words);
    }
    assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    assert_eq!([(0, 0), (10, 3), (3, 9)].map(|(limit, taken)| percent(limit, taken)), [100, 30, 100]);
}
