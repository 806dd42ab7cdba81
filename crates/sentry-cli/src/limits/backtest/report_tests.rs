use serde_json::{Value, json};

use super::super::audit::History;
use super::super::replay::Replay;
use super::*;
use crate::limits::file;

/// Two requests of a crm that is limited to one, and a third without tags.
fn judgments() -> Vec<Judgment> {
    let line = |id: &str, hour: u32, tags: Value| {
        json!({
            "message": "request", "timestamp": format!("2026-11-21T{hour}:00:00Z"), "execution_id": id, "outcome": "Succeeded",
            "model": "m", "model_id": "m", "usage": "known", "input_tokens": 10, "output_tokens": 40, "cost_usd": "1.5", "tags": tags,
            "asked": {"inputTokens": 10, "maxTokens": 100, "maxTokensGiven": true, "model": {"requested": "m", "modelId": "m"}}
        })
        .to_string()
    };
    let tags = |id: &str| json!({"applicationId": "crm", "costCenter": "sales", "requestId": id});
    let lines = [line("a", 10, tags("a")), line("b", 11, tags("b")), line("c", 12, json!({"requestId": "c"}))];
    let history = History::of(lines.iter().map(String::as_str), (None, None));
    let limits = "limits: [{modelId: default, limit: {input: 1000}}, {modelId: application#crm, limit: {requests: 1}}]";
    let items = file::parse(limits).unwrap().into_iter().map(|item| (item.key, item.item)).collect();
    let items = fn_lookup_limit::LimitItems::new(items, fn_lookup_limit::BudgetTags::default());
    let mut replay = Replay::new(items, chrono::TimeDelta::minutes(6), "2026-11-21T00:00:00Z".parse().unwrap());
    history.requests.into_iter().map(|past| replay.judge(past)).collect()
}

#[test]
fn the_summary_says_how_much_who_and_since_when() {
    let text = told(&judgments());
    for part in [
        "requests      3\n",
        "approved      2\n",
        "denied        1\n",
        "spend         $4.50\n",
        "saved         $1.50\n",
        "first denial  2026-11-21T11:00:00Z\n  by          application#crm\n  of          crm (sales)\n",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    // A table in a pipe has its full width.
    let mut summary = text.lines().take_while(|line| !line.starts_with("scope"));
    assert!(summary.all(|line| line.chars().count() <= TERMINAL), "{text}");
    let row: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
    assert_eq!(row, ["application#crm", "1", "0", "11-21", "11:00", "crm", "(sales)", "50", "$1.50"]);
}

#[test]
fn rows_are_the_requests_that_change_or_all() {
    let found = judgments();
    let parsed = |all| serde_json::from_str::<Vec<Value>>(&rows(&found, all).written(Output::Json)).unwrap();
    let [denied] = &parsed(false)[..] else { panic!("one row") };
    assert_eq!(
        (&denied["requestId"], &denied["verdict"], &denied["code"]),
        (&json!("b"), &json!("denied"), &json!("BudgetExceeded"))
    );
    assert_eq!(
        (&denied["savedUsd"], &denied["savedTokens"], &denied["window"]),
        (&json!("1.500000000"), &json!(50), &json!("2026-11"))
    );
    let all = parsed(true);
    assert_eq!(
        all.iter().map(|row| row["verdict"].as_str().unwrap()).collect::<Vec<_>>(),
        ["approved", "denied", "approved"]
    );
    assert_eq!(all[2]["scope"], "");
}
