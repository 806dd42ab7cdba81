//! What DynamoDB answers, and what follows from it.

use std::collections::HashMap;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::operation::batch_get_item::{BatchGetItemError, BatchGetItemOutput};
use aws_sdk_dynamodb::types::AttributeValue::{M, N, S};
use aws_sdk_dynamodb::types::error::ProvisionedThroughputExceededException;
use aws_sdk_dynamodb::types::{AttributeValue, KeysAndAttributes};
use aws_smithy_mocks::{MockResponseInterceptor, Rule, create_mock_http_client, mock};
use sentry_contract::request::{Family, Model};
use sentry_contract::states::LimitFound;
use sentry_lambda::offline_config;
use serde_json::{Value, json};

use crate::{Item, LimitsTable};

const ARN: &str = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/p1";

fn model(requested: &str, model_id: &str, model_metric: &str) -> Model {
    Model {
        requested: requested.into(),
        model_id: model_id.into(),
        model_metric: model_metric.into(),
        family: Family::Nova,
    }
}

fn table(rule: &Rule) -> LimitsTable {
    let config = aws_sdk_dynamodb::config::Builder::from(&offline_config(create_mock_http_client()));
    let config = config.interceptor(MockResponseInterceptor::new().with_rule(rule)).build();
    LimitsTable::new(Client::from_conf(config), "limits".to_owned())
}

fn holding(items: Vec<Item>) -> LimitsTable {
    table(
        &mock!(Client::batch_get_item)
            .then_output(move || BatchGetItemOutput::builder().responses("limits", items.clone()).build()),
    )
}

fn item(key: &str, limit: AttributeValue) -> Item {
    HashMap::from([("modelId".to_owned(), S(key.to_owned())), ("limit".to_owned(), limit)])
}

fn tokens(input: &str) -> AttributeValue {
    M(HashMap::from([("input".to_owned(), N(input.to_owned()))]))
}

async fn lookup(table: LimitsTable) -> Value {
    let found: LimitFound = table.lookup(&model("sales", ARN, "p1")).await.unwrap();
    serde_json::to_value(found).unwrap()
}

#[tokio::test]
async fn all_candidate_keys_are_asked_for_at_once_and_consistently() {
    let rule = mock!(Client::batch_get_item)
        .match_requests(|request| {
            let wanted = &request.request_items().unwrap()["limits"];
            let keys: Vec<_> = wanted.keys().iter().map(|key| key["modelId"].as_s().unwrap().as_str()).collect();
            wanted.consistent_read() == Some(true) && keys == ["p1", ARN, "sales", "default"]
        })
        .then_output(|| BatchGetItemOutput::builder().build());
    assert_eq!(lookup(table(&rule)).await["refusal"]["code"], "LimitNotConfigured");
    assert_eq!(rule.num_calls(), 1);
}

#[tokio::test]
async fn a_key_that_is_the_same_in_two_places_is_asked_for_once() {
    let id = "amazon.nova-lite-v1:0";
    let rule = mock!(Client::batch_get_item)
        .match_requests(|request| request.request_items().unwrap()["limits"].keys().len() == 2)
        .then_output(|| BatchGetItemOutput::builder().build());
    table(&rule).lookup(&model(id, id, id)).await.unwrap();
    assert_eq!(rule.num_calls(), 1);
}

#[tokio::test]
async fn the_first_key_that_hits_decides() {
    let all = [("default", 4), ("sales", 3), (ARN, 2), ("p1", 1)];
    for (present, decides, source) in [(4, 1, "model"), (3, 2, "model"), (2, 3, "model"), (1, 4, "default")] {
        let items = all.iter().take(present).map(|(key, input)| item(key, tokens(&input.to_string()))).collect();
        let limit = lookup(holding(items)).await["limit"].clone();
        assert_eq!(limit, json!({"source": source, "input": decides}));
    }
}

#[tokio::test]
async fn an_item_that_cannot_be_understood_is_refused_by_item_and_field() {
    let text = |text: &str| S(text.to_owned());
    let map = |name: &str, value: AttributeValue| M(HashMap::from([(name.to_owned(), value)]));
    let with = |name: &str, value: AttributeValue| {
        let mut item = item("p1", tokens("5"));
        item.insert(name.to_owned(), value);
        item
    };
    let cases = [
        (item("p1", map("input", text("many"))), "limit.input"),
        (item("p1", map("output", N("-1".into()))), "limit.output"),
        (item("p1", map("output", N("1.5".into()))), "limit.output"),
        (item("p1", map("inptu", N("1".into()))), "limit.inptu"),
        (item("p1", map("usd", text("1.00"))), "limit.usd"),
        (item("p1", M(HashMap::new())), "limit"),
        (item("p1", text("1000")), "limit"),
        (HashMap::from([("modelId".to_owned(), text("p1"))]), "limit"),
        (with("window", text("fortnight")), "window"),
        (with("windw", text("month")), "windw"),
    ];
    for (item, field) in cases {
        let refusal = lookup(holding(vec![item])).await["refusal"].clone();
        assert_eq!(refusal["code"], "LimitMalformed", "{field}");
        assert_eq!(refusal["details"], json!({"item": "p1", "field": field}));
    }
}

#[tokio::test]
async fn a_malformed_item_is_not_passed_over_for_the_default() {
    let items = vec![item("p1", S("many".to_owned())), item("default", tokens("5"))];
    assert_eq!(lookup(holding(items)).await["refusal"]["code"], "LimitMalformed");
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
        let failure = table(&rule).lookup(&model("sales", ARN, "p1")).await.unwrap_err();
        assert_eq!(failure.name(), "LedgerUnavailable");
    }
}
