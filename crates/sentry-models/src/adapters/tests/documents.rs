//! The complete answers and failures of model calls.

use std::time::Duration;

use sentry_contract::request::Family;
use sentry_contract::states::Carried;
use sentry_domain::{CacheTtl, Charges, Price, ServiceTier};
use serde_json::{Value, json};

use super::reference::answer;
use super::{asking, prepare, user};
use crate::adapters::{ModelFailure, failed, integration, native_failure, normalize};

/// The failure for a caller with a sealed prompt. Bedrock's message is opened.
fn document(failure: ModelFailure) -> Value {
    let failure = failed(failure, Carried::Sealed);
    let mut document = serde_json::to_value(&failure).unwrap();
    if let Some(message) = &failure.bedrock_message {
        document["bedrockMessage"] = message.open().unwrap();
    }
    document
}

/// The failure of a call by Step Functions that Bedrock answered with an error.
fn refused(name: &str, status: u16, message: &str) -> Value {
    let cause = format!("{message} (Service: BedrockRuntime, Status Code: {status}, Request ID: r-1)");
    document(integration::failure(&format!("BedrockRuntime.{name}"), &cause))
}

#[test]
fn an_answer_has_one_form_for_every_family() {
    // $3 and $15 a million tokens, less 10 percent.
    let price: Price = serde_json::from_value(json!({
        "input": "2.70", "output": "13.50", "cacheRead": "0.27", "cacheWrite5m": "3.375", "cacheWrite1h": "5.40",
        "discountPercent": "10"
    }))
    .unwrap();
    let plain = normalize(serde_json::from_value(answer("S3", [21, 43, 0, 0])).unwrap(), Charges::default()).unwrap();
    insta::assert_json_snapshot!("answer", plain.answer(false, Some(&price)));

    let mut body = answer("Let me look.", [21, 43, 7, 9]);
    let asked = json!({"toolUse": {"toolUseId": "t1", "name": "find", "input": {"place": "harbor", "id": 9_007_199_254_740_993_u64}}});
    body["output"]["message"]["content"].as_array_mut().unwrap().push(asked);
    (body["stopReason"], body["serviceTier"]) = (json!("tool_use"), json!({"type": "flex"}));
    let rich = || normalize(serde_json::from_value(body.clone()).unwrap(), Charges::default()).unwrap();
    insta::assert_json_snapshot!("answer_in_blocks_without_a_price", rich().answer(true, None));

    let mut silent = answer("S3", [21, 43, 7, 9]);
    (silent["usage"]["cacheDetails"], silent["serviceTier"]) = (Value::Null, Value::Null);
    let asked = Charges { tier: ServiceTier::Default, cache: Some(CacheTtl::OneHour) };
    let silent = normalize(serde_json::from_value(silent).unwrap(), asked).unwrap();
    insta::assert_json_snapshot!("answer_with_a_cache_whose_lifetime_is_not_told", silent.answer(false, Some(&price)));
}

#[test]
fn a_failure_says_what_it_means_and_what_it_can_have_cost() {
    let choice =
        asking(Family::Nova, "amazon.nova-lite-v1:0", &json!({"messages": user("Hi"), "toolChoice": {"any": {}}}));
    let mut endless = answer("S3", [21, 43, 0, 0]);
    endless["stopReason"] = Value::Null;
    let read =
        |body: Value| document(normalize(serde_json::from_value(body).unwrap(), Charges::default()).unwrap_err());
    let ended =
        "This model version has reached the end of its life. Please refer to the AWS documentation for more details.";
    let form = "Model use case details have not been submitted for this account. Fill out the Anthropic use case details form before using the model.";
    let cases = [
        ("failure_never_sent", document(prepare(&choice, 9).unwrap_err())),
        ("failure_throttled", refused("ThrottlingException", 429, "Too many tokens, please wait.")),
        ("failure_unavailable", refused("ServiceUnavailableException", 503, "Try again.")),
        ("failure_internal", refused("InternalServerException", 500, "An internal error.")),
        ("failure_rejected", refused("ValidationException", 400, "`temperature` and `top_p` cannot both be given")),
        ("failure_retired", refused("ResourceNotFoundException", 404, ended)),
        ("failure_denied", refused("AccessDeniedException", 403, "You have no access.")),
        ("failure_use_case_form", refused("ResourceNotFoundException", 404, form)),
        ("failure_of_the_model", refused("ModelErrorException", 424, "The model failed.")),
        ("failure_timeout", document(native_failure("States.Timeout", "", Duration::from_secs(240)))),
        ("failure_malformed_with_usage", read(endless)),
        ("failure_malformed_without_usage", read(answer("S3", [0, 0, 0, 0]))),
    ];
    for (name, document) in cases {
        insta::assert_json_snapshot!(name, document);
    }
}

#[test]
fn the_model_router_gets_no_message_of_bedrock() {
    let cause = "A secret. (Service: BedrockRuntime, Status Code: 400, Request ID: r-1)";
    let failure = integration::failure("BedrockRuntime.ValidationException", cause);
    insta::assert_json_snapshot!("failure_for_the_router", failed(failure, Carried::Open));
}
