//! The results of `Reserve` for answers of DynamoDB.

mod documents;

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::batch_get_item::BatchGetItemOutput;
use aws_sdk_dynamodb::operation::delete_item::DeleteItemOutput;
use aws_sdk_dynamodb::operation::get_item::GetItemOutput;
use aws_sdk_dynamodb::operation::put_item::{PutItemError, PutItemOutput};
use aws_sdk_dynamodb::operation::transact_get_items::TransactGetItemsOutput;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::{UpdateItemError, UpdateItemOutput};
use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_dynamodb::types::error::{
    ConditionalCheckFailedException, InternalServerError, TransactionCanceledException,
};
use aws_sdk_dynamodb::types::{CancellationReason, ItemResponse};
use aws_smithy_mocks::{Rule, RuleMode, mock};
use chrono::TimeDelta;
use sentry_contract::ErrorCode;
use sentry_domain::{ScopeLimit, Unit};
use sentry_lambda::Failure;
use sentry_ledger::{Ledger, Shortage};
use serde_json::{Value, json};
use test_support::{at, mock_client};

use crate::{ErrorBody, Reserver};

const NOON: &str = "2026-11-21T12:00:00Z";
const MODEL: &str = "us.anthropic.claude-sonnet-4-20250514-v1:0";

fn reserver(rules: &[&Rule]) -> Reserver {
    // The ledger may first read figures that need not be current.
    let looks = mock!(Client::get_item)
        .match_requests(|get| get.consistent_read() != Some(true))
        .then_output(|| GetItemOutput::builder().build());
    let batches = mock!(Client::batch_get_item).then_output(|| BatchGetItemOutput::builder().build());
    let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[rules, &[&looks, &batches]].concat());
    let ledger = Ledger::new(client, "ledger".into(), "requests".into());
    Reserver::new(ledger, TimeDelta::seconds(360))
}

fn refusing() -> ConditionalCheckFailedException {
    ConditionalCheckFailedException::builder().build()
}

fn registers() -> Rule {
    mock!(Client::put_item)
        .match_requests(|put| put.table_name() == Some("requests"))
        .then_output(|| PutItemOutput::builder().build())
}

fn writes() -> Rule {
    mock!(Client::update_item)
        .match_requests(|update| update.table_name() == Some("ledger"))
        .then_output(|| UpdateItemOutput::builder().build())
}

fn limit(limits: Value) -> Value {
    let window = json!({"name": "2026-11", "key": "2026-11", "start": "2026-11-01T00:00:00Z", "resetsAt": "2026-12-01T00:00:00Z"});
    json!({"scope": format!("model#{MODEL}"), "source": "model", "item": MODEL, "window": window, "limits": limits})
}

/// The limits of a request that has one limit on its model.
fn one(limit: Value) -> Value {
    json!({"limits": {"model": [limit]}})
}

fn input(limits: Value, usage: Value, count: Value) -> Value {
    let model = json!({"requested": "claude-sonnet-4", "modelId": MODEL, "modelMetric": MODEL, "family": "anthropic",
                       "price": {"input": "3", "output": "15", "cacheRead": "0.30", "cacheWrite5m": "3.75", "cacheWrite1h": "6"}});
    json!({
        "executionId": "arn:aws:states:us-east-1:111122223333:express:limiter:name:0f0e",
        "request": {"tags": {"applicationId": "helper", "requestId": "r1", "modelMetric": MODEL}, "requestKey": "r1", "model": model,
                    "estimate": {"inputTokens": 400, "maxTokens": 1000, "maxTokensGiven": true}},
        "gathered": [usage, limits, count],
    })
}

/// CloudWatch's figures at half a minute before noon. All usage is at the first instant of the month.
fn series(input: u64, output: u64) -> Value {
    let month = at("2026-11-01T00:00:00Z").timestamp();
    json!({"asOf": "2026-11-21T11:59:30Z", "buckets": [[month, input, output, 0, 0]]})
}

fn usage(input: u64, output: u64) -> Value {
    json!({"model": series(input, output)})
}

async fn decide(reserver: &Reserver, input: Value) -> Result<Value, Failure> {
    let decision = reserver.reserve(serde_json::from_value(input).unwrap(), at(NOON)).await?;
    Ok(serde_json::to_value(decision).unwrap())
}

/// The notes of an approval, without the amounts that the request asked for.
fn notes(decision: &Value) -> Value {
    let mut notes = decision["admitted"]["notes"].clone();
    assert!(notes.as_object_mut().unwrap().remove("asked").is_some());
    notes
}

#[tokio::test]
async fn a_hold_is_the_most_that_a_request_can_use_and_bedrocks_count_lowers_it() {
    let (put, update) = (registers(), writes());
    let limits = one(limit(json!({"input": 100_000, "usd": "1.00"})));
    let decision =
        decide(&reserver(&[&put, &update]), input(limits, usage(0, 0), json!({"inputTokens": 90}))).await.unwrap();
    assert_eq!(decision["approved"], true);
    // 90 at $3 a million, because nothing is written to a cache, and 1,000 at $15 a million.
    let reservation = &decision["admitted"]["reservation"];
    assert_eq!(
        reservation["hold"],
        json!({"input": 90, "output": 1000, "usd": "0.015270000", "requests": 1, "inFlight": 1})
    );
    assert_eq!((&reservation["maxTokens"], &reservation["expiresAt"]), (&json!(1000), &json!("2026-11-21T12:06:00Z")));
    assert_eq!(notes(&decision), json!({}));
    // The audit record says what was asked for, by Bedrock's count.
    let asked = &decision["admitted"]["notes"]["asked"];
    assert_eq!((&asked["inputTokens"], &asked["maxTokens"]), (&json!(90), &json!(1000)));
    assert_eq!((put.num_calls(), update.num_calls()), (1, 1));
}

#[tokio::test]
async fn without_a_count_the_bytes_are_the_bound() {
    for count in [json!({}), json!({"unavailable": "States.Timeout"}), json!({"inputTokens": 500})] {
        let (put, update) = (registers(), writes());
        let limits = one(limit(json!({"input": 100_000})));
        let decision = decide(&reserver(&[&put, &update]), input(limits, usage(0, 0), count)).await.unwrap();
        assert_eq!(decision["admitted"]["reservation"]["hold"]["input"], 400);
    }
}

#[tokio::test]
async fn a_request_that_does_not_fit_is_denied_with_the_figures_and_can_be_repeated() {
    let counter = |text: &str| AttributeValue::N(text.to_owned());
    let stored =
        HashMap::from([("settledOutput".to_owned(), counter("4500")), ("committedOutput".to_owned(), counter("4500"))]);
    let put = registers();
    let update = mock!(Client::update_item).then_error(|| UpdateItemError::ConditionalCheckFailedException(refusing()));
    let get = mock!(Client::get_item)
        .match_requests(|get| get.consistent_read() == Some(true))
        .then_output(move || GetItemOutput::builder().set_item(Some(stored.clone())).build());
    let delete = mock!(Client::delete_item)
        .match_requests(|delete| delete.table_name() == Some("requests"))
        .then_output(|| DeleteItemOutput::builder().build());
    let limits = one(limit(json!({"output": 5_000})));
    let reserver = reserver(&[&put, &update, &get, &delete]);
    let decision = decide(&reserver, input(limits, usage(0, 4_000), json!({}))).await.unwrap();
    assert_eq!((&decision["approved"], &decision["answer"]["statusCode"]), (&json!(false), &json!(429)));
    assert_eq!(decision["answer"]["error"]["code"], "BudgetExceeded");
    assert_eq!(delete.num_calls(), 1);
}

#[tokio::test]
async fn a_request_that_another_execution_has_is_a_duplicate_and_says_how_that_one_stands() {
    let spent = json!({"usage": {"inputTokens": 3, "outputTokens": 4, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0, "totalTokens": 7},
                       "cost": {"usd": "0.000001160", "priced": true}});
    let settled = json!({"state": "settled", "usage": spent["usage"], "cost": spent["cost"]});
    let cases = [
        (vec![], json!({"state": "in_flight"})),
        (vec![("heldUntil", AttributeValue::N("99999999999".to_owned()))], json!({"state": "in_flight"})),
        (vec![("heldUntil", AttributeValue::N("1".to_owned()))], json!({"state": "settled"})),
        (vec![("told", AttributeValue::S(spent.to_string()))], settled),
        (vec![("told", AttributeValue::S("of a later version".to_owned()))], json!({"state": "settled"})),
    ];
    for (entry, mut details) in cases {
        let put = mock!(Client::put_item).then_error(move || {
            let entry = entry.iter().map(|(name, value)| ((*name).to_owned(), value.clone()));
            let failed = ConditionalCheckFailedException::builder().set_item(Some(entry.collect()));
            PutItemError::ConditionalCheckFailedException(failed.build())
        });
        let limits = one(limit(json!({"output": 5_000})));
        let decision = decide(&reserver(&[&put]), input(limits, usage(0, 0), json!({}))).await.unwrap();
        let answer = &decision["answer"];
        assert_eq!(answer["error"]["code"], "DuplicateRequest");
        details["requestId"] = answer["tags"]["requestId"].clone();
        assert_eq!(answer["error"]["details"], details);
        assert_eq!((&answer["statusCode"], &answer["outcome"]), (&json!(409), &json!("Invalid")));
        assert!(answer.get("budget").is_none() && decision.get("record").is_none(), "{decision}");
    }
}

#[tokio::test]
async fn a_request_with_unknown_figures_is_denied_before_anything_is_written() {
    let fine = one(limit(json!({"output": 5_000})));
    let refusal = json!({"denial": ErrorBody::new(ErrorCode::LimitNotConfigured, "none")});
    let dollars = one(limit(json!({"output": 5_000, "usd": "3"})));
    let unavailable = |name: &str| json!({"unavailable": name});
    let cases = [
        (fine.clone(), unavailable("UsageUnavailable"), true, "UsageUnavailable", 503),
        (fine, unavailable("Lambda.Unknown"), true, "UsageUnavailable", 503),
        (unavailable("LedgerUnavailable"), unavailable("NotAsked"), true, "LedgerUnavailable", 503),
        (refusal, unavailable("NotAsked"), true, "LimitNotConfigured", 403),
        // The catalogue has a price for this model but not for this request, for example because of another service
        // tier.
        (dollars, usage(0, 0), false, "ModelNotPriced", 403),
    ];
    for (limits, usage, priced, code, status) in cases {
        let mut input = input(limits, usage, json!({}));
        if !priced {
            input["request"]["model"].as_object_mut().unwrap().remove("price");
        }
        let decision = decide(&reserver(&[]), input).await.unwrap();
        assert_eq!(decision["approved"], false);
        assert_eq!(decision["answer"]["error"]["code"], code);
        assert_eq!(decision["answer"]["statusCode"], status);
        if code == "ModelNotPriced" {
            let details =
                json!({"scope": format!("model#{MODEL}"), "item": MODEL, "field": "limit.usd", "model": MODEL});
            assert_eq!(decision["answer"]["error"]["details"], details);
        }
    }
}

#[tokio::test]
async fn a_ledger_that_fails_is_a_failure_and_not_a_decision() {
    let put = registers();
    let update = mock!(Client::update_item)
        .then_error(|| UpdateItemError::InternalServerError(InternalServerError::builder().build()));
    let limits = one(limit(json!({"output": 5_000})));
    let failure = decide(&reserver(&[&put, &update]), input(limits, usage(0, 0), json!({}))).await.unwrap_err();
    assert_eq!(failure.name(), "LedgerUnavailable");
}

const CHEAP: &str = "us.anthropic.claude-3-5-haiku-20241022-v1:0";

/// A request of 1,000 tokens that exceeds its own limit of 300. The limit allows `fallback`.
fn with_fallback(own: Value, usage: Value) -> Value {
    let mut first = limit(json!({"output": 300}));
    first["whenExceeded"] = json!(["fallback"]);
    let mut other = limit(own);
    other["scope"] = json!(format!("model#{CHEAP}"));
    let limits = json!({"limits": {"model": [first], "fallback": [other]}});
    let mut input = input(limits, usage, json!({"inputTokens": 90}));
    let model = json!({"requested": "claude-3-5-haiku", "modelId": CHEAP, "modelMetric": CHEAP, "family": "anthropic",
                       "price": {"input": "0.80", "output": "4"}});
    input["request"]["fallback"] = json!({"model": model, "inputTokens": 410, "maxTokens": 800});
    input
}

fn both(seen: u64) -> Value {
    let mut both = usage(0, 0);
    both["fallback"] = series(0, seen);
    both
}

/// The decision if the ledger is empty.
async fn decide_anew(input: Value) -> Value {
    let (put, update) = (registers(), writes());
    let get = mock!(Client::get_item).then_output(|| GetItemOutput::builder().build());
    let delete = mock!(Client::delete_item).then_output(|| DeleteItemOutput::builder().build());
    decide(&reserver(&[&put, &update, &get, &delete]), input).await.unwrap()
}

#[tokio::test]
async fn the_fallback_is_held_for_at_its_own_price_and_by_its_own_bound() {
    let decision = decide_anew(with_fallback(json!({"output": 5000, "usd": "1"}), both(4_200))).await;
    assert_eq!(decision["approved"], true, "{decision}");
    let model = &decision["admitted"]["model"];
    assert_eq!((&model["modelId"], &model["requested"]), (&json!(CHEAP), &json!("claude-sonnet-4")));
    // 410 tokens at $0.80 a million, 800 tokens at $4: CloudWatch has seen 4,200 of 5,000.
    let reservation = &decision["admitted"]["reservation"];
    assert_eq!(
        reservation["hold"],
        json!({"input": 410, "output": 800, "usd": "0.003528000", "requests": 1, "inFlight": 1})
    );
    assert_eq!(reservation["scopes"][0]["scope"], format!("model#{CHEAP}"));
    let degraded = json!({"action": "fallback", "from": MODEL, "to": CHEAP, "maxTokens": {"from": 1000, "to": 800}});
    assert_eq!(notes(&decision), json!({"degraded": degraded}));
}

#[tokio::test]
async fn without_all_that_must_be_known_of_the_fallback_the_first_denial_stands() {
    let fine = || with_fallback(json!({"output": 5000}), both(0));
    let without = |pointer: &str, name: &str| {
        let mut input = fine();
        input.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(name).unwrap();
        input
    };
    let mut unpriced = with_fallback(json!({"usd": "1"}), both(0));
    unpriced["request"]["fallback"]["model"]["price"].take();
    let cases = [
        without("/request", "fallback"),
        without("/gathered/1/limits", "fallback"),
        without("/gathered/0", "fallback"),
        with_fallback(json!({"output": 5000}), both(4_201)),
        unpriced,
    ];
    for input in cases {
        let error = decide_anew(input.clone()).await["answer"]["error"].clone();
        assert_eq!((&error["code"], &error["details"]["needed"]), (&json!("BudgetExceeded"), &json!(1000)), "{input}");
        assert_eq!(error["details"]["scope"], format!("model#{MODEL}"));
    }
    assert_eq!(decide_anew(fine()).await["approved"], true);
}

/// The limits of a request that has several limits on its model.
fn several(limits: &[Value]) -> Value {
    json!({"limits": {"model": limits}})
}

#[tokio::test]
async fn a_hold_above_the_limit_of_one_request_is_denied_without_a_call_of_the_ledger() {
    let mut limit = limit(json!({"output": 5_000}));
    limit["perRequest"] = json!({"output": 999});
    for usage in [usage(0, 0), json!({"unavailable": "UsageUnavailable"})] {
        let decision = decide(&reserver(&[]), input(one(limit.clone()), usage, json!({}))).await.unwrap();
        let answer = &decision["answer"];
        assert_eq!((&answer["error"]["code"], &answer["statusCode"]), (&json!("RequestTooLarge"), &json!(403)));
        assert_eq!((&answer["budget"], &decision["record"]["code"]), (&json!([]), &json!("RequestTooLarge")));
    }
    // If the client does not set `max_tokens`, it is lowered.
    let (put, update) = (registers(), writes());
    let mut open = input(one(limit), usage(0, 0), json!({}));
    open["request"]["estimate"]["maxTokensGiven"] = json!(false);
    let decision = decide(&reserver(&[&put, &update]), open).await.unwrap();
    assert_eq!(decision["admitted"]["reservation"]["maxTokens"], 999);
    let degraded = json!({"action": "clamp", "from": 1000, "to": 999});
    assert_eq!(notes(&decision), json!({"degraded": degraded}));
}

#[tokio::test]
async fn a_limit_that_observes_denies_nothing_and_says_what_it_would() {
    let mut first = limit(json!({"output": 500, "usd": "1"}));
    first["enforce"] = json!("observe");
    first["perRequest"] = json!({"output": 10});
    let mut unpriced = input(one(first), usage(0, 0), json!({}));
    unpriced["request"]["model"].as_object_mut().unwrap().remove("price");
    let decision = decide_anew(unpriced).await;
    assert_eq!(decision["approved"], true, "{decision}");
    assert_eq!(decision["admitted"]["reservation"]["hold"]["usd"], "0.000000000");
    let would_deny = decision["admitted"]["notes"]["wouldDeny"].as_array().unwrap();
    let told: Vec<_> = would_deny.iter().map(|error| (&error["code"], &error["details"]["exceeded"])).collect();
    let expected = [
        (&json!("ModelNotPriced"), &Value::Null),
        (&json!("RequestTooLarge"), &json!("output")),
        (&json!("BudgetExceeded"), &json!("output")),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn cloudwatchs_figure_counts_for_every_window_of_the_model_and_its_foundation_from_its_own_start() {
    let window = |name: &str, start: &str| json!({"name": name, "key": name, "start": start, "resetsAt": "2026-12-01T00:00:00Z"});
    let mut day = limit(json!({"output": 100_000}));
    day["window"] = window("2026-11-21", "2026-11-21T00:00:00Z");
    let mut foundation = limit(json!({"output": 500}));
    foundation["scope"] = json!("foundation#anthropic.claude-sonnet-4-20250514-v1:0");
    let limits = several(&[limit(json!({"output": 100_000})), day, foundation]);
    let transact = mock!(Client::transact_write_items).then_error(|| {
        let canceled = TransactionCanceledException::builder();
        let reason = || CancellationReason::builder().code("ConditionalCheckFailed").build();
        let canceled = canceled.set_cancellation_reasons(Some(vec![reason(), reason(), reason()])).build();
        TransactWriteItemsError::TransactionCanceledException(canceled)
    });
    let read = mock!(Client::transact_get_items).then_output(|| {
        let empty = || ItemResponse::builder().build();
        TransactGetItemsOutput::builder().set_responses(Some(vec![empty(), empty(), empty()])).build()
    });
    let (put, delete) = (registers(), mock!(Client::delete_item).then_output(|| DeleteItemOutput::builder().build()));
    let decision =
        decide(&reserver(&[&put, &transact, &read, &delete]), input(limits, usage(0, 4_000), json!({}))).await.unwrap();
    let budget = decision["answer"]["budget"].as_array().unwrap();
    let used: Vec<_> = budget.iter().map(|entry| (&entry["output"]["used"], &entry["usageAgeSeconds"])).collect();
    // All of this usage is older than the day.
    assert_eq!(used, [(&json!(4000), &json!(30)), (&json!(0), &json!(30)), (&json!(4000), &json!(30))]);
    assert_eq!(decision["answer"]["error"]["details"]["scope"], "foundation#anthropic.claude-sonnet-4-20250514-v1:0");
}

/// The error for a shortage of `unit`, if `window` resets at `resets_at` or never.
fn told(unit: Unit, window: &str, resets_at: Option<&str>, numbers: (u128, u128), seconds: Option<u64>) -> ErrorBody {
    let mut limit = limit(json!({"output": 5, "requests": 5, "inFlight": 5}));
    limit["window"] = json!({"name": window, "key": window, "start": "2026-11-01T00:00:00Z", "resetsAt": resets_at});
    let limit: ScopeLimit = serde_json::from_value(limit).unwrap();
    let (needed, remaining) = numbers;
    let shortage =
        Shortage { limit: limit.into(), unit, needed, remaining, retry_after_seconds: seconds, may_fall_back: false };
    crate::denial::short(&shortage)
}

#[test]
fn a_shortage_is_told_by_its_unit_and_its_window() {
    let reset = Some("2026-12-01T00:00:00Z");
    let scope = format!("model#{MODEL}");
    let cases = [
        (
            told(Unit::Requests, "2026-11", reset, (1, 0), None),
            "BudgetExceeded",
            format!(
                "The requests of {scope} are used up for 2026-11. Wait until 2026-12-01T00:00:00Z, or ask an admin to raise the limit."
            ),
        ),
        (
            told(Unit::Output, "total", None, (9, 0), None),
            "BudgetExceeded",
            format!(
                "The output tokens of {scope} are used up in total. They never reset, so ask an admin to raise the limit."
            ),
        ),
        (
            told(Unit::Output, "total", None, (9, 4), None),
            "BudgetExceeded",
            format!(
                "The request may need 9 output tokens, and {scope} has 4 left in total. Ask for less, or ask an admin to raise the limit."
            ),
        ),
        (
            told(Unit::InFlight, "inFlight", None, (1, 0), Some(3)),
            "BudgetReserved",
            format!("5 requests of {scope} are in flight, of 5 allowed; try again in 3 seconds."),
        ),
    ];
    for (error, code, message) in cases {
        assert_eq!((error.code.name(), error.message.as_str()), (code, message.as_str()));
        assert_eq!(error.details.contains_key("resetsAt"), message.contains("Wait until"), "{error:?}");
        assert_eq!(error.retry_after_seconds, (code == "BudgetReserved").then_some(3));
    }
}
