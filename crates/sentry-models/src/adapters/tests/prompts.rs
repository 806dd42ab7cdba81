//! Strategies for every prompt that the contract can express, and for the parts of prompts.

use aws_smithy_types::base64;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};

/// JSON as in a tool's input or result.
pub fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 20, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::btree_map("\\PC{0,6}", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// JSON with numbers that no expression rounds.
fn short_json() -> impl Strategy<Value = Value> {
    let leaf =
        prop_oneof![Just(Value::Null), (-99_999_i64..99_999).prop_map(Value::from), "\\PC{0,8}".prop_map(Value::from)];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop::collection::btree_map("\\PC{0,6}", inner, 0..3).prop_map(|fields| json!(fields))
    })
}

fn bytes() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<u8>(), 1..40).prop_map(base64::encode)
}

fn text() -> impl Strategy<Value = Value> {
    "\\PC{1,20}".prop_map(|text| json!({"text": text}))
}

fn image(formats: &'static str) -> impl Strategy<Value = Value> {
    (formats, bytes()).prop_map(|(format, bytes)| json!({"image": {"format": format, "source": {"bytes": bytes}}}))
}

fn file() -> impl Strategy<Value = Value> {
    let source = prop_oneof![bytes().prop_map(|bytes| json!({"bytes": bytes})), text()];
    ("pdf|csv|doc|docx|xls|xlsx|html|txt|md", "\\PC{1,9}", source)
        .prop_map(|(format, name, source)| json!({"document": {"format": format, "name": name, "source": source}}))
}

fn tool_use(input: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    ("[a-z0-9_-]{1,9}", input)
        .prop_map(|(name, input)| json!({"toolUse": {"toolUseId": "t1", "name": name, "input": input}}))
}

fn tool_result() -> impl Strategy<Value = Value> {
    let value = any_json().prop_map(|value| json!({"json": value}));
    let inside = prop_oneof![text(), image("png|jpeg|gif|webp"), file(), value];
    (prop::collection::vec(inside, 0..4), prop::option::of("success|error")).prop_map(|(content, status)| {
        let mut result = json!({"toolUseId": "t1", "content": content});
        status.into_iter().for_each(|status| result["status"] = json!(status));
        json!({"toolResult": result})
    })
}

fn cache_point() -> impl Strategy<Value = Value> {
    let ttls = vec![None, Some("5m"), Some("1h")];
    select(ttls).prop_map(|ttl| match ttl {
        Some(ttl) => json!({"cachePoint": {"type": "default", "ttl": ttl}}),
        None => json!({"cachePoint": {"type": "default"}}),
    })
}

fn guarded_text() -> impl Strategy<Value = Value> {
    let qualifiers = subsequence(vec!["grounding_source", "query", "guard_content"], 0..=3);
    ("\\PC{1,9}", qualifiers).prop_map(|(text, qualifiers)| {
        let mut inside = json!({"text": text});
        if !qualifiers.is_empty() {
            inside["qualifiers"] = json!(qualifiers);
        }
        json!({"guardContent": {"text": inside}})
    })
}

/// A thought in clear text. It has a text, a signature or both.
fn thought() -> impl Strategy<Value = Value> {
    let signed = ("\\PC{0,9}", "[A-Za-z0-9+/=]{1,40}")
        .prop_map(|(text, signature)| json!({"reasoningText": {"text": text, "signature": signature}}));
    let words = prop_oneof![signed, text().prop_map(|text| json!({"reasoningText": text}))];
    words.prop_map(|words| json!({"reasoningContent": words}))
}

fn encrypted_thought() -> impl Strategy<Value = Value> {
    bytes().prop_map(|bytes| json!({"reasoningContent": {"redactedContent": bytes}}))
}

pub fn block() -> impl Strategy<Value = Value> {
    let guarded_image = image("png|jpeg").prop_map(|image| json!({"guardContent": image}));
    let of_the_user = prop_oneof![text(), image("png|jpeg|gif|webp"), file(), tool_result(), guarded_image];
    prop_oneof![5 => of_the_user, 1 => tool_use(any_json()), 1 => encrypted_thought(), 1 => cache_point()]
}

/// A block that Step Functions can send.
fn plain_block() -> impl Strategy<Value = Value> {
    prop_oneof![text(), tool_use(short_json()), thought(), cache_point(), guarded_text()]
}

fn tools() -> impl Strategy<Value = Value> {
    let schema = prop_oneof![short_json(), any_json()].prop_map(|inner| json!({"type": "object", "default": inner}));
    let spec = ("[a-z]{1,9}", prop::option::of("\\PC{1,9}"), schema, prop::option::of(any::<bool>()));
    let tool = spec.prop_map(|(name, description, schema, strict)| {
        let mut spec = json!({"name": name, "inputSchema": {"json": schema}});
        description.into_iter().for_each(|description| spec["description"] = json!(description));
        strict.into_iter().for_each(|strict| spec["strict"] = json!(strict));
        json!({"toolSpec": spec})
    });
    prop::collection::vec(prop_oneof![3 => tool, 1 => cache_point()], 0..3).prop_map(Value::from)
}

fn parameters() -> impl Strategy<Value = Value> {
    let temperature = prop::option::of(0.0..=1.0_f64);
    let stops = prop::collection::vec("\\PC{1,5}", 0..2);
    (prop::option::of(0..9_u32), temperature, stops).prop_map(
        |(top_k, temperature, stops)| json!({"top_k": top_k, "temperature": temperature, "stop_sequences": stops}),
    )
}

/// The parts of a prompt other than messages. Each has at most one value.
fn beside() -> impl Strategy<Value = Value> {
    let system = prop::collection::vec(prop_oneof![text(), cache_point(), guarded_text()], 1..3);
    let format = ("[a-z]{1,9}", prop_oneof![short_json(), any_json()], prop::option::of("\\PC{1,5}")).prop_map(
        |(name, schema, description)| {
            let mut format = json!({"name": name, "schema": schema});
            if let Some(description) = description {
                format["description"] = json!(description);
            }
            json!({"jsonSchema": format})
        },
    );
    let reasoning =
        vec![json!({"effort": "low"}), json!({"effort": "max"}), json!({"budgetTokens": 2_000}), json!({"off": true})];
    let own = prop_oneof![short_json(), any_json()].prop_map(|value| json!({"custom": value}));
    let tiers = vec!["default", "flex", "priority", "reserved"];
    let parts = (
        prop::option::of(system),
        tools(),
        prop::option::of(format),
        prop::option::of(select(reasoning)),
        prop::option::of(own),
        prop::option::of(select(tiers)),
        prop::option::of(Just(json!({"identifier": "abc", "version": "DRAFT"}))),
        parameters(),
    );
    parts.prop_map(|(system, tools, format, reasoning, own, tier, guardrail, parameters)| {
        json!({"system": system, "tools": tools, "outputFormat": format, "reasoning": reasoning, "serviceTier": tier,
               "additionalModelRequestFields": own, "guardrail": guardrail, "parameters": parameters})
    })
}

pub fn prompt() -> impl Strategy<Value = Value> {
    let content = prop_oneof![
        4 => prop::collection::vec(plain_block(), 1..4).prop_map(Value::from),
        1 => prop::collection::vec(block(), 1..4).prop_map(Value::from),
        1 => "\\PC{1,20}".prop_map(Value::from),
    ];
    let message = ("user|assistant", content).prop_map(|(role, content)| json!({"role": role, "content": content}));
    (prop::collection::vec(message, 1..4), beside()).prop_map(|(messages, mut prompt)| {
        prompt["messages"] = json!(messages);
        prompt
    })
}

/// The blocks of an answer.
pub fn answered() -> impl Strategy<Value = Vec<Value>> {
    prop::collection::vec(prop_oneof![text(), thought(), encrypted_thought(), tool_use(any_json())], 0..5)
}
