//! What is read of Converse's answers: text, usage, stop reasons.

use sentry_contract::ErrorCode;
use sentry_contract::answer::StopReason;
use sentry_domain::TokenUsage;
use serde_json::{Value, json};

use super::reference::answer;
use crate::adapters::{Effect, ModelFailure, Reply, normalise};

fn read(body: &Value) -> Result<Reply, ModelFailure> {
    normalise(serde_json::from_value(body.clone()).unwrap_or_default())
}

fn without(pointer: &str) -> Value {
    let mut body = answer("S3", [21, 43, 7, 9]);
    *body.pointer_mut(pointer).unwrap() = Value::Null;
    body
}

#[test]
fn usage_has_cached_tokens_apart() {
    let reply = read(&answer("S3", [21, 43, 7, 9])).unwrap();
    assert_eq!(
        reply.usage,
        TokenUsage { input: 21, output: 43, cache_read: 7, cache_write: 9, ..TokenUsage::default() }
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
fn half_a_usage_is_none_and_a_zero_counts_where_the_total_bears_it_out() {
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
