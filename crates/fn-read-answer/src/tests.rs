//! The results of `Read Answer` for answers and errors of the service integration.

use std::time::Duration;

use sentry_contract::Sealed;
use sentry_models::Catalogue;
use serde_json::{Value, json};

use crate::Reader;

fn read(outcome: Value) -> Value {
    let mut input = json!({"model": {"modelId": "amazon.nova-lite-v1:0", "family": "nova"}, "terms": {"rich": false}});
    input.as_object_mut().unwrap().extend(outcome.as_object().unwrap().clone());
    let reader = Reader::new(Catalogue::bundled().unwrap(), "us-east-1".to_owned(), Duration::from_secs(240));
    serde_json::to_value(reader.read(serde_json::from_value(input).unwrap())).unwrap()
}

fn answer(text: &str) -> Value {
    json!({"result": {
        "Output": {"Message": {"Role": "assistant", "Content": [{"Text": text}]}},
        "StopReason": "end_turn",
        "Usage": {"InputTokens": 21, "OutputTokens": 143, "TotalTokens": 164},
        "Metrics": {"LatencyMs": 1},
    }})
}

/// The message of the SDK for Java, as Step Functions passes it.
fn failed(name: &str, status: u16) -> Value {
    let cause = format!(
        "quotes the secret (Service: x, Status Code: 1, Request ID: no) prompt (Service: BedrockRuntime, Status Code: {status}, Request ID: r-1) (SDK Attempt Count: 1)"
    );
    json!({"error": format!("BedrockRuntime.{name}"), "cause": cause})
}

#[test]
fn an_answer_is_priced_and_in_the_one_format() {
    let expected = json!({"answer": {
        "output": {"message": {"role": "assistant", "content": "Hello."}, "stopReason": "end_turn"},
        "usage": {"inputTokens": 21, "outputTokens": 143, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0, "totalTokens": 164},
        "cost": {"usd": "0.000035580", "priced": true},
    }});
    assert_eq!(read(answer("Hello.")), expected);
}

#[test]
fn an_error_of_bedrock_means_what_its_name_means_and_its_message_stays_here() {
    let cases = [
        ("ThrottlingException", 429, "ModelThrottled", 429, true),
        ("ServiceQuotaExceededException", 400, "ModelThrottled", 429, true),
        ("ModelNotReadyException", 429, "ModelUnavailable", 503, true),
        ("ServiceUnavailableException", 503, "ModelUnavailable", 503, true),
        ("InternalServerException", 500, "ModelUnavailable", 503, false),
        ("ModelTimeoutException", 408, "ModelTimeout", 504, false),
        ("ModelErrorException", 424, "ModelError", 502, false),
        ("AccessDeniedException", 403, "ModelAccessDenied", 502, true),
        ("ValidationException", 400, "ModelRejectedRequest", 502, true),
        ("ResourceNotFoundException", 404, "ModelRejectedRequest", 502, true),
        ("BedrockRuntimeException", 418, "ModelRejectedRequest", 502, false),
        ("BedrockRuntimeException", 429, "ModelThrottled", 429, true),
    ];
    for (name, status, code, status_code, nothing_spent) in cases {
        let answer = read(failed(name, status));
        let failure = &answer["failure"];
        assert_eq!((&failure["error"]["code"], &failure["statusCode"]), (&json!(code), &json!(status_code)), "{name}");
        assert_eq!(failure["error"]["details"], json!({"bedrockError": name, "bedrockRequestId": "r-1"}));
        assert_eq!(failure.get("nothingSpent"), nothing_spent.then_some(&json!(true)), "{status} {name}");
        assert!(!answer.to_string().contains("secret"), "{answer}");
    }
}

#[test]
fn an_error_that_is_not_bedrocks_may_have_cost_something() {
    let lost = "Unable to execute HTTP request: Connection reset (SDK Attempt Count: 1)";
    let garbled = "Unable to unmarshall response (Unexpected character). Response Code: 200, Response Text: OK";
    let cases = [
        ("States.Timeout", "", "ModelTimeout"),
        ("States.TaskFailed", "a secret", "ModelUnavailable"),
        ("BedrockRuntime.SdkClientException", lost, "ModelUnavailable"),
        ("BedrockRuntime.SdkClientException", garbled, "ModelError"),
        ("whatever", "", "ModelUnavailable"),
        ("", "", "ModelUnavailable"),
    ];
    for (error, cause, code) in cases {
        let answer = read(json!({"error": error, "cause": cause}));
        assert_eq!(answer["failure"]["error"]["code"], code, "{error}");
        assert!(answer["failure"].get("nothingSpent").is_none() && !answer.to_string().contains("secret"), "{answer}");
    }
    assert_eq!(read(json!({}))["failure"]["error"]["code"], "ModelUnavailable");
}

#[test]
fn an_error_of_bedrock_without_a_message_means_what_its_name_means() {
    let error = "BedrockRuntime.ThrottlingException";
    for outcome in [json!({"error": error, "cause": ""}), json!({"error": error})] {
        let answer = read(outcome);
        let failure = &answer["failure"];
        assert_eq!((&failure["error"]["code"], &failure["statusCode"]), (&json!("ModelThrottled"), &json!(429)));
        assert_eq!(failure["error"]["details"], json!({"bedrockError": "ThrottlingException"}));
    }
}

#[test]
fn a_request_id_that_is_none_is_not_passed_on() {
    let cause = "x (Service: BedrockRuntime, Status Code: 429, Request ID: a secret)";
    let answer = read(json!({"error": "BedrockRuntime.ThrottlingException", "cause": cause}));
    assert_eq!(answer["failure"]["error"]["details"], json!({"bedrockError": "ThrottlingException"}));
}

#[test]
fn an_answer_that_cannot_be_understood_is_a_model_error_and_keeps_a_known_usage() {
    let mut strange = answer("x");
    strange["result"].as_object_mut().unwrap().remove("StopReason");
    let mut silent = answer("x");
    silent["result"].as_object_mut().unwrap().remove("Usage");
    let mut half = answer("x");
    half["result"]["Usage"].as_object_mut().unwrap().remove("OutputTokens");
    for (outcome, usage_known) in
        [(strange, true), (silent, false), (half, false), (json!({"result": "garbled"}), false)]
    {
        let answer = read(outcome);
        assert_eq!(answer["failure"]["error"]["code"], "ModelError");
        assert_eq!(answer["failure"].get("usage").is_some(), usage_known, "{answer}");
        assert!(answer["failure"].get("nothingSpent").is_none());
    }
}

#[test]
fn an_answer_that_does_not_fit_a_workflow_reports_what_it_used() {
    let fits = read(answer(&"x".repeat(200 * 1024)));
    assert_eq!(fits["answer"]["output"]["message"]["content"].as_str().unwrap().len(), 200 * 1024);
    let too_large = read(answer(&"x".repeat(250 * 1024)));
    assert_eq!(too_large["failure"]["error"]["code"], "OutputTooLarge");
    assert_eq!(too_large["failure"]["usage"]["totalTokens"], 164);
}

#[test]
fn a_request_that_could_not_be_settled_is_answered_with_an_empty_budget() {
    let usage = json!({"inputTokens": 2, "outputTokens": 3, "cacheReadInputTokens": 0, "cacheWriteInputTokens": 0, "totalTokens": 5});
    let output = json!({"message": {"role": "assistant", "content": "Hello."}, "stopReason": "end_turn"});
    let sealed = Sealed::new(&json!({"output": output, "usage": usage, "cost": {"priced": false}})).unwrap();
    let model = json!({"requested": "nova-lite", "modelId": "amazon.nova-lite-v1:0", "modelMetric": "amazon.nova-lite-v1:0", "family": "nova"});
    let reservation = json!({"requestId": "r1", "executionId": "run-1", "maxTokens": 9, "hold": {"input": 4, "output": 9, "usd": "0"},
                             "heldAt": "2026-11-21T12:00:00Z", "expiresAt": "2026-11-21T12:06:00Z", "scopes": []});
    let admitted =
        json!({"reservation": reservation, "model": model, "tags": {"applicationId": "helper"}, "notes": {}});
    let event = json!({"admitted": admitted, "ended": {"sealed": {"answer": sealed, "usage": usage}}});
    let reader = Reader::new(Catalogue::bundled().unwrap(), "us-east-1".to_owned(), Duration::from_secs(240));
    let document = serde_json::to_value(reader.read(serde_json::from_value(event).unwrap())).unwrap();
    assert_eq!((&document["outcome"], &document["budget"]), (&json!("Succeeded"), &json!([])));
    assert_eq!(document["output"], output);
}

#[test]
fn thoughts_come_back_and_what_was_cached_costs_the_rate_of_its_lifetime() {
    let mut told = answer("Hello.");
    let thought = json!({"ReasoningContent": {"ReasoningText": {"Text": "Hm.", "Signature": "EqQB"}}});
    told["result"]["Output"]["Message"]["Content"] = json!([thought, {"Text": "Hello."}]);
    let usage = &mut told["result"]["Usage"];
    usage["CacheWriteInputTokens"] = json!(300);
    usage["CacheDetails"] = json!([{"Ttl": "1h", "InputTokens": 200}, {"Ttl": "5m", "InputTokens": 100}]);
    told["result"]["ServiceTier"] = json!({"Type": "default"});
    told["terms"] = json!({"rich": true, "charges": {"tier": "priority", "cache": "1h"}});
    told["model"] = json!({"modelId": "amazon.nova-lite-v1:0", "family": "nova",
                           "price": {"input": "3", "output": "15", "cacheWrite5m": "3.75", "cacheWrite1h": "6"}});
    let read = read(told);
    let thought = json!({"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "EqQB"}}});
    assert_eq!(read["answer"]["output"]["message"]["content"], json!([thought, {"text": "Hello."}]));
    // 21 x 3 + 143 x 15 + 100 x 3.75 + 200 x 6 = 3,783 millionths of a dollar. The writes cost 675 millionths more than
    // 300 x 3.
    assert_eq!(read["answer"]["cost"], json!({"usd": "0.003783000", "savedUsd": "-0.000675000", "priced": true}));
}
