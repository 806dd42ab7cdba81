//! Every format reads its own body strictly and answers in its own words.

use serde_json::{Value, json};

use super::*;
use crate::{prompt::Role, tokens::Usage};

const HAIKU: &str = "anthropic.claude-3-haiku-20240307-v1:0";

fn format(model: &str, body: &Value) -> Format {
    Format::of(Model::parse(model), body.as_object().unwrap()).ok().unwrap()
}

fn read(model: &str, body: &Value) -> Result<Prompt, ApiError> {
    format(model, body).parse(body.as_object().unwrap())
}

fn reply(stop_reason: &str) -> Reply {
    Reply {
        tool_use: None,
        text: Some("Hello.".to_owned()),
        reasoning: None,
        stop_reason: stop_reason.to_owned(),
        stop_sequence: None,
        usage: Usage { input: 21, output: 143, cache_read: Some(40), cache_write: None },
        usage_is_told: true,
        latency_ms: 0,
    }
}

/// A model, and its body with every parameter that it has.
fn bodies() -> Vec<(&'static str, Format, Value)> {
    let messages = json!([{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"},
                          {"role": "assistant", "content": "Yes?"}, {"role": "user", "content": [{"type": "text", "text": "S3?"}]}]);
    let config = json!({"temperature": 0.5, "topP": 0.9, "maxTokenCount": 9, "stopSequences": ["x"]});
    vec![
        ("amazon.titan-text-express-v1", Format::Titan, json!({"inputText": "S3?", "textGenerationConfig": config})),
        (
            "meta.llama3-8b-instruct-v1:0",
            Format::Llama,
            json!({"prompt": "S3?", "max_gen_len": 9, "temperature": 0.5, "top_p": 0.9}),
        ),
        (
            "mistral.mistral-7b-instruct-v0:2",
            Format::MistralText,
            json!({"prompt": "S3?", "max_tokens": 9, "stop": ["x"], "temperature": 0.5, "top_p": 0.9, "top_k": 50}),
        ),
        (
            "mistral.mistral-large-2407-v1:0",
            Format::MistralChat,
            json!({"messages": messages, "max_tokens": 9, "temperature": 0.5, "top_p": 0.9}),
        ),
        (
            "cohere.command-text-v14",
            Format::CohereText,
            json!({"prompt": "S3?", "max_tokens": 9, "stop_sequences": ["x"], "temperature": 0.5, "p": 0.9, "k": 50}),
        ),
        (
            "cohere.command-r-plus-v1:0",
            Format::CohereChat,
            json!({"message": "S3?", "chat_history": [{"role": "USER", "message": "Hi"}, {"role": "CHATBOT", "message": "Yes?"}],
                   "preamble": "Be brief.", "max_tokens": 9, "stop_sequences": ["x"], "temperature": 0.5, "p": 0.9, "k": 50}),
        ),
        (
            "ai21.jamba-1-5-large-v1:0",
            Format::Jamba,
            json!({"messages": messages, "max_tokens": 9, "stop": ["x"], "temperature": 0.5, "top_p": 0.9}),
        ),
        (
            "us.deepseek.r1-v1:0",
            Format::DeepSeek,
            json!({"prompt": "S3?", "max_tokens": 9, "stop": ["x"], "temperature": 0.5, "top_p": 0.9}),
        ),
        (
            "openai.gpt-oss-120b-1:0",
            Format::OpenAi,
            json!({"messages": messages, "max_completion_tokens": 9, "stop": "x", "temperature": 0.5, "top_p": 0.9}),
        ),
        (
            "qwen.qwen3-32b-v1:0",
            Format::OpenAi,
            json!({"messages": messages, "max_tokens": 9, "stop": ["x"], "temperature": 0.5, "top_p": 0.9}),
        ),
    ]
}

#[test]
fn every_parameter_is_read() {
    for (model, expected, body) in bodies() {
        assert_eq!(format(model, &body), expected, "{model}");
        let prompt = read(model, &body).unwrap_or_else(|error| panic!("{model}: {}", error.message));
        assert_eq!((prompt.last_user_text(), prompt.max_tokens), ("S3?", Some(9)), "{model}");
        assert_eq!((prompt.temperature, prompt.top_p), (Some(0.5), Some(0.9)), "{model}");
        let has_stop = !matches!(expected, Format::Llama | Format::MistralChat);
        assert_eq!(prompt.stop_sequences.len(), usize::from(has_stop), "{model}");
        let has_messages =
            matches!(expected, Format::MistralChat | Format::CohereChat | Format::Jamba | Format::OpenAi);
        assert_eq!((prompt.system.len(), prompt.turns.len()), if has_messages { (1, 3) } else { (0, 1) }, "{model}");
        assert!(prompt.turns.first().is_some_and(|turn| turn.role == Role::User));
    }
}

#[test]
fn unknown_and_foreign_fields_are_refused_by_name() {
    for (model, format, body) in bodies() {
        let foreign = match format {
            Format::MistralText => vec!["stop_sequences", "k", "messages"],
            Format::MistralChat => vec!["top_k", "stop", "prompt"],
            Format::CohereText | Format::CohereChat => vec!["top_k", "top_p", "stop"],
            Format::Llama => vec!["top_k", "stop", "max_tokens"],
            _ => vec!["top_k", "k", "temprature"],
        };
        for field in foreign {
            let mut body = body.clone();
            body[field] = json!(1);
            let error = read(model, &body).err().unwrap_or_else(|| panic!("{model} takes {field}"));
            assert!(error.message.contains(&format!("[{field}]")), "{model}: {}", error.message);
        }
    }
}

#[test]
fn what_is_missing_or_out_of_range_is_refused() {
    for (model, _, body) in bodies() {
        for field in ["inputText", "prompt", "message", "messages"] {
            for value in [Value::Null, json!(""), json!([]), json!(7)] {
                if body.get(field).is_some() {
                    let mut body = body.clone();
                    body[field] = value;
                    assert_eq!(read(model, &body).err().unwrap().kind, "ValidationException", "{model}");
                }
            }
        }
        for (field, value) in [
            ("max_tokens", json!(0)),
            ("max_completion_tokens", json!(0)),
            ("max_gen_len", json!(0)),
            ("temperature", json!(5.5)),
            ("top_p", json!(1.5)),
            ("p", json!(1.5)),
            ("k", json!(501)),
            ("top_k", json!(0)),
            ("stop", json!([""])),
            ("textGenerationConfig", json!({"maxTokenCount": -1})),
            ("chat_history", json!([{"role": "user", "message": "Hi"}])),
        ] {
            if body.get(field).is_some() {
                let mut body = body.clone();
                body[field] = value;
                assert_eq!(read(model, &body).err().unwrap().kind, "ValidationException", "{model} {field}");
            }
        }
    }
    let chat = |body: Value| read("openai.gpt-oss-20b-1:0", &body).err().unwrap().message;
    let messages = json!([{"role": "user", "content": "Hi"}]);
    assert!(chat(json!({"messages": messages, "max_tokens": 1, "max_completion_tokens": 1})).contains("cannot both"));
    assert!(chat(json!({"messages": messages, "stream": true})).contains("stream"));
    assert!(chat(json!({"messages": [{"role": "robot", "content": "Hi"}]})).contains("role"));
}

#[test]
fn stop_reasons_are_in_the_familys_own_words() {
    for (format, place, [end, max, stop]) in [
        (Format::Titan, "/results/0/completionReason", ["FINISH", "LENGTH", "STOP_CRITERIA_MET"]),
        (Format::Llama, "/stop_reason", ["stop", "length", "stop"]),
        (Format::MistralText, "/outputs/0/stop_reason", ["stop", "length", "stop"]),
        (Format::MistralChat, "/choices/0/stop_reason", ["stop", "length", "stop"]),
        (Format::CohereText, "/generations/0/finish_reason", ["COMPLETE", "MAX_TOKENS", "COMPLETE"]),
        (Format::CohereChat, "/finish_reason", ["COMPLETE", "MAX_TOKENS", "COMPLETE"]),
        (Format::Jamba, "/choices/0/finish_reason", ["stop", "length", "stop"]),
        (Format::DeepSeek, "/choices/0/stop_reason", ["stop", "length", "stop"]),
        (Format::OpenAi, "/choices/0/finish_reason", ["stop", "length", "stop"]),
        (Format::Nova, "/stopReason", ["end_turn", "max_tokens", "stop_sequence"]),
        (Format::ClaudeMessages, "/stop_reason", ["end_turn", "max_tokens", "stop_sequence"]),
        (Format::ClaudeText, "/stop_reason", ["stop_sequence", "max_tokens", "stop_sequence"]),
    ] {
        for (reason, word) in [("end_turn", end), ("max_tokens", max), ("stop_sequence", stop), ("strange", "strange")]
        {
            let answer = format.answer(&reply(reason), "model");
            assert_eq!(answer.pointer(place), Some(&json!(word)), "{format:?} {reason}");
            assert!(answer.to_string().contains("Hello."), "{format:?}");
        }
    }
}

#[test]
fn usage_is_told_where_the_body_has_a_place_for_it() {
    for (format, places) in [
        (Format::Titan, vec![("/inputTextTokenCount", 21), ("/results/0/tokenCount", 143)]),
        (Format::Llama, vec![("/prompt_token_count", 21), ("/generation_token_count", 143)]),
        (
            Format::OpenAi,
            vec![
                ("/usage/prompt_tokens", 61),
                ("/usage/completion_tokens", 143),
                ("/usage/total_tokens", 204),
                ("/usage/prompt_tokens_details/cached_tokens", 40),
            ],
        ),
        (Format::Jamba, vec![("/usage/prompt_tokens", 61), ("/usage/completion_tokens", 143)]),
        (Format::Nova, vec![("/usage/inputTokens", 21), ("/usage/cacheReadInputTokenCount", 40)]),
    ] {
        let answer = format.answer(&reply("end_turn"), "model");
        let untold = format.answer(&Reply { usage_is_told: false, ..reply("end_turn") }, "model");
        for (place, count) in places {
            assert_eq!(answer.pointer(place), Some(&json!(count)), "{format:?} {place}");
            assert_eq!(untold.pointer(place), None, "{format:?} {place}");
        }
    }
    for format in [Format::MistralText, Format::MistralChat, Format::CohereText, Format::CohereChat, Format::DeepSeek] {
        assert!(!format.answer(&reply("end_turn"), "model").to_string().contains("143"), "{format:?}");
    }
}

#[test]
fn reasoning_stands_before_the_text_where_the_family_tells_it() {
    let reply = Reply { reasoning: Some("Hm.".to_owned()), ..reply("end_turn") };
    for (format, model, place, text) in [
        (Format::OpenAi, "openai.gpt-oss-20b-1:0", "/choices/0/message/content", "<reasoning>Hm.</reasoning>Hello."),
        (Format::OpenAi, "qwen.qwen3-32b-v1:0", "/choices/0/message/content", "Hello."),
        (Format::DeepSeek, "deepseek.r1-v1:0", "/choices/0/text", "Hm.\n</think>\n\nHello."),
        (Format::ClaudeMessages, HAIKU, "/content/0/thinking", "Hm."),
        (Format::ClaudeMessages, HAIKU, "/content/1/text", "Hello."),
        (Format::Llama, "meta.llama3-8b-instruct-v1:0", "/generation", "Hello."),
    ] {
        assert_eq!(format.answer(&reply, model).pointer(place), Some(&json!(text)), "{format:?}");
    }
}

#[test]
fn a_body_behind_an_unknown_profile_is_recognised() {
    for (_, expected, body) in bodies() {
        let seen = Format::of(None, body.as_object().unwrap()).ok().unwrap();
        let alike = match expected {
            Format::MistralChat | Format::Jamba => Format::OpenAi,
            Format::DeepSeek => Format::MistralText,
            other => other,
        };
        assert_eq!(seen, alike);
    }
}
