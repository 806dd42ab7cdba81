use chrono::{TimeZone, Utc};
use serde_json::{Value, json};

use super::*;

fn exceeded(details: Value, budget: Value) -> Value {
    json!({"outcome": "Denied", "error": {"code": "BudgetExceeded", "details": details}, "budget": budget})
}

fn judged(answer: &Value, waits: bool) -> Verdict {
    verdict(answer, waits, Utc.with_ymd_and_hms(2026, 11, 28, 12, 0, 0).unwrap())
}

#[test]
fn a_used_up_budget_is_waited_for_only_on_demand_and_only_if_it_resets() {
    let answer = exceeded(json!({"resetsAt": "2026-11-28T12:00:30.500Z"}), json!([]));
    assert_eq!(judged(&answer, false), Verdict::Answer);
    assert_eq!(judged(&answer, true), Verdict::Wait(31));
    assert_eq!(judged(&exceeded(json!({"resetsAt": "2026-11-28T11:59:00Z"}), json!([])), true), Verdict::Wait(1));
    assert_eq!(judged(&exceeded(json!({}), json!([])), true), Verdict::Answer);
}

#[test]
fn a_request_that_is_larger_than_its_limit_does_not_wait() {
    let details = |unit: &str, needed: Value| {
        json!({"resetsAt": "2026-11-28T12:01:00Z", "scope": "costCenter#a", "window": "2026-11", "exceeded": unit,
               "needed": needed})
    };
    let budget = json!([{"scope": "costCenter#a", "window": "2026-11-28", "output": {"limit": 5}},
                        {"scope": "costCenter#a", "window": "2026-11", "output": {"limit": 100}, "usd": {"limit": "0.50"}}]);
    let waits = |unit: &str, needed: Value| judged(&exceeded(details(unit, needed), budget.clone()), true);
    assert_eq!(waits("output", json!(100)), Verdict::Wait(61));
    assert_eq!(waits("output", json!(101)), Verdict::Answer);
    assert_eq!(waits("usd", json!("0.5")), Verdict::Wait(61));
    assert_eq!(waits("usd", json!("0.51")), Verdict::Answer);
    assert_eq!(waits("input", json!(7)), Verdict::Wait(61), "the entry does not have the unit");
}

#[test]
fn a_duplicate_waits_while_the_first_is_in_flight() {
    let duplicate = |state: &str| json!({"error": {"code": "DuplicateRequest", "details": {"state": state}}});
    assert_eq!(judged(&duplicate("in_flight"), false), Verdict::Wait(IN_FLIGHT_WAIT));
    assert_eq!(judged(&duplicate("settled"), false), Verdict::Settled);
}

#[test]
fn a_code_without_a_time_waits_the_default() {
    assert_eq!(judged(&json!({"error": {"code": "ModelThrottled"}}), false), Verdict::Wait(DEFAULT_WAIT));
}
