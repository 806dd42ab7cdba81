use sentry_contract::ErrorCode;
use serde_json::{Value, json};

use super::super::audit::History;
use super::*;
use crate::limits::file;

const MODEL: &str = "amazon.nova-lite-v1:0";
const PLENTY: &str = "limits: [{modelId: default, limit: {input: 1000000}}";

/// A request at a second after noon that asks for 10 tokens of input and 100 of output at a dollar for each million.
fn line(id: &str, second: u32, more: Value) -> Value {
    let model = |id: &str, rate: &str| json!({"requested": id, "modelId": id, "modelMetric": id, "price": {"input": rate, "output": rate}});
    let fallback = json!({"model": model("amazon.nova-micro-v1:0", "0.1"), "inputTokens": 10, "maxTokens": 100});
    let asked = json!({"inputTokens": 10, "maxTokens": 100, "maxTokensGiven": true, "model": model(MODEL, "1"), "fallback": fallback});
    let mut line = json!({
        "message": "request", "timestamp": format!("2026-11-21T12:{:02}:{:02}Z", second / 60, second % 60), "execution_id": id,
        "outcome": "Succeeded", "code": null, "model": MODEL, "model_id": MODEL, "model_metric": MODEL, "usage": "known",
        "input_tokens": 10, "output_tokens": 40, "cost_usd": "0.00005",
        "tags": {"applicationId": "crm", "costCenter": "sales", "requestId": id}, "asked": asked,
        "steps_ms": {"validate": 0, "decision": 0, "total": 1_000}
    });
    line.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    line
}

fn judged(limits: &str, lines: &[Value]) -> Vec<Judgment> {
    let items = file::parse(limits).unwrap().into_iter().map(|item| (item.key, item.item)).collect();
    let texts: Vec<String> = lines.iter().map(Value::to_string).collect();
    let history = History::of(texts.iter().map(String::as_str), (None, None));
    assert_eq!((history.requests.len(), history.unreadable), (lines.len(), 0));
    let since = "2026-11-21T00:00:00Z".parse().unwrap();
    let items = LimitItems::new(items, fn_lookup_limit::BudgetTags::default());
    let mut replay = Replay::new(items, TimeDelta::minutes(6), since);
    history.requests.into_iter().map(|past| replay.judge(past)).collect()
}

/// `+` for approved, `~` for degraded, `=` for a duplicate, `-` for denied.
fn verdicts(limits: &str, lines: &[Value]) -> String {
    let sign = |judgment: &Judgment| match judgment.verdict {
        Verdict::Approved => '+',
        Verdict::Degraded { .. } => '~',
        Verdict::Denied(_) => '-',
        Verdict::Repeated => '=',
    };
    judged(limits, lines).iter().map(sign).collect()
}

fn of_application(limit: &str) -> String {
    format!("{PLENTY}, {{modelId: application#crm, {limit}}}]")
}

#[test]
fn a_denied_request_saves_what_it_spent_and_names_the_limit() {
    let lines: Vec<Value> = (0..3).map(|number| line(&format!("r{number}"), number * 10, json!({}))).collect();
    let found = judged(&of_application("limit: {output: 150}"), &lines);
    let [first, second, third] = &found[..] else { panic!("three requests") };
    assert_eq!((&first.verdict, first.saved), (&Verdict::Approved, Saved::default()));
    assert_eq!((&second.verdict, second.saved), (&Verdict::Approved, Saved::default()));
    let Verdict::Denied(error) = &third.verdict else { panic!("{:?}", third.verdict) };
    assert_eq!((error.code, &error.details["scope"]), (ErrorCode::BudgetExceeded, &json!("application#crm")));
    assert_eq!(error.details["remaining"], 70);
    assert_eq!(third.saved, Saved { tokens: 50, usd: "0.00005".parse().unwrap() });
}

#[test]
fn requests_in_flight_hold_until_they_end() {
    let limits = of_application("limit: {output: 150}");
    // The second is decided while the first holds 100 tokens. The third is decided after the first is settled at 40.
    let overlapping = [line("a", 0, json!({})), line("b", 0, json!({})), line("c", 1, json!({}))];
    assert_eq!(verdicts(&limits, &overlapping), "+-+");
    let at_once = of_application("limit: {inFlight: 1}");
    assert_eq!(verdicts(&at_once, &overlapping), "+-+");
    // Unknown usage holds for six minutes, and then counts in full.
    let unknown = json!({"outcome": "InvocationFailed", "usage": "unknown", "input_tokens": 0, "output_tokens": 0});
    let lines = [line("a", 0, unknown.clone()), line("b", 359, json!({})), line("c", 360, json!({}))];
    assert_eq!(verdicts(&at_once, &lines), "+-+");
    assert_eq!(verdicts(&limits, &lines), "+--");
}

#[test]
fn a_call_that_used_nothing_is_released() {
    let nothing = json!({"outcome": "InvocationFailed", "usage": "nothing", "input_tokens": 0, "output_tokens": 0});
    let limits = of_application("limit: {output: 100, requests: 1}");
    assert_eq!(verdicts(&limits, &[line("a", 0, nothing), line("b", 10, json!({})), line("c", 20, json!({}))]), "++-");
}

#[test]
fn each_window_has_its_own_usage() {
    let lines = [line("a", 0, json!({})), line("b", 30, json!({})), line("c", 60, json!({}))];
    assert_eq!(verdicts(&of_application("window: minute, limit: {requests: 1}"), &lines), "+-+");
    assert_eq!(verdicts(&of_application("window: day, limit: {requests: 1}"), &lines), "+--");
    let period = "from: '2026-11-21T12:00:20Z', until: '2026-11-21T12:00:50Z', limit: {requests: 0}";
    assert_eq!(verdicts(&of_application(period), &lines), "+-+");
}

#[test]
fn a_remedy_of_the_limit_changes_the_request() {
    let lines = [line("a", 0, json!({})), line("b", 10, json!({}))];
    let found = judged(&of_application("limit: {output: 70}, whenExceeded: [clamp]"), &lines);
    let Verdict::Degraded { degraded: Degraded::Clamp(lowered), cause: Some(cause) } = &found[0].verdict else {
        panic!("{:?}", found[0].verdict)
    };
    assert_eq!((lowered.to, &cause.details["scope"]), (70, &json!("application#crm")));
    // It used 40, so 30 are left. The second would have used 40, and uses 30.
    let Verdict::Degraded { degraded: Degraded::Clamp(lowered), .. } = &found[1].verdict else { panic!() };
    assert_eq!((lowered.to, found[1].saved.tokens, found[1].saved.usd), (30, 10, "0.00001".parse().unwrap()));

    let limits = format!("{PLENTY}, {{modelId: {MODEL}, limit: {{usd: 0.00015}}, whenExceeded: [fallback]}}]");
    let found = judged(&limits, &[&lines[..], &[line("c", 20, json!({}))]].concat());
    let Verdict::Degraded { degraded: Degraded::Fallback { to, .. }, cause: Some(cause) } = &found[1].verdict else {
        panic!("{:?}", found[1].verdict)
    };
    assert_eq!((to.as_str(), &cause.details["scope"]), ("amazon.nova-micro-v1:0", &json!(format!("model#{MODEL}"))));
    assert_eq!(found[1].saved, Saved { tokens: 0, usd: "0.000045".parse().unwrap() });
}

#[test]
fn a_limit_that_observes_denies_nothing_and_is_told() {
    let lines = [line("a", 0, json!({})), line("b", 10, json!({}))];
    let found = judged(&of_application("limit: {requests: 1}, enforce: observe"), &lines);
    assert_eq!(found[1].verdict, Verdict::Approved);
    assert_eq!(found[1].would_deny[0].code, ErrorCode::BudgetExceeded);
    assert!(found[0].would_deny.is_empty());
}

#[test]
fn an_automated_response_lowers_the_limit_when_its_percentage_is_reached() {
    let lines: Vec<Value> = (0..4).map(|number| line(&format!("r{number}"), number * 10, json!({}))).collect();
    let limits = of_application("limit: {requests: 4}, respond: {at: 50, set: {requests: 3}}");
    assert_eq!(verdicts(&limits, &lines), "+++-");
    assert_eq!(verdicts(&of_application("limit: {requests: 4}"), &lines), "++++");
}

#[test]
fn shards_do_not_change_a_decision() {
    let lines: Vec<Value> = (0..9).map(|number| line(&format!("r{number}"), number / 3, json!({}))).collect();
    let limits = |shards: u32| of_application(&format!("limit: {{output: 300}}, shards: {shards}"));
    assert_eq!(verdicts(&limits(8), &lines), verdicts(&limits(1), &lines));
    assert!(verdicts(&limits(8), &lines).contains('-'));
}

#[test]
fn a_request_that_was_denied_counts_as_its_hold_if_it_is_admitted_now() {
    let denied = json!({"outcome": "Denied", "code": "BudgetExceeded", "usage": "nothing", "input_tokens": 0, "output_tokens": 0, "cost_usd": null});
    let lines = [line("a", 0, denied), line("b", 10, json!({})), line("c", 20, json!({}))];
    let found = judged(&of_application("limit: {output: 200}"), &lines);
    assert_eq!(found[0].admitted_now.unwrap().output, 100);
    assert_eq!(found.iter().filter(|judgment| matches!(judgment.verdict, Verdict::Denied(_))).count(), 1);
    assert_eq!(found[1].admitted_now, None);
}

#[test]
fn an_id_that_was_denied_first_is_a_duplicate_if_the_first_is_admitted_now() {
    let denied = json!({"outcome": "Denied", "code": "BudgetExceeded", "usage": "nothing", "input_tokens": 0, "output_tokens": 0, "cost_usd": null});
    let mut again = line("b", 10, json!({}));
    again["tags"]["requestId"] = json!("a");
    assert_eq!(
        verdicts(&of_application("limit: {output: 1000}"), &[line("a", 0, denied.clone()), again.clone()]),
        "+="
    );
    assert_eq!(verdicts(&of_application("limit: {output: 0}"), &[line("a", 0, denied), again]), "--");
}

#[test]
fn a_model_without_an_item_and_a_stopped_scope_are_denied() {
    let code = |limits: &str| match &judged(limits, &[line("a", 0, json!({}))])[0].verdict {
        Verdict::Denied(error) => error.code,
        other => panic!("{other:?}"),
    };
    assert_eq!(code("limits: [{modelId: costCenter#sales, limit: {usd: 1}}]"), ErrorCode::LimitNotConfigured);
    assert_eq!(code(&of_application("stopped: a loop")), ErrorCode::Stopped);
    assert_eq!(code(&of_application("limit: {output: 900}, perRequest: {output: 99}")), ErrorCode::RequestTooLarge);
}
