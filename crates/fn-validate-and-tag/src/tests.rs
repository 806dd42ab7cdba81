//! Documents, and the results of validation.

mod documents;

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use sentry_contract::content::ImageFormat;
use sentry_contract::states::Validated;
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Value, json};
use std::time::Instant;
use uuid::Uuid;

use crate::picture;
use crate::resolve::tests::{Aws, resolver};
use crate::validate_and_tag;

/// Validates with an empty catalogue table and without inference profiles.
fn run(raw: &RawValue) -> Value {
    let now: DateTime<Utc> = "2026-11-21T05:00:00.123456Z".parse().unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let validated: Validated = runtime.block_on(async {
        let resolver = resolver(&Aws::empty());
        validate_and_tag(raw, &resolver, now, Instant::now(), Uuid::nil()).await
    });
    let mut value = serde_json::to_value(&validated).unwrap();
    if let Validated::Valid { prompt, .. } = &validated {
        value["request"]["prompt"] = prompt.open().unwrap();
    }
    value
}

pub fn validate(document: &Value) -> Value {
    run(&to_raw_value(document).unwrap())
}

pub fn request() -> Value {
    json!({
        "model": "claude-haiku-4-5",
        "prompt": {
            "messages": [{"role": "user", "content": "Explain."}, {"role": "assistant", "content": "S3 is"}],
            "parameters": {"max_tokens": 2000, "temperature": 0.7, "top_k": 50}
        },
        "tags": {"applicationId": "helper", "costCenter": "support", "environment": "production"}
    })
}

/// The price of Claude Haiku 4.5 through a `us.` profile. Source: Amazon Bedrock pricing, read 2026-11-26.
fn haiku_4_5() -> Value {
    json!({"input": "1.10", "output": "5.50", "cacheRead": "0.11", "cacheWrite5m": "1.375", "cacheWrite1h": "2.20"})
}

/// The request with the value at `pointer` replaced or added.
fn with(pointer: &str, value: Value) -> Value {
    let mut document = request();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap().as_object_mut().unwrap().insert(name.to_owned(), value);
    document
}

fn without(pointer: &str) -> Value {
    let mut document = request();
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    document.pointer_mut(parent).unwrap().as_object_mut().unwrap().remove(name);
    document
}

#[test]
fn the_contracts_document_is_tagged_and_its_model_resolved() {
    let validated = validate(&request());
    assert_eq!(validated["valid"], true);
    let id = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
    let tags = &validated["request"]["tags"];
    assert_eq!(tags["requestId"], "00000000-0000-0000-0000-000000000000");
    assert_eq!(tags["timestamp"], "2026-11-21T05:00:00.123456Z");
    assert_eq!(tags["modelMetric"], id);
    let model = json!({"requested": "claude-haiku-4-5", "modelId": id, "modelMetric": id, "foundation": "anthropic.claude-haiku-4-5-20251001-v1:0", "family": "anthropic",
                       "price": haiku_4_5(), "reasoning": "claude-budget"});
    assert_eq!(validated["request"]["model"], model);
    assert_eq!(validated["request"]["prompt"]["parameters"], request()["prompt"]["parameters"]);
    let estimate = json!({"inputTokens": 64 + 2 * 16 + 13, "maxTokens": 2000, "maxTokensGiven": true});
    assert_eq!(validated["request"]["estimate"], estimate);
}

#[test]
fn the_older_spelling_and_missing_parameters_are_fine() {
    let mut older = without("/prompt/parameters");
    let fields = older.as_object_mut().unwrap();
    let model = fields.remove("model").unwrap();
    fields.insert("modelId".to_owned(), model);
    let validated = validate(&older);
    assert_eq!(validated["request"]["prompt"]["parameters"], json!({"max_tokens": 2048}));
}

#[test]
fn only_the_clients_own_max_tokens_is_said_to_be_given() {
    for document in [without("/prompt/parameters"), without("/prompt/parameters/max_tokens")] {
        let request = validate(&document)["request"].clone();
        assert_eq!(request["prompt"]["parameters"]["max_tokens"], 2048);
        assert_eq!(
            (&request["estimate"]["maxTokens"], &request["estimate"]["maxTokensGiven"]),
            (&json!(2048), &json!(false))
        );
    }
    let same = validate(&with("/prompt/parameters/max_tokens", json!(2048)))["request"]["estimate"].clone();
    assert_eq!((&same["maxTokens"], &same["maxTokensGiven"]), (&json!(2048), &json!(true)));
}

#[test]
fn the_fallback_comes_with_its_price_and_no_more_tokens_than_it_writes() {
    let asked = |model: &str, max_tokens: u32| {
        let mut document = with("/model", json!(model));
        document["prompt"]["parameters"] = json!({"max_tokens": max_tokens});
        validate(&document)["request"]["fallback"].clone()
    };
    let id = "us.anthropic.claude-haiku-4-5-20251001-v1:0";
    let model = json!({"requested": "claude-haiku-4-5", "modelId": id, "modelMetric": id, "foundation": "anthropic.claude-haiku-4-5-20251001-v1:0", "family": "anthropic",
                       "price": haiku_4_5(), "reasoning": "claude-budget"});
    assert_eq!(
        asked("claude-sonnet-4-5", 500),
        json!({"model": model, "inputTokens": 64 + 2 * 16 + 13, "maxTokens": 500})
    );
    assert_eq!(asked("nova-2-lite", 30_000)["maxTokens"], 10_000);
    assert_eq!(asked("nova-micro", 500), Value::Null);
}

#[test]
fn a_fallback_that_cannot_honor_a_part_of_the_request_is_none() {
    let with_block = |model: &str, block: Value| {
        let mut document = with("/model", json!(model));
        document["prompt"]["messages"] = json!([{"role": "user", "content": [{"text": "Hi"}, block]}]);
        validate(&document)["request"].clone()
    };
    let image = json!({"image": {"format": "png", "source": {"bytes": "YQ=="}}});
    let notes = json!({"document": {"format": "txt", "name": "a", "source": {"text": "a"}}});
    for (model, block, stands_in) in [
        ("nova-pro", &image, true),
        ("nova-lite", &image, false),
        ("nova-lite", &notes, false),
        ("claude-sonnet-4-5", &notes, true),
    ] {
        let request = with_block(model, block.clone());
        assert_eq!((request.is_object(), request.get("fallback").is_some()), (true, stands_in), "{model} {block}");
    }
}

#[test]
fn a_picture_is_held_by_the_rule_of_its_model_and_a_fallback_by_its_own() {
    let mut document = with("/model", json!("nova-pro"));
    let image = picture::tests::image(ImageFormat::Jpeg, 1_200, 900);
    document["prompt"]["messages"] =
        json!([{"role": "user", "content": [{"text": "What is this?"}, {"image": image}]}]);
    let request = validate(&document)["request"].clone();
    // In Nova's table, 1400x900 has 1,800 tokens.
    let held = 64 + 16 + (16 + 13) + (16 + 1_800 + 225 + 64);
    assert_eq!(
        (&request["estimate"]["inputTokens"], &request["fallback"]["inputTokens"]),
        (&json!(held), &json!(held))
    );
    document["model"] = json!("nova-2-lite");
    assert_eq!(validate(&document)["request"]["estimate"]["inputTokens"], 1_000_000);
}

#[test]
fn an_own_request_id_and_whole_floats_are_kept() {
    let validated = validate(&with("/tags/requestId", json!("order-7_a")));
    assert_eq!(validated["request"]["tags"]["requestId"], "order-7_a");
    let validated = validate(&with("/prompt/parameters/max_tokens", json!(5.0)));
    assert_eq!(validated["request"]["prompt"]["parameters"]["max_tokens"], 5);
}

#[test]
fn a_field_that_no_parser_reads_is_refused_with_its_place() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    for (raw, place) in [(deep.as_str(), "line 1, column 128"), (r#"{"model": "\ud83d"}"#, "line 1, column 1")] {
        let answer = run(&RawValue::from_string(raw.to_owned()).unwrap())["answer"].clone();
        assert_eq!(
            (&answer["error"]["code"], &answer["error"]["details"]["path"]),
            (&json!("InvalidRequest"), &json!("$"))
        );
        assert!(answer["error"]["message"].as_str().unwrap().contains(place), "{answer}");
        assert!(answer.get("budget").is_none());
    }
}

#[test]
fn each_offence_is_named_by_its_path() {
    let thirteen: Value = (0..13).map(|n| (format!("tag{n}"), "x")).chain([("applicationId".into(), "x")]).collect();
    let cases = [
        (json!("text"), "$"),
        (json!([]), "$"),
        (json!(null), "$"),
        (json!({}), "model"),
        (without("/model"), "model"),
        (with("/modelId", json!("nova-lite")), "modelId"),
        (with("/model", json!(7)), "model"),
        (with("/model", json!("")), "model"),
        (with("/modle", json!("x")), "modle"),
        (without("/prompt"), "prompt"),
        (with("/prompt", json!("hi")), "prompt"),
        (with("/prompt/message", json!([])), "prompt.message"),
        (without("/prompt/messages"), "prompt.messages"),
        (with("/prompt/messages", json!([])), "prompt.messages"),
        (with("/prompt/messages", json!([{"role": "system", "content": "x"}])), "prompt.messages"),
        (with("/prompt/messages", json!([{"role": "robot", "content": "x"}])), "prompt.messages[0].role"),
        (with("/prompt/messages", json!([{"role": "user"}])), "prompt.messages[0].content"),
        (with("/prompt/messages", json!([{"role": "user", "content": ""}])), "prompt.messages[0].content"),
        (with("/prompt/messages", json!([{"role": "user", "content": "x", "name": "y"}])), "prompt.messages[0].name"),
        (with("/prompt/messages", json!([7])), "prompt.messages[0]"),
        (with("/prompt/parameters/temprature", json!(1)), "prompt.parameters.temprature"),
        (with("/prompt/parameters/max_tokens", json!(0)), "prompt.parameters.max_tokens"),
        (with("/prompt/parameters/max_tokens", json!(1.5)), "prompt.parameters.max_tokens"),
        (with("/prompt/parameters/max_tokens", json!(1e30)), "prompt.parameters.max_tokens"),
        (with("/prompt/parameters/max_tokens", json!(2_147_483_648_u64)), "prompt.parameters.max_tokens"),
        (with("/prompt/parameters/top_k", json!(2_147_483_648_u64)), "prompt.parameters.top_k"),
        (with("/prompt/parameters/max_tokens", json!(true)), "prompt.parameters.max_tokens"),
        (with("/prompt/parameters/temperature", json!(1.01)), "prompt.parameters.temperature"),
        (with("/prompt/parameters/top_p", json!("0.9")), "prompt.parameters.top_p"),
        (with("/prompt/parameters/top_k", json!(-1)), "prompt.parameters.top_k"),
        (with("/prompt/parameters/stop_sequences", json!("x")), "prompt.parameters.stop_sequences"),
        (with("/prompt/parameters/stop_sequences", json!(["a", 1])), "prompt.parameters.stop_sequences[1]"),
        (without("/tags"), "tags"),
        (without("/tags/applicationId"), "tags.applicationId"),
        (with("/tags/applicationId", json!("")), "tags.applicationId"),
        (with("/tags/costCenter", json!(7)), "tags.costCenter"),
        (with("/tags/costCenter", json!("größe ")), "tags.costCenter"),
        (with("/tags/costCenter", json!("a\u{7}")), "tags.costCenter"),
        (with("/tags/costCenter", json!(":a")), "tags.costCenter"),
        (with("/tags/costCenter", json!("  ")), "tags.costCenter"),
        (with("/tags/costCenter", json!("a".repeat(256))), "tags.costCenter"),
        (with("/tags/requestId", json!("a b")), "tags.requestId"),
        (with("/tags/timestamp", json!("now")), "tags.timestamp"),
        (with("/tags/modelMetric", json!("x")), "tags.modelMetric"),
        (with("/tags/größe", json!("x")), "tags"),
        (with("/tags", thirteen), "tags"),
        (with("/prompt/messages", json!([{"role": "user", "content": "x".repeat(262_144)}])), "$"),
    ];
    for (document, path) in cases {
        let validated = validate(&document);
        assert_eq!(validated["valid"], false, "{path}: {validated}");
        let answer = &validated["answer"];
        assert_eq!(answer["error"]["details"]["path"], path, "{answer}");
        assert_eq!((&answer["outcome"], &answer["statusCode"]), (&json!("Invalid"), &json!(400)));
        assert_eq!(answer["error"]["code"], "InvalidRequest");
    }
}

#[test]
fn an_unknown_model_has_a_code_of_its_own() {
    let answer = validate(&with("/model", json!("gpt-4")))["answer"].clone();
    assert_eq!(
        (&answer["error"]["code"], &answer["error"]["details"]["path"]),
        (&json!("UnknownModel"), &json!("model"))
    );
    assert_eq!(answer["model"], json!({"requested": "gpt-4"}));
}

#[test]
fn more_than_a_model_can_write_is_refused_with_its_limit() {
    let error = |max_tokens: u32| {
        validate(&with("/prompt/parameters/max_tokens", json!(max_tokens)))["answer"]["error"].clone()
    };
    assert_eq!(error(64_000), Value::Null);
    let error = error(64_001);
    assert_eq!((&error["code"], &error["details"]["limit"]), (&json!("InvalidRequest"), &json!(64_000)));
    assert_eq!(error["details"]["path"], "prompt.parameters.max_tokens");
    assert!(error["message"].as_str().unwrap().contains("64000"), "{error}");
}

#[test]
fn a_model_that_was_or_is_elsewhere_says_what_to_do() {
    let refused = |model: &str| validate(&with("/model", json!(model)))["answer"]["error"].clone();
    let error = refused("claude-3-7-sonnet");
    let details = json!({"path": "model", "retired": "2026-04-28", "replacement": "claude-sonnet-4-5"});
    assert_eq!((&error["code"], &error["details"]), (&json!("UnknownModel"), &details));
    let error = refused("eu.amazon.nova-lite-v1:0");
    assert_eq!((&error["code"], &error["details"]["region"]), (&json!("UnknownModel"), &json!("us-east-1")));
    assert_eq!(error["details"]["regions"][0], "eu-*");
}

#[test]
fn an_answer_to_a_refused_document_keeps_the_tags_that_are_acceptable() {
    let mut document = with("/tags/costCenter", json!("größe\n"));
    document["tags"]["requestId"] = json!("mine");
    let tags = validate(&document)["answer"]["tags"].clone();
    let expected = json!({"applicationId": "helper", "environment": "production", "requestId": "mine",
                          "timestamp": "2026-11-21T05:00:00.123456Z"});
    assert_eq!(tags, expected);
}

#[test]
fn a_document_deeper_than_the_parser_is_refused_rather_than_failing() {
    let deep = format!("{}{}", "[".repeat(5_000), "]".repeat(5_000));
    let answer = run(&RawValue::from_string(deep).unwrap())["answer"].clone();
    assert_eq!(answer["error"]["details"]["path"], "$");
}

#[test]
fn quotes_and_line_ends_take_no_more_room_than_other_text() {
    let quotes = |count| with("/prompt/messages", json!([{"role": "user", "content": "\"\n".repeat(count)}]));
    assert_eq!(validate(&quotes(65_000))["valid"], true);
    assert_eq!(validate(&quotes(66_000))["answer"]["error"]["details"]["path"], "$");
}

#[test]
fn a_prompt_that_cannot_be_packed_into_a_payload_is_refused_before_anything_is_held() {
    let mut state = 1_u64;
    let random = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        char::from(b' ' + u8::try_from((state >> 33) % 95).unwrap())
    };
    let text: String =
        std::iter::repeat_with(random).filter(|char| !['"', '\\'].contains(char)).take(258_000).collect();
    let answer = validate(&with("/prompt/messages", json!([{"role": "user", "content": text}])))["answer"].clone();
    assert_eq!(answer["error"]["details"]["path"], "$");
    assert!(answer["error"]["message"].as_str().unwrap().contains("packed"), "{answer}");
}

#[test]
fn a_request_id_belongs_to_its_application() {
    let key = |application: &str| {
        let mut document = with("/tags/requestId", json!("order-7"));
        document["tags"]["applicationId"] = json!(application);
        validate(&document)["request"]["requestKey"].clone()
    };
    assert_eq!(key("helper"), key("helper"));
    assert_ne!(key("helper"), key("other"));
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "\\PC{0,20}".prop_map(Value::from),
        Just(Value::from("user")),
    ];
    let name =
        prop_oneof!["[a-z]{0,5}", Just("role".to_owned()), Just("content".to_owned()), Just("messages".to_owned())];
    leaf.prop_recursive(4, 30, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::hash_map(name.clone(), inner, 0..5).prop_map(|map| map.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_document_gets_a_verdict_that_quotes_no_prompt(
        value in any_json(),
        place in prop::sample::select(vec!["/model", "/prompt", "/prompt/messages", "/prompt/parameters", "/tags"]),
    ) {
        let secret = json!([{"role": "user", "content": "a-secret-prompt"}, value.clone()]);
        for document in [value.clone(), with(place, value.clone()), with("/prompt/messages", secret)] {
            let verdict = validate(&document);
            prop_assert!(verdict["valid"].is_boolean());
            if verdict["valid"] == true {
                let request = &verdict["request"];
                prop_assert_eq!(&request["estimate"]["maxTokens"], &request["prompt"]["parameters"]["max_tokens"]);
            }
            if verdict["valid"] == false {
                prop_assert!(verdict["answer"]["error"]["details"]["path"].is_string());
                prop_assert!(!verdict["answer"].to_string().contains("a-secret-prompt"));
            }
        }
    }
}
