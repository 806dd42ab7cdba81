use serde_json::{Value, json};

use super::*;

fn at(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

fn line(id: &str, more: Value) -> String {
    let mut line = json!({
        "message": "request", "v": 1, "timestamp": "2026-11-21T12:00:00Z", "execution_id": id, "outcome": "Succeeded", "code": null,
        "model": "nova-lite", "model_id": "amazon.nova-lite-v1:0", "model_metric": "amazon.nova-lite-v1:0", "usage": "known",
        "input_tokens": 20, "output_tokens": 30, "cost_usd": "0.001", "tags": {"applicationId": "crm", "requestId": id},
        "asked": {"inputTokens": 100, "maxTokens": 300, "maxTokensGiven": true,
                  "model": {"requested": "nova-lite", "modelId": "amazon.nova-lite-v1:0", "price": {"input": "1", "output": "2"}}},
        "steps_ms": {"validate": 10, "gather": 20, "reserve": 30, "model": 400, "settle": 5, "decision": 60, "total": 465},
        "of a later version": {}
    });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line.as_object_mut().unwrap().retain(|_, value| *value != json!("absent"));
    line.to_string()
}

fn history(lines: &[String]) -> History {
    History::of(lines.iter().map(String::as_str), (None, None))
}

#[test]
fn each_execution_counts_once_and_other_lines_do_not_count() {
    let lines = [
        line("b", json!({"timestamp": "2026-11-21T12:00:01Z"})),
        line("a", json!({})),
        line("a", json!({})),
        json!({"message": "response", "v": 1}).to_string(),
        "START RequestId: 7".to_owned(),
        String::new(),
        // An export to S3 has the time before the line.
        format!("2026-11-21T12:00:31.123Z {}", line("c", json!({"timestamp": "2026-11-21T11:00:00Z"}))),
        line("d", json!({"timestamp": "yesterday"})),
    ];
    let found = history(&lines);
    let ids: Vec<&str> = found.requests.iter().map(|past| past.line.tag(Tags::REQUEST_ID)).collect();
    assert_eq!((ids, found.repeated, found.unreadable), (vec!["c", "a", "b"], 1, 1));
}

#[test]
fn only_requests_of_the_span_count() {
    let lines = ["2026-10-31T23:59:59.999Z", "2026-11-01T00:00:00Z", "2026-12-01T00:00:00Z"]
        .map(|timestamp| line(timestamp, json!({"timestamp": timestamp})));
    let span = (Some(at("2026-11-01T00:00:00Z")), Some(at("2026-12-01T00:00:00Z")));
    let found = History::of(lines.iter().map(String::as_str), span);
    assert_eq!(found.requests.len(), 1);
    assert_eq!(found.requests[0].line.timestamp, at("2026-11-01T00:00:00Z"));
}

#[test]
fn a_request_is_decided_and_settled_at_its_steps() {
    let denied = json!({"outcome": "Denied", "code": "BudgetExceeded", "usage": "nothing", "input_tokens": 0, "output_tokens": 0,
                        "steps_ms": {"validate": 10, "decision": 60, "total": 60}, "cost_usd": "absent"});
    let found = history(&[line("a", json!({})), line("b", denied), line("c", json!({"steps_ms": "absent"}))]);
    let times = |id: &str| {
        let past = found.requests.iter().find(|past| past.line.tag(Tags::REQUEST_ID) == id).unwrap();
        let noon = at("2026-11-21T12:00:00Z");
        ((past.decided_at - noon).num_milliseconds(), (past.ended_at - noon).num_milliseconds())
    };
    assert_eq!(times("a"), (50, 455));
    // A denied request would have lasted as long as others of its model.
    assert_eq!(times("b"), (50, 450));
    assert_eq!(times("c"), (0, 2_000));
}

#[test]
fn an_older_line_is_judged_by_its_hold_or_by_the_last_request_like_it() {
    let old = json!({"asked": "absent", "held_input_tokens": 100, "held_output_tokens": 300, "held_usd": "0.0008", "usage": "absent",
                     "degraded": "clamp", "degraded_from_tokens": 500, "degraded_to_tokens": 300});
    let denied =
        json!({"asked": "absent", "outcome": "Denied", "usage": "absent", "timestamp": "2026-11-21T12:00:01Z"});
    let other = json!({"asked": "absent", "outcome": "Denied", "tags": {"applicationId": "new", "requestId": "c"}});
    let found = history(&[line("a", old), line("b", denied), line("c", other)]);
    assert_eq!((found.requests.len(), found.left_out), (2, 1));
    let [held, like] = &found.requests[..] else { panic!("two requests") };
    assert!(held.is_approximate && like.is_approximate);
    assert_eq!((held.asked.input_tokens, held.asked.max_tokens), (100, 500));
    assert_eq!(held.asked.price().unwrap().most(100, 300, Charges::default()), "0.0008".parse().unwrap());
    assert_eq!((held.line.usage(), like.line.usage()), (Usage::Known, Usage::Nothing));
    assert_eq!(held.asked, like.asked);
}
