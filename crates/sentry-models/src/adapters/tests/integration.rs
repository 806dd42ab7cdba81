//! Converse with the names of Step Functions.

use proptest::prelude::*;
use sentry_contract::request::Family;
use sentry_domain::Charges;
use serde_json::{Value, json};

use super::reference::answer;
use super::{input, user};
use crate::adapters::converse::ConverseRequest;
use crate::adapters::integration::{camel, failure, parameters, pascal, read};
use crate::adapters::{Effect, normalize, prepare};

/// Names whose content is the caller's own JSON. As values, the same words are ordinary texts.
const OWN: [&str; 3] = ["additionalModelRequestFields", "input", "json"];

/// Any JSON, with any field names.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        ".*".prop_map(Value::from)
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map(".{0,8}", inner, 0..4).prop_map(|fields| json!(fields)),
        ]
    })
}

/// Any structure that Bedrock's service model could have: names in lower camel case, and the caller's own JSON in some
/// places.
fn any_structure() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        any::<bool>().prop_map(Value::from),
        any::<u32>().prop_map(Value::from),
        ".*".prop_map(Value::from)
    ];
    let own = (prop::sample::select(OWN.to_vec()), any_json()).boxed();
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let member = prop_oneof![
            ("[a-z][a-zA-Z0-9]{0,12}", inner.clone()),
            own.clone().prop_map(|(name, value)| (name.to_owned(), value))
        ];
        prop_oneof![
            prop::collection::vec(inner, 0..4).prop_map(Value::from),
            prop::collection::vec(member, 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// `true` if every name outside the caller's own JSON begins with a capital letter.
fn is_pascal(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(is_pascal),
        Value::Object(fields) => fields.iter().all(|(name, value)| {
            let own = OWN.iter().any(|own| own.eq_ignore_ascii_case(name));
            name.starts_with(|first: char| first.is_ascii_uppercase()) && (own || is_pascal(value))
        }),
        _ => true,
    }
}

proptest! {
    #[test]
    fn names_come_back_as_they_were(structure in any_structure()) {
        let there = pascal(structure.clone());
        prop_assert!(is_pascal(&there), "{there}");
        prop_assert_eq!(camel(there), structure);
    }

    #[test]
    fn any_request_comes_back_as_it_was(
        texts in prop::collection::vec(".+", 1..4),
        stops in prop::collection::vec(".+", 0..3),
        tags in prop::collection::btree_map("[A-Za-z:_]{1,9}", "[A-Za-z ]{1,9}", 0..4),
        fields in prop::option::of(any_json()),
    ) {
        let request: ConverseRequest = serde_json::from_value(json!({
            "messages": texts.iter().map(|text| json!({"role": "user", "content": [{"text": text}]})).collect::<Vec<_>>(),
            "inferenceConfig": {"maxTokens": 9, "topP": 0.5, "stopSequences": stops},
            "additionalModelRequestFields": fields,
            "requestMetadata": tags,
        })).unwrap();
        let mut sent = parameters("some.model", &request).unwrap().unwrap();
        prop_assert_eq!(sent.as_object_mut().unwrap().remove("ModelId"), Some(json!("some.model")));
        prop_assert_eq!(serde_json::from_value::<ConverseRequest>(camel(sent)).unwrap(), request);
    }

    #[test]
    fn any_result_is_read(result in any_json()) {
        prop_assert!(read(result, Charges::default()).is_err());
    }

    /// The failure never contains text of the cause before the SDK's ending.
    #[test]
    fn no_error_tells_its_cause(
        name in "(BedrockRuntime\\.)?[A-Za-z]{0,20}",
        secret in "secret[a-z ]{9}",
        end in prop_oneof![
            ".*".prop_map(String::from),
            " \\(Service: .{0,9}, Status Code: .{0,4}, Request ID: .{0,9}\\)( \\(SDK Attempt Count: .{0,3}\\))?",
        ],
    ) {
        let told = serde_json::to_string(&failure(&name, &format!("{secret}{end}")).error).unwrap();
        prop_assert!(!told.contains("secret"), "{told}");
    }
}

#[test]
fn every_structure_is_renamed_and_what_is_the_callers_stays() {
    let bedrocks = json!({
        "messages": [{"role": "assistant", "content": [
            {"toolUse": {"toolUseId": "t1", "name": "find", "input": {"someKey": [{"innerKey": 1}]}}},
            {"toolResult": {"toolUseId": "t1", "content": [{"json": {"aKey": null}}]}}]}],
        "toolConfig": {"tools": [{"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object"}}}}]},
        "additionalModelRequestFields": {"top_k": 5},
        "requestMetadata": {"costCenter": "x"},
    });
    let step_functions = json!({
        "Messages": [{"Role": "assistant", "Content": [
            {"ToolUse": {"ToolUseId": "t1", "Name": "find", "Input": {"someKey": [{"innerKey": 1}]}}},
            {"ToolResult": {"ToolUseId": "t1", "Content": [{"Json": {"aKey": null}}]}}]}],
        "ToolConfig": {"Tools": [{"ToolSpec": {"Name": "find", "InputSchema": {"Json": {"type": "object"}}}}]},
        "AdditionalModelRequestFields": {"top_k": 5},
        "RequestMetadata": {"costCenter": "x"},
    });
    assert_eq!(pascal(bedrocks.clone()), step_functions);
    assert_eq!(camel(step_functions), bedrocks);
}

#[test]
fn an_answer_means_the_same_under_either_names() {
    let told = answer("Hello.", [21, 9, 40, 3]);
    let direct = normalize(serde_json::from_value(told.clone()).unwrap(), Charges::default()).unwrap();
    assert_eq!(read(pascal(told), Charges::default()).unwrap(), direct);
}

#[test]
fn step_functions_repeats_after_the_errors_that_certainly_cost_nothing_and_may_pass() {
    let machine: Value =
        serde_json::from_str(include_str!("../../../../../statemachines/model-router.asl.json")).unwrap();
    let repeated = machine["States"]["Prepare Call"]["Assign"]["temporary"].as_array().unwrap();
    let known = [
        "ThrottlingException",
        "ServiceQuotaExceededException",
        "ModelNotReadyException",
        "ServiceUnavailableException",
        "InternalServerException",
        "ModelTimeoutException",
        "ModelErrorException",
        "AccessDeniedException",
        "ValidationException",
        "ResourceNotFoundException",
        "SdkClientException",
        "BedrockRuntimeException",
    ];
    for name in known.map(|name| format!("BedrockRuntime.{name}")) {
        assert_eq!(failure(&name, "").repeatable(), repeated.contains(&json!(name)), "{name}");
    }
}

#[test]
fn an_error_after_repetitions_says_nothing_of_the_attempts_before_it() {
    let effect = |ending: &str| {
        let cause = format!("Slow down. (Service: BedrockRuntime, Status Code: 429, Request ID: r-1){ending}");
        let failed = failure("BedrockRuntime.ThrottlingException", &cause);
        assert_eq!(failed.error.details.get("bedrockRequestId"), Some(&json!("r-1")));
        failed.effect
    };
    assert_eq!(effect(""), Effect::NothingYet);
    assert_eq!(effect(" (SDK Attempt Count: 1)"), Effect::NothingYet);
    for several in [" (SDK Attempt Count: 3)", " (SDK Attempt Count: 11)", " (SDK Attempt Count: many)"] {
        assert_eq!(effect(several), Effect::Unknown, "{several}");
    }
    for cause in ["SDK Attempt Count: 2", "You said (SDK Attempt Count: 1). (SDK Attempt Count: 2)"] {
        assert_eq!(failure("BedrockRuntime.ThrottlingException", cause).effect, Effect::Unknown, "{cause}");
    }
}

#[test]
fn a_request_reaches_the_integration_as_it_was_prepared() {
    let parameters_given = json!({"max_tokens": 9, "top_k": 3});
    let model_id = "us.anthropic.claude-sonnet-4-20250514-v1:0";
    let input = input(Family::Anthropic, model_id, &user("Hi"), &parameters_given);
    let request = prepare(&input, 9).unwrap();
    let sent = parameters(model_id, &request).unwrap().unwrap();
    assert_eq!(sent["AdditionalModelRequestFields"], json!({"top_k": 3}));
    assert_eq!(serde_json::from_value::<ConverseRequest>(camel(sent)).unwrap(), request);
}
