//! Reading of Converse's answers: text, usage and stop reasons.

use sentry_contract::ErrorCode;
use sentry_contract::answer::StopReason;
use sentry_contract::content::Block;
use sentry_domain::{CacheTtl, Charges, ServiceTier, TokenUsage};
use serde_json::{Value, json};

use super::reference::answer;
use crate::adapters::{Effect, ModelFailure, Reply, normalize};

fn read(body: &Value) -> Result<Reply, ModelFailure> {
    read_for(body, Charges::default())
}

fn read_for(body: &Value, charges: Charges) -> Result<Reply, ModelFailure> {
    normalize(serde_json::from_value(body.clone()).unwrap_or_default(), charges)
}

fn without(pointer: &str) -> Value {
    let mut body = answer("S3", [21, 43, 7, 9]);
    *body.pointer_mut(pointer).unwrap() = Value::Null;
    body
}

#[test]
fn usage_has_cached_tokens_apart_by_lifetime() {
    let reply = read(&answer("S3", [21, 43, 7, 9])).unwrap();
    assert_eq!(
        reply.usage,
        TokenUsage {
            input: 21,
            output: 43,
            cache_read: 7,
            cache_write: 9,
            cache_write_1h: 4,
            tier: ServiceTier::Default
        }
    );
    assert_eq!((reply.text().as_str(), reply.stop_reason), ("S3", StopReason::EndTurn));
}

#[test]
fn a_missing_usage_is_an_error_after_which_nobody_knows_what_was_spent() {
    for body in [without("/usage"), answer("S3", [0, 0, 0, 0]), json!([])] {
        let failure = read(&body).unwrap_err();
        assert_eq!((failure.error.code, failure.effect), (ErrorCode::ModelError, Effect::Unknown));
        assert!(failure.usage.is_none() && failure.error.message.contains("tokens"));
    }
}

#[test]
fn an_incomplete_usage_is_refused_and_a_zero_counts_only_if_the_total_agrees() {
    let usage = |usage: Value| {
        let mut body = answer("S3", [0; 4]);
        body["usage"] = usage;
        read(&body).map(|reply| (reply.usage.input, reply.usage.output)).ok()
    };
    assert_eq!(usage(json!({"inputTokens": 21, "totalTokens": 64})), None);
    assert_eq!(usage(json!({"outputTokens": 43, "totalTokens": 64})), None);
    assert_eq!(usage(json!({"inputTokens": 21})), None);
    assert_eq!(usage(json!({"totalTokens": 64})), None);
    assert_eq!(usage(json!({"inputTokens": 21, "outputTokens": -1, "totalTokens": 20})), None);
    assert_eq!(usage(json!({"inputTokens": 21, "outputTokens": 43})), Some((21, 43)));
    assert_eq!(usage(json!({"inputTokens": 21, "outputTokens": 0, "totalTokens": 21})), Some((21, 0)));
    let cached =
        |total: u32| json!({"inputTokens": 0, "outputTokens": 4, "cacheReadInputTokens": 9, "totalTokens": total});
    assert_eq!([4, 13, 20].map(|total| usage(cached(total))), [Some((0, 4)), Some((0, 4)), None]);
}

#[test]
fn a_count_of_cached_tokens_that_is_not_understood_is_not_zero() {
    for at in ["/usage/cacheReadInputTokens", "/usage/cacheWriteInputTokens"] {
        for wrong in [json!("many"), json!(-1), json!(1.5), json!(u64::MAX)] {
            let mut body = answer("S3", [21, 43, 7, 9]);
            *body.pointer_mut(at).unwrap() = wrong;
            assert!(read(&body).unwrap_err().usage.is_none(), "{at}");
        }
        assert_eq!(read(&without(at)).unwrap().usage.output, 43);
    }
}

#[test]
fn cached_tokens_count_by_their_lifetime_or_by_the_longest_requested_one() {
    let for_an_hour = |details: Value, cache: Option<CacheTtl>| {
        let mut body = answer("S3", [21, 43, 7, 9]);
        body["usage"]["cacheDetails"] = details;
        let charges = Charges { cache, ..Charges::default() };
        read_for(&body, charges).map(|reply| (reply.usage.cache_write, reply.usage.cache_write_1h)).ok()
    };
    let (hour, minutes) = (Some(CacheTtl::OneHour), Some(CacheTtl::FiveMinutes));
    let both = json!([{"ttl": "1h", "inputTokens": 2}, {"ttl": "5m", "inputTokens": 7}]);
    assert_eq!([None, minutes, hour].map(|asked| for_an_hour(both.clone(), asked)), [Some((9, 2)); 3]);
    for nothing in [Value::Null, json!([])] {
        assert_eq!([None, minutes].map(|asked| for_an_hour(nothing.clone(), asked)), [Some((9, 0)); 2]);
        assert_eq!(for_an_hour(nothing, hour), Some((9, 9)));
    }
    let strange = json!([{"ttl": "1d", "inputTokens": 2}, {"ttl": "5m", "inputTokens": 3}]);
    assert_eq!(for_an_hour(strange.clone(), None), Some((9, 2)), "an unknown lifetime is dear");
    assert_eq!(for_an_hour(strange, hour), Some((9, 6)), "so is what is not told");
    assert_eq!(for_an_hour(json!([{"ttl": "1h", "inputTokens": 20}]), None), Some((20, 20)), "the details tell more");
    assert_eq!(for_an_hour(json!([{"ttl": "1h", "inputTokens": -1}]), None), None);
}

#[test]
fn the_tier_is_the_answers_and_where_it_tells_none_the_requests() {
    let tier = |told: Value, asked: ServiceTier| {
        let mut body = answer("S3", [21, 43, 0, 0]);
        body["serviceTier"] = told;
        read_for(&body, Charges { tier: asked, ..Charges::default() }).unwrap().usage.tier
    };
    assert_eq!(tier(json!({"type": "default"}), ServiceTier::Priority), ServiceTier::Default);
    assert_eq!(tier(json!({"type": "flex"}), ServiceTier::Default), ServiceTier::Flex);
    for silent in [Value::Null, json!({}), json!({"type": "strange"})] {
        assert_eq!(tier(silent, ServiceTier::Priority), ServiceTier::Priority);
    }
}

#[test]
fn thoughts_come_back_as_the_model_gave_them_and_are_no_part_of_the_text() {
    let mut body = answer("S3", [21, 43, 0, 0]);
    let thoughts = [
        json!({"reasoningContent": {"reasoningText": {"text": " Hm.\n", "signature": "EqQB+/=="}}}),
        json!({"reasoningContent": {"reasoningText": {"text": "", "signature": "EqQB"}}}),
        json!({"reasoningContent": {"redactedContent": "c2VjcmV0"}}),
        json!({"reasoningContent": {"reasoningText": {"text": "No signature."}}}),
    ];
    let nothing = [json!({"reasoningContent": {}}), json!({"reasoningContent": {"reasoningText": {"text": ""}}})];
    let content = [&thoughts[..], &nothing, &[json!({"text": "S3"})]].concat();
    body["output"]["message"]["content"] = json!(content);
    let reply = read(&body).unwrap();
    assert_eq!(json!(reply.content), json!([&thoughts[..], &[json!({"text": "S3"})]].concat()));
    assert_eq!(reply.text(), "S3");
    assert!(!format!("{reply:?}").contains("Hm"));
}

#[test]
fn a_broken_tool_use_leaves_the_text_that_was_paid_for() {
    let mut body = answer("Let me look.", [21, 43, 0, 0]);
    body["stopReason"] = json!("malformed_tool_use");
    let content = body["output"]["message"]["content"].as_array_mut().unwrap();
    content.extend([json!({"toolUse": {"toolUseId": "t1"}}), json!({"citationsContent": {"content": []}})]);
    let reply = read(&body).unwrap();
    assert_eq!((reply.text().as_str(), reply.stop_reason), ("Let me look.", StopReason::word("malformed_tool_use")));
    assert!(matches!(reply.content.as_slice(), [Block::ReasoningContent(_), Block::Text(_)]));
}

#[test]
fn an_answer_without_a_message_or_an_end_keeps_its_usage() {
    for gone in ["/output/message", "/stopReason"] {
        let failure = read(&without(gone)).unwrap_err();
        assert_eq!((failure.error.code, failure.effect), (ErrorCode::ModelError, Effect::Unknown));
        assert!(failure.usage.is_some_and(|usage| usage.read() > 0), "{gone}");
    }
}

#[test]
fn stop_reasons_are_converses_and_others_are_the_models_own_words() {
    use StopReason::{ContentFiltered, EndTurn, GuardrailIntervened, MaxTokens, StopSequence, ToolUse};
    for (word, expected) in [
        ("end_turn", EndTurn),
        ("max_tokens", MaxTokens),
        ("stop_sequence", StopSequence),
        ("tool_use", ToolUse),
        ("content_filtered", ContentFiltered),
        ("guardrail_intervened", GuardrailIntervened),
        ("model_context_window_exceeded", StopReason::word("model_context_window_exceeded")),
        ("malformed_tool_use", StopReason::word("malformed_tool_use")),
        ("malformed_model_output", StopReason::word("malformed_model_output")),
        ("refusal", StopReason::word("refusal")),
        ("bored", StopReason::word("bored")),
    ] {
        let mut body = answer("S3", [1, 1, 0, 0]);
        body["stopReason"] = json!(word);
        let reply = read(&body).unwrap();
        assert_eq!((reply.text().as_str(), reply.stop_reason), ("S3", expected), "{word}");
    }
}

#[test]
fn an_empty_answer_is_one() {
    assert_eq!(read(&answer("", [1, 1, 0, 0])).unwrap().text(), "");
}
