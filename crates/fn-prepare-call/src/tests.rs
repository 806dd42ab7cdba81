//! The requests that Step Functions is given to send.

use sentry_contract::Sealed;
use sentry_models::Catalogue;
use serde_json::value::to_raw_value;
use serde_json::{Value, json};

use crate::Preparer;

fn prepare(input: &Value) -> Value {
    let preparer = Preparer::new(Catalogue::bundled().unwrap());
    serde_json::to_value(preparer.prepare(&to_raw_value(input).unwrap())).unwrap()
}

fn input(model_id: &str, family: &str, parameters: Value) -> Value {
    json!({"model": {"modelId": model_id, "family": family, "requested": "x"},
           "prompt": {"messages": [{"role": "system", "content": "Be \"brief\"."}, {"role": "user", "content": "Hi"}], "parameters": parameters},
           "tags": {"applicationId": "helper", "note": "what (?)"}})
}

#[test]
fn a_converse_request_has_the_names_of_the_integration_and_keeps_what_is_not_its_own() {
    let parameters =
        json!({"max_tokens": 9, "temperature": 0.25, "top_p": 0.5, "top_k": 37, "stop_sequences": ["END"]});
    let sent = input("us.amazon.nova-micro-v1:0", "nova", parameters);
    let converse = json!({
        "ModelId": "us.amazon.nova-micro-v1:0",
        "System": [{"Text": "Be \"brief\"."}],
        "Messages": [{"Role": "user", "Content": [{"Text": "Hi"}]}],
        "InferenceConfig": {"MaxTokens": 9, "Temperature": 0.25, "TopP": 0.5, "StopSequences": ["END"]},
        "AdditionalModelRequestFields": {"inferenceConfig": {"topK": 37}},
        "RequestMetadata": {"applicationId": "helper"},
    });
    assert_eq!(prepare(&sent), json!({"converse": converse, "terms": {"rich": false, "charges": {}}}));
}

#[test]
fn a_sealed_prompt_is_opened_and_the_reserved_tokens_are_the_most() {
    let mut sent = input("us.amazon.nova-micro-v1:0", "nova", json!({"max_tokens": 2000}));
    sent["prompt"] = serde_json::to_value(Sealed::new(&sent["prompt"]).unwrap()).unwrap();
    sent["maxTokens"] = json!(300);
    let converse = &prepare(&sent)["converse"];
    assert_eq!(converse["InferenceConfig"]["MaxTokens"], 300);
    assert_eq!(converse["Messages"][0]["Content"][0]["Text"], "Hi");
}

#[test]
fn a_request_that_step_functions_might_round_or_whose_answer_it_might_lose_goes_to_the_function() {
    let mut long = input("us.amazon.nova-micro-v1:0", "nova", json!({"max_tokens": 9}));
    let schema =
        json!({"type": "object", "properties": {"id": {"type": "integer", "maximum": 9_007_199_254_740_991_u64}}});
    long["prompt"]["tools"] = json!([{"toolSpec": {"name": "find", "inputSchema": {"json": schema}}}]);
    assert_eq!(prepare(&long), json!({"function": true}));
    let much = input("us.amazon.nova-micro-v1:0", "nova", json!({"max_tokens": 16_385}));
    assert_eq!(prepare(&much), json!({"function": true}));
    let mut large = input("us.amazon.nova-micro-v1:0", "nova", json!({"max_tokens": 9}));
    large["prompt"]["messages"][1]["content"] = json!("\"".repeat(200_000));
    assert_eq!(prepare(&large), json!({"function": true}));
}

#[test]
fn max_tokens_is_always_sent() {
    let call = prepare(&input("us.anthropic.claude-3-5-haiku-20241022-v1:0", "anthropic", json!({})));
    assert!(call["converse"]["InferenceConfig"]["MaxTokens"].as_u64().unwrap() > 0);
}

#[test]
fn a_part_that_cannot_be_sent_is_refused_by_name_and_costs_nothing() {
    let mut sent = input("us.meta.llama3-3-70b-instruct-v1:0", "llama", json!({}));
    sent["prompt"]["reasoning"] = json!({"effort": "low"});
    let failure = &prepare(&sent)["failure"];
    assert_eq!((&failure["error"]["code"], &failure["statusCode"]), (&json!("ModelRejectedRequest"), &json!(502)));
    assert_eq!(failure["error"]["details"]["parameter"], "reasoning");
    assert_eq!(failure["nothingSpent"], true);
}

#[test]
fn an_input_that_is_not_the_routers_is_refused_without_quoting_it() {
    let answer = prepare(&json!({"prompt": "a secret"}));
    assert_eq!(answer["failure"]["error"]["code"], "InvalidRequest");
    assert!(!answer.to_string().contains("secret"));
}

#[test]
fn thoughts_cache_points_and_the_form_of_the_answer_are_prepared_and_their_rates_travel_to_the_answer() {
    let mut sent = input("us.amazon.nova-2-lite-v1:0", "nova", json!({"max_tokens": 9_000, "top_k": 5}));
    sent["model"]["reasoning"] = json!("nova-effort");
    let thought = json!({"reasoningContent": {"reasoningText": {"text": "Hm.", "signature": "EqQB"}}});
    sent["prompt"]["messages"] = json!([
        {"role": "user", "content": [{"text": "Hi"}, {"cachePoint": {"type": "default", "ttl": "1h"}}]},
        {"role": "assistant", "content": [thought, {"text": "Yes?"}]}
    ]);
    sent["prompt"]["reasoning"] = json!({"effort": "medium"});
    sent["prompt"]["serviceTier"] = json!("flex");
    sent["prompt"]["outputFormat"] = json!({"jsonSchema": {"name": "place", "schema": {"type": "object"}}});
    let call = prepare(&sent);
    let converse = &call["converse"];
    assert_eq!(converse["Messages"][0]["Content"][1], json!({"CachePoint": {"Type": "default", "Ttl": "1h"}}));
    assert_eq!(
        converse["Messages"][1]["Content"][0],
        json!({"ReasoningContent": {"ReasoningText": {"Text": "Hm.", "Signature": "EqQB"}}})
    );
    let own =
        json!({"inferenceConfig": {"topK": 5}, "reasoningConfig": {"type": "enabled", "maxReasoningEffort": "medium"}});
    assert_eq!(converse["AdditionalModelRequestFields"], own);
    let structure = json!({"JsonSchema": {"Name": "place", "Schema": r#"{"type":"object"}"#}});
    assert_eq!(converse["OutputConfig"], json!({"TextFormat": {"Type": "json_schema", "Structure": structure}}));
    assert_eq!(call["terms"], json!({"rich": true, "charges": {"tier": "flex", "cache": "1h"}}));
    sent["prompt"]["messages"][1]["content"][0] = json!({"reasoningContent": {"redactedContent": "YQ=="}});
    assert_eq!(prepare(&sent), json!({"function": true}), "no state machine writes bytes");
}
