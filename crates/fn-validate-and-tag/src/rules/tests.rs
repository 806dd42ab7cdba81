//! Breaks every rule once and follows it once, with models of the bundled catalogue.

use serde_json::{Value, json};

use crate::tests::{request, validate};

fn tool() -> Value {
    json!({"toolSpec": {"name": "find", "inputSchema": {"json": {"type": "object"}}}})
}

fn image() -> Value {
    json!({"image": {"format": "png", "source": {"bytes": "YQ=="}}})
}

/// A request to `model` with one message of the user and the fields of `prompt`.
fn to(model: &str, prompt: Value) -> Value {
    let mut document = request();
    document["model"] = json!(model);
    document["prompt"] = json!({"messages": [{"role": "user", "content": "Hi"}]});
    for (name, value) in prompt.as_object().unwrap() {
        document["prompt"][name] = value.clone();
    }
    document
}

fn parameters(parameters: Value) -> Value {
    json!({"parameters": parameters})
}

fn says(blocks: Value) -> Value {
    json!({"messages": [{"role": "user", "content": blocks}]})
}

fn cached(ttl: &str) -> Value {
    says(json!([{"text": "Hi"}, {"cachePoint": {"type": "default", "ttl": ttl}}]))
}

#[test]
fn a_part_that_the_model_does_not_take_is_refused_by_path_and_parameter() {
    let prefill = json!({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "I"}]});
    let open_end = json!({"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "I "}]});
    let forced = json!({"tools": [tool()], "toolChoice": {"any": {}}});
    let thinking = |more: Value| {
        let mut prompt = json!({"reasoning": {"budgetTokens": 1024}, "parameters": {"max_tokens": 4000}});
        prompt.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        prompt
    };
    let schema = json!({"outputFormat": {"jsonSchema": {"name": "a", "schema": {"type": "object"}}}});
    let fields = |fields: Value| json!({"additionalModelRequestFields": fields});
    let document = json!([{"text": "Hi"}, {"document": {"format": "txt", "name": "a", "source": {"text": "a"}}}]);
    let cases = [
        ("claude-haiku-4-5", parameters(json!({"temperature": 0.5, "top_p": 0.9})), "prompt.parameters.top_p", "top_p"),
        ("claude-opus-4-7", parameters(json!({"temperature": 0.5})), "prompt.parameters.temperature", "temperature"),
        ("claude-opus-4-7", parameters(json!({"top_k": 5})), "prompt.parameters.top_k", "top_k"),
        ("gpt-oss-120b", parameters(json!({"top_k": 5})), "prompt.parameters.top_k", "top_k"),
        ("claude-sonnet-4-6", prefill.clone(), "prompt.messages[1]", "messages"),
        ("claude-haiku-4-5", thinking(prefill), "prompt.messages[1]", "messages"),
        ("claude-haiku-4-5", open_end, "prompt.messages[1].content", "messages"),
        ("gpt-oss-120b", says(json!([{"text": "Hi"}, image()])), "prompt.messages[0].content[1]", "image"),
        ("llama-3-3-70b", says(json!([{"text": "Hi"}, image()])), "prompt.messages[0].content[1]", "image"),
        ("nova-micro", says(document), "prompt.messages[0].content[1]", "document"),
        ("claude-haiku-4-5", thinking(forced.clone()), "prompt.toolChoice", "toolChoice"),
        ("claude-opus-5-5", forced, "prompt.toolChoice", "toolChoice"),
        (
            "claude-haiku-4-5",
            thinking(parameters(json!({"max_tokens": 4000, "temperature": 0.5}))),
            "prompt.parameters.temperature",
            "temperature",
        ),
        ("nova-lite", json!({"reasoning": {"effort": "low"}}), "prompt.reasoning", "reasoning"),
        ("claude-opus-4-7", json!({"reasoning": {"budgetTokens": 2000}}), "prompt.reasoning.budgetTokens", "reasoning"),
        ("nova-2-lite", json!({"reasoning": {"effort": "high"}}), "prompt.reasoning.effort", "reasoning"),
        ("claude-opus-5-5", json!({"reasoning": {"off": true}}), "prompt.reasoning.off", "reasoning"),
        (
            "claude-haiku-4-5",
            json!({"reasoning": {"budgetTokens": 4000}, "parameters": {"max_tokens": 4000}}),
            "prompt.reasoning.budgetTokens",
            "reasoning",
        ),
        ("llama-3-3-70b", cached("5m"), "prompt.messages[0].content[1].cachePoint", "cachePoint"),
        ("nova-lite", cached("1h"), "prompt.messages[0].content[1].cachePoint.ttl", "cachePoint"),
        (
            "nova-lite",
            json!({"tools": [tool(), {"cachePoint": {"type": "default"}}]}),
            "prompt.tools[1].cachePoint",
            "cachePoint",
        ),
        ("nova-lite", schema, "prompt.outputFormat", "outputFormat"),
        (
            "claude-haiku-4-5",
            fields(json!({"anthropic_beta": ["context-1m-2025-08-07"]})),
            "prompt.additionalModelRequestFields.anthropic_beta",
            "additionalModelRequestFields",
        ),
        (
            "claude-haiku-4-5",
            fields(json!({"thinking": {"type": "enabled", "budget_tokens": 1024, "max_tokens": 9}})),
            "prompt.additionalModelRequestFields",
            "additionalModelRequestFields",
        ),
    ];
    for (model, prompt, path, parameter) in cases {
        let answer = validate(&to(model, prompt.clone()));
        let error = &answer["answer"]["error"];
        assert_eq!(error["code"], "InvalidRequest", "{model} {prompt}: {answer}");
        assert_eq!(
            (&error["details"]["path"], &error["details"]["parameter"]),
            (&json!(path), &json!(parameter)),
            "{model}"
        );
        assert!(error["message"].as_str().unwrap().contains(model.split('-').next().unwrap_or_default()), "{error}");
    }
}

#[test]
fn a_part_that_the_model_takes_is_accepted() {
    let cases = [
        ("claude-haiku-4-5", parameters(json!({"temperature": 0.5, "top_k": 5}))),
        ("nova-lite", parameters(json!({"temperature": 0.5, "top_p": 0.9}))),
        ("claude-haiku-4-5", json!({"tools": [tool()], "toolChoice": {"any": {}}})),
        ("claude-haiku-4-5", json!({"reasoning": {"budgetTokens": 1024}})),
        ("claude-haiku-4-5", json!({"reasoning": {"effort": "low"}, "parameters": {"max_tokens": 8000}})),
        ("claude-sonnet-5", json!({"reasoning": {"effort": "high"}})),
        ("claude-sonnet-5", json!({"reasoning": {"off": true}})),
        ("nova-2-lite", json!({"reasoning": {"effort": "low"}})),
        ("nova-lite", json!({"reasoning": {"off": true}})),
        ("claude-haiku-4-5", cached("1h")),
        ("nova-lite", cached("5m")),
        (
            "claude-haiku-4-5",
            json!({"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}}}),
        ),
    ];
    for (model, prompt) in cases {
        let answer = validate(&to(model, prompt.clone()));
        assert_eq!(answer["valid"], true, "{model} {prompt}: {answer}");
    }
}

#[test]
fn a_request_that_makes_the_model_think_has_room_to_answer() {
    let most = |prompt: Value| validate(&to("claude-haiku-4-5", prompt))["request"]["estimate"]["maxTokens"].clone();
    assert!(most(json!({"reasoning": {"effort": "low"}})).as_u64() >= Some(8_192));
    assert!(most(json!({})).as_u64() < Some(8_192));
}
