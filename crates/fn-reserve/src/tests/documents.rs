//! The complete decisions: approvals, and a denial of each kind.

use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsOutput;

use super::*;

/// A limit on the cost center, which has the fallback item's settings.
fn on_the_cost_center(limits: Value) -> Value {
    let mut limit = limit(limits);
    limit["scope"] = json!("costCenter#support");
    limit["source"] = json!("default");
    limit["item"] = json!("costCenter#default");
    limit
}

/// The request with all tags, and with a notice.
fn full(limits: Value, usage: Value) -> Value {
    let mut input = input(limits, usage, json!({"inputTokens": 90}));
    input["request"]["tags"] = json!({"applicationId": "helper", "costCenter": "support", "requestId": "r1",
                                      "timestamp": "2026-11-21T11:59:59.500000Z", "modelMetric": MODEL});
    input["request"]["notices"] =
        json!([{"code": "ModelRetiring", "message": "claude-sonnet-4 ends on 2027-01-10; use claude-sonnet-4-5."}]);
    input
}

/// The decision on a request that the ledger does not admit, because its item has these numbers.
async fn refused(limits: Value, usage: Value, numbers: &[(&str, u64)]) -> Value {
    let number = |number: u64| AttributeValue::N(number.to_string());
    let stored: HashMap<_, _> = numbers.iter().map(|(name, value)| ((*name).to_owned(), number(*value))).collect();
    let update = mock!(Client::update_item).then_error(|| UpdateItemError::ConditionalCheckFailedException(refusing()));
    let get = mock!(Client::get_item)
        .match_requests(|get| get.consistent_read() == Some(true))
        .then_output(move || GetItemOutput::builder().set_item(Some(stored.clone())).build());
    let delete = mock!(Client::delete_item).then_output(|| DeleteItemOutput::builder().build());
    decide(&reserver(&[&registers(), &update, &get, &delete]), full(limits, usage)).await.unwrap()
}

#[tokio::test]
async fn an_approval_has_all_that_the_call_and_the_settlement_need() {
    let mut model = limit(json!({"input": 100_000, "output": 50_000, "usd": "1.00"}));
    model["perRequest"] = json!({"output": 4_000});
    let mut tag = on_the_cost_center(json!({"usd": "20", "requests": 100}));
    tag["alertAt"] = json!([80, 100]);
    let limits = json!({"limits": {"model": [model], "tags": [tag]}});
    let transact = mock!(Client::transact_write_items).then_output(|| TransactWriteItemsOutput::builder().build());
    let plain = decide(&reserver(&[&registers(), &transact]), full(limits, usage(200, 4_000))).await.unwrap();
    insta::assert_json_snapshot!("approved", plain);

    let mut open = limit(json!({"output": 5_000}));
    open["whenExceeded"] = json!(["clamp"]);
    insta::assert_json_snapshot!("approved_with_fewer_tokens", decide_anew(full(one(open), usage(0, 4_700))).await);

    let fallback = with_fallback(json!({"output": 5_000, "usd": "1"}), both(4_200));
    insta::assert_json_snapshot!("approved_for_the_fallback", decide_anew(fallback).await);

    let mut observing = limit(json!({"output": 500, "usd": "1"}));
    observing["enforce"] = json!("observe");
    observing["perRequest"] = json!({"output": 10});
    let mut unpriced = full(one(observing), usage(0, 0));
    unpriced["request"]["model"].as_object_mut().unwrap().remove("price");
    insta::assert_json_snapshot!("approved_by_a_limit_that_observes", decide_anew(unpriced).await);
}

#[tokio::test]
async fn a_denial_has_the_answer_and_the_message_for_the_metrics() {
    let tokens = || limit(json!({"output": 5_000}));
    let exceeded = refused(one(tokens()), usage(0, 4_000), &[("settledOutput", 4_500), ("committedOutput", 4_500)]);
    insta::assert_json_snapshot!("denied_as_exceeded", exceeded.await);

    // Ten requests took two seconds each.
    let held = [
        ("settledOutput", 3_000),
        ("heldOutput", 1_500),
        ("committedOutput", 4_500),
        ("calls", 10),
        ("busyMs", 20_000),
    ];
    insta::assert_json_snapshot!("denied_as_reserved", refused(one(tokens()), usage(0, 0), &held).await);

    let put = mock!(Client::put_item).then_error(|| PutItemError::ConditionalCheckFailedException(refusing()));
    let duplicate = decide(&reserver(&[&put]), full(one(tokens()), usage(0, 0))).await.unwrap();
    insta::assert_json_snapshot!("refused_as_a_duplicate", duplicate);

    let mut small = tokens();
    small["perRequest"] = json!({"output": 999});
    let dollars =
        json!({"limits": {"model": [limit(json!({"usd": "3"}))], "tags": [on_the_cost_center(json!({"usd": "20"}))]}});
    let mut unpriced = full(dollars, usage(0, 0));
    unpriced["request"]["model"].as_object_mut().unwrap().remove("price");
    let unavailable = |name: &str| json!({"unavailable": name});
    let stopped = ErrorBody::new(ErrorCode::Stopped, "costCenter#support is stopped: over budget.")
        .with("scope", "costCenter#support")
        .with("item", "costCenter#support")
        .with("reason", "over budget");
    let before_the_ledger = [
        ("denied_as_too_large", full(one(small), usage(0, 0))),
        ("denied_as_not_priced", unpriced),
        ("denied_without_usage", full(one(tokens()), unavailable("UsageUnavailable"))),
        ("denied_without_limits", full(unavailable("LedgerUnavailable"), unavailable("NotAsked"))),
        ("denied_by_the_limits", full(json!({"denial": stopped}), unavailable("NotAsked"))),
    ];
    for (name, input) in before_the_ledger {
        insta::assert_json_snapshot!(name, decide(&reserver(&[]), input).await.unwrap());
    }
}
