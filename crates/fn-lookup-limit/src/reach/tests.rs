//! Which items a request reaches.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::AttributeValue::{self, L, M, N, S};
use chrono::{DateTime, Utc};
use proptest::prelude::*;
use sentry_contract::request::{Fallback, Family, Model, PriceSource, Tags};
use sentry_contract::states::LookupLimitInput;

use super::*;
use crate::RequestScopes;

const PROFILE: &str = "arn:aws:bedrock:us-east-1:111122223333:application-inference-profile/p1";

fn model(requested: &str, id: &str, metric: &str, foundation: Option<&str>) -> Model {
    Model {
        requested: requested.to_owned(),
        model_id: id.to_owned(),
        model_metric: metric.to_owned(),
        foundation: foundation.map(str::to_owned),
        family: Family::Nova,
        price: None,
        price_source: PriceSource::Catalogue,
        reasoning: None,
    }
}

fn models() -> KnownModels {
    let nova = "us.amazon.nova-lite-v1:0";
    let foundation = Some("amazon.nova-lite-v1:0");
    let callable = [
        model("nova-lite", nova, nova, foundation),
        model(nova, nova, nova, foundation),
        model("claude", "global.anthropic.claude-5", "global.anthropic.claude-5", Some("anthropic.claude-5")),
        model("sales", PROFILE, "p1", foundation),
        model("local", "us.meta.llama9", "us.meta.llama9", Some("meta.llama9")),
    ];
    let mut by_name: HashMap<_, _> = callable.into_iter().map(|model| (model.requested.clone(), Ok(model))).collect();
    for (name, reason) in [
        ("titan-old", "titan-old was retired on 2026-01-31; use nova-lite instead"),
        ("eu.amazon.nova-lite-v1:0", "eu.amazon.nova-lite-v1:0 is not offered in us-east-1, only in eu-*"),
        ("nova-lyte", "it is no alias of the catalogue"),
        ("Default", "it is no alias of the catalogue"),
        ("none.such", "it is no alias of the catalogue"),
        ("default#amazon.nova-lite-v1:0", "it is no alias of the catalogue"),
    ] {
        by_name.insert(name.to_owned(), Err(reason.to_owned()));
    }
    KnownModels { by_name, others: vec![model(PROFILE, PROFILE, "p1", foundation)], profiles_by_tags: false }
}

fn now() -> DateTime<Utc> {
    "2026-11-21T13:37:11Z".parse().unwrap()
}

fn item(key: &str, more: &[(&str, AttributeValue)]) -> Item {
    let limit = M([("input".to_owned(), N("7".to_owned()))].into());
    let mut item = Item::from([(KEY.to_owned(), S(key.to_owned())), ("limit".to_owned(), limit)]);
    item.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
    item
}

fn checked(items: Vec<Item>, models: &KnownModels) -> HashMap<String, Result<(), Unreachable>> {
    let items = by_key(items);
    let budget_tags = "run,project".parse().unwrap();
    let reach = Reach { budget_tags: &budget_tags, models, items: &items, now: now() };
    items.iter().map(|(key, item)| (key.clone(), reach.check(key, item))).collect()
}

fn reason(key: &str) -> String {
    checked(vec![item(key, &[])], &models()).remove(key).unwrap().err().map(|it| it.to_string()).unwrap_or_default()
}

/// Keys of items that requests reach.
const REACHED: [&str; 24] = [
    "default",
    "us.amazon.nova-lite-v1:0",
    "claude",
    "sales",
    "local",
    "foundation#amazon.nova-lite-v1:0",
    "foundation#meta.llama9",
    "foundation#default",
    "costCenter#Marketing",
    "costCenter#marketing",
    "costCenter#unspecified",
    "costCenter#default",
    "application#Help%2BDesk",
    "application#help%2bdesk",
    "application#100%25 sure",
    "environment#a%23b",
    "application#helper+costCenter#support",
    "application#default+environment#default",
    "application#helper+costCenter#default+environment#prod",
    "user#Jo@example.com",
    "user#default",
    "run#nightly",
    "project#default",
    "costCenter#b:c",
];

#[test]
fn exactly_fifteen_of_forty_items_are_unreachable_each_for_another_reason() {
    let long = "x".repeat(256);
    let too_long = format!("application#{0}+costCenter#{0}+environment#{0}", "\u{1F600}".repeat(200));
    let long = format!("user#{long}");
    let unreachable = [
        ("costCentre#support", "costCentre is no kind of scope; write costCenter"),
        ("team#blue", "team is no kind of scope, and no tag of the parameter BudgetTags (run, project)"),
        ("model#nova-lite", "write nova-lite"),
        ("costCenter#support+application#helper", "write application#helper+costCenter#support"),
        ("costCenter#a+costCenter#b", "costCenter is there twice"),
        ("costCenter#support+user#jo", "user cannot be joined"),
        ("application#help+desk", "+, # and % in a value are written %2B, %23 and %25"),
        ("application#Help%2bDesk", "then all of them in lower case (application#help%2bdesk)"),
        ("costCenter#", "a value must not be empty"),
        ("run# nightly", "a value must not begin or end with a space"),
        (too_long.as_str(), "bytes; a key has at most 2048"),
        ("titan-old", "titan-old was retired on 2026-01-31"),
        ("foundation#us.amazon.nova-lite-v1:0", "write foundation#amazon.nova-lite-v1:0"),
        ("nova-lite", "finds the item us.amazon.nova-lite-v1:0 before it"),
        ("project#apollo", "all its windows have ended; the last one on 2026-11-01"),
    ];
    let ended = [("until", S("2026-11-01T00:00:00Z".to_owned())), ("window", S("day".to_owned()))];
    let mut items: Vec<Item> = REACHED.iter().map(|key| item(key, &[])).collect();
    items.push(item("project#gemini", &[("stopped", S("audit".to_owned())), ended[0].clone(), ended[1].clone()]));
    items.extend(unreachable.iter().map(|(key, _)| item(key, if *key == "project#apollo" { &ended } else { &[] })));
    assert_eq!(items.len(), 40);
    let found = checked(items, &models());
    for (key, part) in unreachable {
        let reason = found[key].as_ref().unwrap_err().to_string();
        assert!(reason.contains(part), "{key}: {reason}");
    }
    assert_eq!(found.values().filter(|reached| reached.is_err()).count(), 15);
    let reasons: std::collections::HashSet<_> = found
        .values()
        .filter_map(|reached| reached.as_ref().err())
        .map(|reason| match reason {
            Unreachable::Value { problem, .. } => (std::mem::discriminant(reason), problem.clone()),
            _ => (std::mem::discriminant(reason), String::new()),
        })
        .collect();
    assert_eq!(reasons.len(), 15, "each reason is another");
    assert!(reason(&long).contains("at most 255 characters"));
}

#[test]
fn other_keys_that_no_request_reaches_have_their_reason() {
    for (key, part) in [
        ("costcenter#support", "write costCenter"),
        ("applicationId#helper", "write application"),
        ("userId#jo", "write user"),
        ("Run#nightly", "write run"),
        ("fundation#amazon.nova-lite-v1:0", "write foundation"),
        ("eu.amazon.nova-lite-v1:0", "only in eu-*"),
        ("nova-lyte", "no alias"),
        ("Default", "no alias"),
        ("foundation#none.such", "no foundation model"),
        ("foundation#default#amazon.nova-lite-v1:0", "no foundation model"),
        ("application#helper+run#nightly", "run cannot be joined"),
        ("application#helper+model#nova-lite", "model cannot be joined"),
        ("application#helper+foundation#amazon.nova-lite-v1:0", "foundation cannot be joined"),
        ("application#a#b", "%23"),
        ("application#50%", "%25"),
        ("user#:jo", "colon"),
        ("user#jo\n", "control"),
        ("user# ", "not a space"),
        ("application#help%2bdesk+costCenter#Sales", "in lower case"),
        ("default#costCenter", "default is no kind of scope"),
        ("application#helper+environment#", "empty"),
    ] {
        let reason = reason(key);
        assert!(reason.contains(part), "{key}: {reason:?}");
    }
}

#[test]
fn an_item_stands_before_another_only_if_every_request_finds_it_first() {
    let both = |key: &str, other: &str, models: &KnownModels| {
        checked(vec![item(key, &[]), item(other, &[])], models).remove(key).unwrap()
    };
    let known = models();
    assert_eq!(both("sales", "p1", &known), Err(Unreachable::Shadowed("p1".to_owned())));
    assert_eq!(both(PROFILE, "p1", &known), Err(Unreachable::Shadowed("p1".to_owned())));
    assert_eq!(both("p1", "sales", &known), Ok(()));
    let mut stop = item("p1", &[("stopped", S("audit".to_owned()))]);
    stop.remove("limit");
    assert_eq!(checked(vec![item("sales", &[]), stop], &known)["sales"], Ok(()), "the stop ends");
    let mut by_tags = models();
    by_tags.profiles_by_tags = true;
    assert_eq!(both("sales", "p1", &by_tags), Ok(()), "a request of sales can be sent to another profile");
    let same = "application#1%2B1";
    assert_eq!(both("application#1%2b1", same, &known), Err(Unreachable::Shadowed(same.to_owned())));
    assert_eq!(both("application#a%2b1", "application#a%2B1", &known), Ok(()), "A+1 finds it");
}

#[test]
fn a_value_that_is_longer_in_lower_case_is_reached() {
    assert_eq!(reason(&format!("user#{}", "i\u{307}".repeat(200))), "");
    assert!(reason(&format!("user#{}", "i\u{307}".repeat(256))).contains("255"));
    assert!(reason(&format!("user#{}A", "i\u{307}".repeat(200))).contains("255"));
}

#[test]
fn an_item_that_denies_is_reached_although_its_windows_have_ended() {
    let ended = [("until", S("2026-11-01T00:00:00Z".to_owned())), ("window", S("day".to_owned()))];
    let windows = |untils: &[Option<&str>]| {
        let entry = |until: Option<&str>| {
            let mut entry = item("x", &[("window", S(if until.is_none() { "day" } else { "month" }.to_owned()))]);
            entry.remove(KEY);
            entry.extend(until.map(|until| ("until".to_owned(), S(until.to_owned()))));
            M(entry)
        };
        let mut item = item("user#jo", &[("limits", L(untils.iter().copied().map(entry).collect()))]);
        item.remove("limit");
        item
    };
    let end_of = |item: Item| checked(vec![item], &models()).into_values().next().unwrap();
    assert_eq!(end_of(item("us.amazon.nova-lite-v1:0", &ended)), Ok(()));
    assert_eq!(end_of(item("user#jo", &[("limit", S("malformed".to_owned()))])), Ok(()));
    assert_eq!(end_of(windows(&[Some("2026-11-01T00:00:00Z"), None])), Ok(()));
    assert_eq!(end_of(windows(&[Some("2026-12-01T00:00:00Z")])), Ok(()));
    assert!(end_of(windows(&[Some("2026-11-01T00:00:00Z")])).is_err());
}

fn value() -> impl Strategy<Value = String> {
    let any =
        prop_oneof!["\\PC{1,12}", "[A-Za-z0-9+#% :İΣß]{1,8}", Just("default".to_owned()), "[^\\x00-\\x1f]{1,255}"];
    any.prop_filter("a valid value", |value| sentry_contract::tag_value::usable(value).is_ok())
}

proptest! {
    #[test]
    fn every_key_that_a_request_looks_up_is_reached(
        values in prop::array::uniform5(prop::option::of(value())),
        requested in prop::sample::select(vec!["nova-lite", "claude", "sales", "local"]),
        fallback in prop::sample::select(vec!["nova-lite", "claude", "sales", "local"]),
        profiles_by_tags: bool,
    ) {
        let mut models = models();
        models.profiles_by_tags = profiles_by_tags;
        let named = |name: &str| models.by_name[name].clone().unwrap();
        let names = [Tags::APPLICATION_ID, Tags::COST_CENTER, Tags::ENVIRONMENT, Tags::USER_ID, "run"];
        let tags = names.iter().zip(values).filter_map(|(name, value)| Some(((*name).to_owned(), value?)));
        let fallback = Fallback { model: named(fallback), input_tokens: 1, max_tokens: 1 };
        let input = LookupLimitInput { model: named(requested), tags: Tags(tags.collect()), fallback: Some(fallback) };
        let budget_tags = "run,project".parse().unwrap();
        let keys: Vec<String> = RequestScopes::of(&input, &budget_tags).keys().cloned().collect();
        let items = HashMap::new();
        let reach = Reach { budget_tags: &budget_tags, models: &models, items: &items, now: now() };
        for key in keys {
            prop_assert_eq!(reach.check(&key, &item(&key, &[])), Ok(()), "{}", key);
        }
    }

    #[test]
    fn a_key_that_is_reached_is_looked_up_by_a_request_with_its_values(
        key in "(application|costCenter|user|run)#[A-Za-z0-9%+#2Bb5 ]{0,6}",
    ) {
        let found = checked(vec![item(&key, &[])], &models()).remove(&key).unwrap();
        if found.is_ok() && !key.contains('+') {
            let (kind, value) = key.split_once('#').unwrap();
            let tag = match kind { "application" => Tags::APPLICATION_ID, "costCenter" => Tags::COST_CENTER, "user" => Tags::USER_ID, other => other };
            // The lower form belongs to a value with a capital, or to the value itself.
            let value = decoded(value);
            prop_assert!(sentry_contract::tag_value::usable(&value).is_ok());
            let tags = Tags([(tag.to_owned(), value)].into());
            let scopes = crate::scopes::of_tags(&tags, &"run".parse().unwrap());
            prop_assert!(scopes.iter().any(|scope| scope.keys.contains(&key)), "{}", key);
        }
    }
}
