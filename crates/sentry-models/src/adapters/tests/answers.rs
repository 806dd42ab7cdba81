//! What is read of every format's answers: text, usage from the body or the headers, stop reasons.

use sentry_contract::ErrorCode;
use sentry_contract::answer::StopReason;
use sentry_domain::TokenUsage;
use serde_json::{Value, json};

use super::reference::{Format, MODELS, answer, target};
use crate::adapters::{Effect, HeaderCounts, ModelFailure, Reply, normalise, read_body};

const COUNTS: HeaderCounts = HeaderCounts { input: Some(70), output: Some(80), cache_read: Some(5), cache_write: None };
const NO_COUNTS: HeaderCounts = HeaderCounts { input: None, output: None, cache_read: None, cache_write: None };
const HEADERS: TokenUsage = TokenUsage {
    input: 70,
    output: 80,
    cache_read: 5,
    cache_write: 0,
    cache_write_1h: 0,
    tier: sentry_domain::ServiceTier::Default,
};

fn read(format: Format, body: &Value, counts: HeaderCounts) -> Result<Reply, ModelFailure> {
    if format == Format::Converse {
        return normalise(serde_json::from_value(body.clone()).unwrap_or_default());
    }
    let (family, model_id, transport, _) = MODELS.iter().find(|(_, _, _, other)| *other == format).unwrap();
    let model = target(*family, model_id, *transport).unwrap();
    read_body(&model, body.to_string().as_bytes(), counts)
}

/// The format, where its usage is, where its text is, where its stop reason is.
const PLACES: &[(Format, &str, &str, &str)] = &[
    (Format::Converse, "/usage", "/output/message", "/stopReason"),
    (Format::Claude, "/usage", "/content", "/stop_reason"),
    (Format::ClaudeText, "", "/completion", "/stop_reason"),
    (Format::Nova, "/usage", "/output/message", "/stopReason"),
    (Format::Titan, "/inputTextTokenCount", "/results/0/outputText", "/results/0/completionReason"),
    (Format::Llama3, "/prompt_token_count", "/generation", "/stop_reason"),
    (Format::Llama4, "/generation_token_count", "/generation", "/stop_reason"),
    (Format::MistralText, "", "/outputs/0/text", "/outputs/0/stop_reason"),
    (Format::OpenAi, "/usage/prompt_tokens", "/choices/0/message", "/choices/0/finish_reason"),
    (Format::GptOss, "/usage/completion_tokens", "/choices/0/message", "/choices/0/finish_reason"),
    (Format::Command, "", "/generations/0/text", "/generations/0/finish_reason"),
    (Format::CommandR, "", "/text", "/finish_reason"),
    (Format::DeepseekR1, "", "/choices/0/text", "/choices/0/stop_reason"),
];

fn without(format: Format, pointer: &str) -> Value {
    let mut body = answer(format, "S3", [21, 43, 7, 9]);
    *body.pointer_mut(pointer).unwrap() = Value::Null;
    body
}

/// Words for a stop reason, and what they mean.
type Reasons = Vec<(&'static str, Option<StopReason>)>;

#[test]
fn usage_is_the_bodys_with_cached_tokens_apart_or_else_the_headers() {
    for (format, usage_at, ..) in PLACES {
        let reply = read(*format, &answer(*format, "S3", [21, 43, 7, 9]), COUNTS).unwrap();
        let (cache_read, cache_write) = match format {
            Format::Converse | Format::Claude | Format::Nova => (7, 9),
            Format::OpenAi | Format::GptOss => (7, 0),
            _ => (0, 0),
        };
        let in_body = TokenUsage { input: 21, output: 43, cache_read, cache_write, ..TokenUsage::default() };
        assert_eq!(reply.usage, if usage_at.is_empty() { HEADERS } else { in_body }, "{format:?}");
        assert_eq!((reply.text().trim_end(), reply.stop_reason), ("S3", StopReason::EndTurn), "{format:?}");
        if !usage_at.is_empty() && *format != Format::Converse {
            assert_eq!(read(*format, &without(*format, usage_at), COUNTS).unwrap().usage, HEADERS, "{format:?}");
        }
    }
}

#[test]
fn a_missing_usage_is_an_error_after_which_nobody_knows_what_was_spent() {
    for (format, usage_at, ..) in PLACES {
        let zeros = answer(*format, "S3", [0, 0, 0, 0]);
        let half = HeaderCounts { input: Some(1), ..NO_COUNTS };
        let missing = if usage_at.is_empty() { zeros.clone() } else { without(*format, usage_at) };
        for (body, counts) in [(missing, NO_COUNTS), (zeros.clone(), NO_COUNTS), (zeros, half), (json!([]), NO_COUNTS)]
        {
            let failure = read(*format, &body, counts).unwrap_err();
            assert_eq!((failure.error.code, failure.effect), (ErrorCode::ModelError, Effect::Unknown), "{format:?}");
            assert!(failure.usage.is_none() && failure.error.message.contains("tokens"), "{format:?}");
        }
    }
    let cached =
        json!({"usage": {"prompt_tokens": 5, "completion_tokens": 1, "prompt_tokens_details": {"cached_tokens": 6}}});
    assert!(read(Format::OpenAi, &cached, NO_COUNTS).unwrap_err().usage.is_none(), "more cached than there are");
}

#[test]
fn half_a_usage_is_none_and_a_zero_counts_where_the_total_bears_it_out() {
    let usage = |usage: Value| {
        let mut body = answer(Format::Converse, "S3", [0; 4]);
        body["usage"] = usage;
        read(Format::Converse, &body, NO_COUNTS).map(|reply| (reply.usage.input, reply.usage.output)).ok()
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
fn a_guardrails_zeros_are_no_usage_where_anything_else_was_counted() {
    let mut blocked = answer(Format::Claude, "No.", [0; 4]);
    blocked["amazon-bedrock-guardrailAction"] = json!("INTERVENED");
    let usage = |body: &Value, counts| read(Format::Claude, body, counts).map(|reply| reply.usage).ok();
    let zeros = HeaderCounts { input: Some(0), output: Some(0), ..NO_COUNTS };
    let half = HeaderCounts { input: Some(7), ..NO_COUNTS };
    assert_eq!(usage(&blocked, COUNTS), Some(HEADERS));
    assert_eq!(usage(&blocked, zeros), Some(TokenUsage::default()));
    assert_eq!(usage(&blocked, NO_COUNTS), Some(TokenUsage::default()));
    assert_eq!(usage(&blocked, half), None);
    blocked["usage"] = json!({});
    assert_eq!(usage(&blocked, COUNTS), Some(HEADERS));
    assert_eq!(usage(&blocked, NO_COUNTS), None);
}

#[test]
fn a_count_of_cached_tokens_that_is_not_understood_is_not_zero() {
    for (format, at) in [
        (Format::Claude, "/usage/cache_read_input_tokens"),
        (Format::Claude, "/usage/cache_creation_input_tokens"),
        (Format::Nova, "/usage/cacheReadInputTokenCount"),
        (Format::OpenAi, "/usage/prompt_tokens_details/cached_tokens"),
    ] {
        for wrong in [json!("many"), json!(-1), json!(1.5), json!(u64::MAX)] {
            let mut body = answer(format, "S3", [21, 43, 7, 9]);
            *body.pointer_mut(at).unwrap() = wrong;
            assert!(read(format, &body, NO_COUNTS).unwrap_err().usage.is_none(), "{format:?} {at}");
            assert_eq!(read(format, &body, COUNTS).unwrap().usage, HEADERS, "{format:?} {at}");
        }
        assert_eq!(read(format, &without(format, at), NO_COUNTS).unwrap().usage.output, 43);
    }
}

#[test]
fn an_answer_without_a_message_or_a_known_end_keeps_its_usage() {
    for (format, _, text_at, stop_at) in PLACES {
        for gone in [text_at, stop_at] {
            let failure = read(*format, &without(*format, gone), COUNTS).unwrap_err();
            assert_eq!(failure.error.code, ErrorCode::ModelError, "{format:?}");
            assert!(failure.usage.is_some_and(|usage| usage.read() > 0), "{format:?} {gone}");
            assert_eq!(failure.effect, Effect::Unknown);
        }
    }
    let broken = read(Format::Llama3, &json!("not an answer"), COUNTS).unwrap_err();
    assert_eq!(broken.usage, Some(HEADERS));
}

#[test]
fn stop_reasons_are_converses_and_others_are_the_models_own_words() {
    use StopReason::{ContentFiltered, EndTurn, GuardrailIntervened, MaxTokens, StopSequence, ToolUse};
    let common = [
        ("end_turn", Some(EndTurn)),
        ("max_tokens", Some(MaxTokens)),
        ("model_context_window_exceeded", None),
        ("malformed_tool_use", None),
        ("refusal", None),
        ("stop_sequence", Some(StopSequence)),
        ("tool_use", Some(ToolUse)),
        ("malformed_model_output", None),
        ("bored", None),
    ];
    let filtered = [("content_filtered", Some(ContentFiltered)), ("guardrail_intervened", Some(GuardrailIntervened))];
    let chat = [
        ("stop", Some(EndTurn)),
        ("length", Some(MaxTokens)),
        ("content_filter", Some(ContentFiltered)),
        ("tool_calls", Some(ToolUse)),
        ("bored", None),
    ];
    let completion = [("stop", Some(EndTurn)), ("length", Some(MaxTokens)), ("bored", None)];
    let cohere = [
        ("COMPLETE", Some(EndTurn)),
        ("complete", Some(EndTurn)),
        ("MAX_TOKENS", Some(MaxTokens)),
        ("STOP_SEQUENCE", Some(StopSequence)),
        ("ERROR_TOXIC", Some(ContentFiltered)),
        ("ERROR", None),
        ("USER_CANCEL", None),
    ];
    let titan = [
        ("FINISHED", Some(EndTurn)),
        ("LENGTH", Some(MaxTokens)),
        ("STOP_CRITERIA_MET", Some(StopSequence)),
        ("CONTENT_FILTERED", Some(ContentFiltered)),
        ("RAG_QUERY_WHEN_RAG_DISABLED", None),
    ];
    let cases: &[(Format, Reasons)] = &[
        (Format::Converse, [&common[..], &filtered].concat()),
        (Format::Nova, [&common[..], &filtered].concat()),
        (Format::Claude, common.to_vec()),
        (Format::ClaudeText, vec![("stop_sequence", Some(EndTurn)), ("max_tokens", Some(MaxTokens)), ("bored", None)]),
        (Format::Titan, titan.to_vec()),
        (Format::Llama3, completion.to_vec()),
        (Format::MistralText, completion.to_vec()),
        (Format::DeepseekR1, completion.to_vec()),
        (Format::OpenAi, chat.to_vec()),
        (Format::GptOss, chat.to_vec()),
        (Format::Command, cohere.to_vec()),
        (Format::CommandR, cohere.to_vec()),
    ];
    for (format, reasons) in cases {
        let (.., at) = PLACES.iter().find(|(other, ..)| other == format).unwrap();
        for (word, expected) in reasons {
            let mut body = answer(*format, "S3", [1, 1, 0, 0]);
            *body.pointer_mut(at).unwrap() = json!(word);
            let read = read(*format, &body, COUNTS).unwrap().stop_reason;
            assert_eq!(read, expected.clone().unwrap_or(StopReason::word(word)), "{format:?} {word}");
        }
    }
    let stopped = json!({"completion": "x", "stop_reason": "stop_sequence", "stop": "END"});
    assert_eq!(read(Format::ClaudeText, &stopped, COUNTS).unwrap().stop_reason, StopSequence);
}

#[test]
fn reasoning_is_no_part_of_the_answer_and_an_empty_answer_is_one() {
    let text = |format, body: &Value| read(format, body, COUNTS).unwrap().text();
    let reasoning_only = json!({"choices": [{"finish_reason": "length", "message": {"content": null}}]});
    assert_eq!(text(Format::OpenAi, &reasoning_only), "");
    assert_eq!(text(Format::GptOss, &answer(Format::GptOss, "", [1, 1, 0, 0])), "");
    assert_eq!(text(Format::DeepseekR1, &answer(Format::DeepseekR1, "</think>", [1, 1, 0, 0])), "</think>");
    let cut = json!({"choices": [{"text": "Hm, well", "stop_reason": "length"}]});
    assert_eq!(text(Format::DeepseekR1, &cut), "Hm, well");
    assert_eq!(text(Format::Claude, &json!({"content": [], "stop_reason": "end_turn"})), "");
}

#[test]
fn headers_count_where_they_are_numbers_that_a_call_can_have() {
    let counts = |input: &'static str| {
        HeaderCounts::read(|name| match name {
            "x-amzn-bedrock-input-token-count" => Some(input),
            "x-amzn-bedrock-output-token-count" => Some("34"),
            "x-amzn-bedrock-cache-read-input-token-count" => Some("5"),
            _ => None,
        })
    };
    assert_eq!(
        counts("12").usage(),
        Some(TokenUsage { input: 12, output: 34, cache_read: 5, cache_write: 0, ..TokenUsage::default() })
    );
    for wrong in ["", "-1", "1.5", "many", "18446744073709551615"] {
        assert_eq!(counts(wrong).usage(), None, "{wrong}");
        let cached = HeaderCounts::read(|name| Some(if name.contains("cache-write") { wrong } else { "12" }));
        assert_eq!(cached, NO_COUNTS, "{wrong}");
    }
}
