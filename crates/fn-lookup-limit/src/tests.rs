//! The results of `Lookup Limit` for answers of DynamoDB.

use std::collections::BTreeSet;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemError, BatchGetItemOutput};
use aws_sdk_dynamodb::types::AttributeValue::{M, N, S};
use aws_sdk_dynamodb::types::error::ProvisionedThroughputExceededException;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use aws_smithy_mocks::{Rule, RuleMode, mock};
use chrono::{DateTime, Utc};
use sentry_contract::request::{Fallback, Family, Model, PriceSource, Tags};
use sentry_contract::states::{LimitsFound, LookupLimitInput};
use sentry_lambda::Failure;
use serde_json::{Value, json};
use test_support::mock_client;

use crate::{Item, ItemsAhead, LimitsTable, MOST_KEYS};

const ARN: &str = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/p1";
const MODEL: [&str; 3] = ["sales", ARN, "p1"];

fn table(rule: &Rule) -> LimitsTable {
    let client = mock_client!(aws_sdk_dynamodb, RuleMode::MatchAny, &[rule]);
    LimitsTable::new(client, "limits".to_owned(), "run".parse().unwrap())
}

fn holding(items: Vec<Item>) -> LimitsTable {
    table(
        &mock!(Client::batch_get_item)
            .then_output(move || BatchGetItemOutput::builder().responses("limits", items.clone()).build()),
    )
}

fn item(key: &str, limit: AttributeValue) -> Item {
    Item::from([("modelId".to_owned(), S(key.to_owned())), ("limit".to_owned(), limit)])
}

fn tokens(key: &str, input: u64) -> Item {
    item(key, M([("input".to_owned(), N(input.to_string()))].into()))
}

fn malformed(key: &str) -> Item {
    item(key, S("many".to_owned()))
}

fn model(names: [&str; 3]) -> Model {
    let [requested, model_id, model_metric] = names.map(str::to_owned);
    let foundation = Some("amazon.nova-lite-v1:0".to_owned());
    Model {
        requested,
        model_id,
        model_metric,
        foundation,
        family: Family::Nova,
        price: None,
        price_source: PriceSource::Catalogue,
        reasoning: None,
    }
}

async fn try_lookup(table: &LimitsTable, names: [&str; 3]) -> Result<LimitsFound, Failure> {
    look_up(table, model(names), None).await
}

async fn look_up(table: &LimitsTable, model: Model, fallback: Option<Model>) -> Result<LimitsFound, Failure> {
    let tags = [("applicationId", "helper"), ("environment", "Production"), ("requestId", "r1")];
    let tags = Tags(tags.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
    let now: DateTime<Utc> = "2026-11-21T13:37:11Z".parse().unwrap();
    let fallback = fallback.map(|model| Fallback { model, input_tokens: 90, max_tokens: 100 });
    table.lookup(&LookupLimitInput { model, tags, fallback }, now).await
}

async fn lookup(items: Vec<Item>) -> Value {
    serde_json::to_value(try_lookup(&holding(items), MODEL).await.unwrap()).unwrap()
}

/// Scope, source and input limit of each limit that was found.
async fn found(items: Vec<Item>) -> Vec<(String, String, u64)> {
    let LimitsFound::Found { limits } = try_lookup(&holding(items), MODEL).await.unwrap() else { panic!("denied") };
    limits.wanted().map(|limit| (limit.scope.clone(), limit.source.clone(), limit.limits.input.unwrap())).collect()
}

fn expected(rows: &[(&str, &str, u64)]) -> Vec<(String, String, u64)> {
    rows.iter().map(|(scope, source, input)| ((*scope).to_owned(), (*source).to_owned(), *input)).collect()
}

#[tokio::test]
async fn all_candidate_keys_are_asked_for_at_once_and_consistently() {
    let rule = mock!(Client::batch_get_item)
        .match_requests(|request| {
            let wanted = &request.request_items().unwrap()["limits"];
            let keys: Vec<_> = wanted.keys().iter().map(|key| key["modelId"].as_s().unwrap().as_str()).collect();
            let expected = [
                "p1",
                ARN,
                "sales",
                "default",
                "foundation#amazon.nova-lite-v1:0",
                "foundation#default",
                "run#unspecified",
                "run#default",
                "application#helper",
                "application#default",
                "costCenter#unspecified",
                "costCenter#default",
                "environment#Production",
                "environment#production",
                "environment#default",
                "application#helper+costCenter#unspecified",
                "application#default+costCenter#default",
                "application#helper+environment#Production",
                "application#helper+environment#production",
                "application#default+environment#default",
                "costCenter#unspecified+environment#Production",
                "costCenter#unspecified+environment#production",
                "costCenter#default+environment#default",
                "application#helper+costCenter#unspecified+environment#Production",
                "application#helper+costCenter#unspecified+environment#production",
                "application#default+costCenter#default+environment#default",
            ];
            wanted.consistent_read() == Some(true)
                && keys.len() == expected.len()
                && BTreeSet::from_iter(keys) == BTreeSet::from(expected)
        })
        .then_output(|| BatchGetItemOutput::builder().build());
    let found = try_lookup(&table(&rule), MODEL).await.unwrap();
    assert_eq!(serde_json::to_value(found).unwrap()["denial"]["code"], "LimitNotConfigured");
    assert_eq!(rule.num_calls(), 1);
}

#[tokio::test]
async fn a_key_that_is_the_same_in_two_places_is_asked_for_once() {
    let rule = mock!(Client::batch_get_item)
        .match_requests(|request| request.request_items().unwrap()["limits"].keys().len() == 24)
        .then_output(|| BatchGetItemOutput::builder().build());
    try_lookup(&table(&rule), ["amazon.nova-lite-v1:0"; 3]).await.unwrap();
    assert_eq!(rule.num_calls(), 1);
}

#[tokio::test]
async fn the_first_key_that_hits_decides_for_the_model() {
    let all = [("default", 4), ("sales", 3), (ARN, 2), ("p1", 1)];
    for (present, decides, source) in [(4, 1, "model"), (3, 2, "model"), (2, 3, "model"), (1, 4, "default")] {
        let items = all.iter().take(present).map(|(key, input)| tokens(key, *input)).collect();
        assert_eq!(found(items).await, expected(&[("model#p1", source, decides)]));
    }
}

#[tokio::test]
async fn every_scope_that_has_an_item_applies_the_models_first_and_then_by_name() {
    let items = vec![
        tokens("environment#production", 5),
        tokens("application#helper+environment#production", 4),
        tokens("costCenter#default", 3),
        tokens("application#default", 9),
        tokens("application#helper", 2),
        tokens("application#other", 9),
        tokens("p1", 1),
    ];
    let rows = [
        ("model#p1", "model", 1),
        ("application#helper", "application", 2),
        ("application#helper+environment#production", "application+environment", 4),
        ("costCenter#unspecified", "default", 3),
        ("environment#production", "environment", 5),
    ];
    assert_eq!(found(items).await, expected(&rows));
}

#[tokio::test]
async fn a_fallback_applies_to_each_value_on_its_own() {
    let items = vec![tokens("default", 1), tokens("application#default+environment#default", 2)];
    let rows = [("model#p1", "default", 1), ("application#helper+environment#production", "default", 2)];
    assert_eq!(found(items).await, expected(&rows));
}

#[tokio::test]
async fn an_items_settings_and_the_window_of_the_moment_are_told() {
    let mut item = item("p1", M([("usd".to_owned(), N("1E+2".to_owned()))].into()));
    item.insert("window".to_owned(), S("hour".to_owned()));
    item.insert("timeZone".to_owned(), S("Asia/Kathmandu".to_owned()));
    item.insert("alertAt".to_owned(), AttributeValue::L(vec![N("80".to_owned()), N("50".to_owned())]));
    item.insert("shards".to_owned(), N("4".to_owned()));
    insta::assert_json_snapshot!(lookup(vec![item]).await);
}

#[tokio::test]
async fn a_malformed_item_is_named_and_not_passed_over_for_the_default() {
    let items = vec![malformed("p1"), tokens("default", 5)];
    let denial = lookup(items).await["denial"].clone();
    assert_eq!(denial["code"], "LimitMalformed");
    assert_eq!(denial["details"], json!({"item": "p1", "field": "limit"}));
    let items = vec![tokens("p1", 5), malformed("environment#production"), tokens("environment#default", 5)];
    assert_eq!(lookup(items).await["denial"]["details"]["item"], "environment#production");
}

#[tokio::test]
async fn an_item_that_does_not_apply_may_be_malformed() {
    let items =
        vec![tokens("p1", 5), malformed("default"), tokens("application#helper", 6), malformed("application#default")];
    assert_eq!(found(items).await, expected(&[("model#p1", "model", 5), ("application#helper", "application", 6)]));
}

#[tokio::test]
async fn a_missing_limit_of_the_model_comes_before_the_first_malformed_item() {
    let wrong = || vec![malformed("environment#default"), malformed("application#helper")];
    assert_eq!(lookup(wrong()).await["denial"]["code"], "LimitNotConfigured");
    let with = |more: Item| wrong().into_iter().chain([more]).collect();
    assert_eq!(lookup(with(tokens("default", 1))).await["denial"]["details"]["item"], "application#helper");
    assert_eq!(lookup(with(malformed("default"))).await["denial"]["details"]["item"], "default");
}

/// Scope and input limit of the fallback's first limit.
async fn fallback_found(items: Vec<Item>) -> Option<(String, u64)> {
    let cheap = model(["nova-micro", "amazon.nova-micro-v1:0", "amazon.nova-micro-v1:0"]);
    let cheap = Model { foundation: Some(cheap.model_id.clone()), ..cheap };
    let found = look_up(&holding(items), model(MODEL), Some(cheap)).await.unwrap();
    let LimitsFound::Found { limits } = found else { panic!("denied") };
    limits.fallback.first().map(|limit| (limit.scope.clone(), limit.limits.input.unwrap()))
}

fn text(text: &str) -> AttributeValue {
    S(text.to_owned())
}

fn stopped(key: &str) -> Item {
    Item::from([("modelId".to_owned(), text(key)), ("stopped".to_owned(), text("a leak"))])
}

/// An item whose only window has ended.
fn ended(key: &str) -> Item {
    let period = [("from", "2026-11-01T00:00:00Z"), ("until", "2026-11-21T00:00:00Z")];
    tokens(key, 5).into_iter().chain(period.map(|(name, instant)| (name.to_owned(), text(instant)))).collect()
}

#[tokio::test]
async fn a_stopped_scope_denies_with_the_admins_reason_and_nothing_else_is_needed() {
    let denial = lookup(vec![tokens("p1", 5), stopped("environment#Production")]).await["denial"].clone();
    assert_eq!(denial["code"], "Stopped");
    let details = json!({"scope": "environment#production", "reason": "a leak", "item": "environment#Production"});
    assert_eq!(denial["details"], details);
    assert!(denial["message"].as_str().unwrap().contains("a leak"), "{denial}");
    assert_eq!(lookup(vec![stopped("p1")]).await["denial"]["code"], "Stopped");
    assert_eq!(lookup(vec![stopped("environment#production")]).await["denial"]["code"], "LimitNotConfigured");
    let malformed = lookup(vec![malformed("p1"), stopped("environment#production")]).await["denial"].clone();
    assert_eq!(malformed["code"], "LimitMalformed");
}

#[tokio::test]
async fn an_item_that_is_not_in_force_limits_no_tag_and_leaves_the_model_without_a_limit() {
    let items = vec![tokens("p1", 5), ended("environment#production"), ended("foundation#amazon.nova-lite-v1:0")];
    assert_eq!(found(items).await, expected(&[("model#p1", "model", 5)]));
    let denial = lookup(vec![ended("p1"), tokens("default", 5), tokens("run#default", 5)]).await["denial"].clone();
    assert_eq!((&denial["code"], &denial["details"]["item"]), (&json!("LimitNotConfigured"), &json!("p1")));
    assert!(denial["message"].as_str().unwrap().contains("in force at 2026-11-21T13:37:11Z"), "{denial}");
}

#[tokio::test]
async fn a_denial_names_the_item_and_says_what_to_do() {
    insta::assert_json_snapshot!("denied_without_a_limit", lookup(vec![]).await);
    insta::assert_json_snapshot!("denied_as_not_in_force", lookup(vec![ended("p1")]).await);
    insta::assert_json_snapshot!("denied_as_malformed", lookup(vec![malformed("p1")]).await);
    insta::assert_json_snapshot!("denied_as_stopped", lookup(vec![tokens("p1", 5), stopped("run#default")]).await);
}

#[tokio::test]
async fn the_foundation_model_comes_after_the_model_and_before_the_tags() {
    let items = vec![tokens("application#helper", 1), tokens("foundation#default", 2), tokens("p1", 3)];
    let rows = [
        ("model#p1", "model", 3),
        ("foundation#amazon.nova-lite-v1:0", "default", 2),
        ("application#helper", "application", 1),
    ];
    assert_eq!(found(items).await, expected(&rows));
}

#[tokio::test]
async fn a_value_has_its_item_as_it_is_written_or_in_lower_case_and_one_budget() {
    for (key, source) in [
        ("environment#Production", "environment"),
        ("environment#production", "environment"),
        ("environment#default", "default"),
    ] {
        let items = vec![tokens("p1", 1), tokens(key, 2)];
        assert_eq!(found(items).await, expected(&[("model#p1", "model", 1), ("environment#production", source, 2)]));
    }
}

#[tokio::test]
async fn a_shared_fallback_is_one_budget_for_all_values_without_an_item() {
    let shared = |key: &str| {
        tokens(key, 2).into_iter().chain([("shared".to_owned(), AttributeValue::Bool(true))]).collect::<Item>()
    };
    let items = vec![
        tokens("p1", 1),
        shared("run#default"),
        shared("environment#default"),
        tokens("environment#production", 3),
    ];
    let rows = [("model#p1", "model", 1), ("environment#production", "environment", 3), ("run#default", "default", 2)];
    assert_eq!(found(items).await, expected(&rows));
    assert_eq!(lookup(vec![shared("default")]).await["denial"]["details"]["field"], "shared");
}

#[tokio::test]
async fn every_window_of_an_item_is_a_limit_and_one_request_is_judged_once() {
    let numbers = |pairs: &[(&str, &str)]| {
        M(pairs.iter().map(|(unit, value)| ((*unit).to_owned(), N((*value).to_owned()))).collect())
    };
    let window = |name: &str, limit| M([("window".to_owned(), text(name)), ("limit".to_owned(), limit)].into());
    let windows = vec![
        window("month", numbers(&[("usd", "500")])),
        window("day", numbers(&[("usd", "50")])),
        window("minute", numbers(&[("input", "100000"), ("inFlight", "2")])),
    ];
    let item = Item::from([
        ("modelId".to_owned(), text("p1")),
        ("limits".to_owned(), AttributeValue::L(windows)),
        ("perRequest".to_owned(), numbers(&[("output", "4000")])),
        ("enforce".to_owned(), text("observe")),
    ]);
    insta::assert_json_snapshot!(lookup(vec![item]).await);
}

/// The largest request: every scope has an item with every window, and every value differs from its lower-case form.
#[tokio::test]
async fn the_largest_request_is_one_read_and_one_transaction() {
    let tags = ["applicationId", "costCenter", "environment", "userId", "a", "b", "c", "d", "e", "f"];
    let tags = Tags(tags.map(|name| (name.to_owned(), "X".repeat(255))).into());
    let windows = ["minute", "hour", "day", "week"].map(|name| {
        let unit = if name == "day" { "inFlight" } else { "input" };
        let limit = M([(unit.to_owned(), N("5".to_owned())), ("output".to_owned(), N("5".to_owned()))].into());
        M([("window".to_owned(), text(name)), ("limit".to_owned(), limit)].into())
    });
    let rule = mock!(Client::batch_get_item).then_compute_output(move |request| {
        let keys = request.request_items().unwrap()["limits"].keys().to_vec();
        assert!(keys.len() <= MOST_KEYS, "{}", keys.len());
        let whole = keys.into_iter().map(|mut key| {
            key.insert("limits".to_owned(), AttributeValue::L(windows.clone().into()));
            key.insert("whenExceeded".to_owned(), AttributeValue::L(vec![text("fallback")]));
            key
        });
        BatchGetItemOutput::builder().responses("limits", whole.collect()).build()
    });
    let table = LimitsTable { budget_tags: "a,b,c,d,e,f".parse().unwrap(), ..table(&rule) };
    let cheap = model(["cheap", "us.amazon.nova-micro-v1:0", "amazon.nova-micro-v1:0"]);
    let fallback = Fallback {
        model: Model { foundation: Some("amazon.nova-micro-v1:0".into()), ..cheap },
        input_tokens: 9,
        max_tokens: 9,
    };
    let input = LookupLimitInput { model: model(MODEL), tags, fallback: Some(fallback) };
    let found = table.lookup(&input, "2026-11-21T13:37:11Z".parse().unwrap()).await.unwrap();
    let LimitsFound::Found { limits } = found else { panic!("denied") };
    assert_eq!((limits.wanted().count(), limits.all().count()), (80, 90));
}

fn degrading(key: &str, words: &[&str]) -> Item {
    let words = words.iter().map(|word| S((*word).to_owned())).collect();
    tokens(key, 5).into_iter().chain([("whenExceeded".to_owned(), AttributeValue::L(words))]).collect()
}

#[tokio::test]
async fn the_fallbacks_limit_is_found_if_a_limit_that_applies_allows_the_fallback() {
    let scope = "model#amazon.nova-micro-v1:0".to_owned();
    let own = || tokens("amazon.nova-micro-v1:0", 7);
    let cases = [
        (vec![degrading("p1", &["fallback"]), own()], Some(7)),
        (vec![tokens("p1", 5), degrading("application#helper", &["clamp", "fallback"]), own()], Some(7)),
        (vec![degrading("p1", &["fallback"]), tokens("nova-micro", 8)], Some(8)),
        // The fallback uses its own limit or the default, but never the limit of the model that it replaces.
        (vec![degrading("default", &["fallback"])], Some(5)),
        (vec![degrading("p1", &["fallback"])], None),
        (vec![degrading("p1", &["fallback"]), malformed("amazon.nova-micro-v1:0")], None),
        (vec![degrading("p1", &["fallback"]), own(), malformed("foundation#amazon.nova-micro-v1:0")], None),
        (vec![degrading("p1", &["fallback"]), own(), stopped("foundation#amazon.nova-micro-v1:0")], None),
        (vec![degrading("p1", &["fallback"]), own(), stopped("foundation#amazon.nova-pro-v1:0")], Some(7)),
        (vec![degrading("p1", &["fallback"]), ended("amazon.nova-micro-v1:0")], None),
        (vec![degrading("p1", &["clamp"]), own()], None),
        (vec![tokens("p1", 5), degrading("application#other", &["fallback"]), own()], None),
    ];
    for (items, expected) in cases {
        assert_eq!(fallback_found(items.clone()).await, expected.map(|input| (scope.clone(), input)), "{items:?}");
    }
}

#[tokio::test]
async fn an_incomplete_or_failed_read_fails_closed() {
    let left = || KeysAndAttributes::builder().set_keys(Some(vec![Item::new()])).build().unwrap();
    let partial = mock!(Client::batch_get_item)
        .then_output(move || BatchGetItemOutput::builder().unprocessed_keys("limits", left()).build());
    let throttled = mock!(Client::batch_get_item).then_error(|| {
        BatchGetItemError::ProvisionedThroughputExceededException(
            ProvisionedThroughputExceededException::builder().build(),
        )
    });
    for rule in [partial, throttled] {
        assert_eq!(try_lookup(&table(&rule), MODEL).await.unwrap_err().name(), "LedgerUnavailable");
    }
}

#[tokio::test]
async fn items_read_ahead_serve_a_request_that_needs_no_others() {
    let now: DateTime<Utc> = "2026-11-21T13:37:11Z".parse().unwrap();
    let request = |application: &str| {
        let tags = [("applicationId", application), ("environment", "Production"), ("requestId", "r1")];
        let tags = Tags(tags.map(|(name, value)| (name.to_owned(), value.to_owned())).into());
        LookupLimitInput { model: model(MODEL), tags, fallback: None }
    };
    let read = mock!(Client::batch_get_item)
        .then_output(|| BatchGetItemOutput::builder().responses("limits", vec![tokens("default", 2)]).build());
    let table = table(&read);
    let ahead = ItemsAhead::new(table.keys(&request("helper")), vec![tokens("default", 1)]);
    for (application, calls, limit) in [("helper", 0, 1), ("other", 1, 2)] {
        let found = table.lookup_ahead(&request(application), Some(&ahead), now).await.unwrap();
        let LimitsFound::Found { limits } = found else { panic!("{found:?}") };
        assert_eq!((read.num_calls(), limits.model[0].limits.input), (calls, Some(limit)), "{application}");
    }
}
