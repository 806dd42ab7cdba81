//! What goes into a conversation is what a model hears, in order; what a model says is what a client reads.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::reference::{Format, MODELS, answer, target};
use super::{input, prepare, refused_by, sent};
use crate::adapters::{HeaderCounts, normalise, read_body};

/// A conversation as a model hears it: system text, and who says what.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    system: String,
    turns: Vec<(String, String)>,
}

impl Heard {
    fn say(&mut self, role: &str, text: &str) {
        self.turns.push((role.to_owned(), text.to_owned()));
    }

    /// As the client meant it: messages of one speaker in a row are one text.
    fn meant(messages: &[(String, String)]) -> Self {
        let mut meant = Self::default();
        let mut system = Vec::new();
        for (role, text) in messages {
            match meant.turns.last_mut() {
                _ if role == "system" => system.push(text.as_str()),
                Some((last, said)) if last == role => *said = format!("{said}\n\n{text}"),
                _ => meant.say(role, text),
            }
        }
        meant.system = system.join("\n\n");
        meant
    }
}

/// The texts of a list of blocks.
fn blocks(value: &Value) -> String {
    let texts: Vec<&str> =
        value.as_array().into_iter().flatten().map(|block| block["text"].as_str().unwrap()).collect();
    texts.join("\n\n")
}

/// `text` in pieces, each with the mark before it.
fn split<'t>(text: &'t str, marks: &[&'static str]) -> (&'t str, Vec<(&'static str, &'t str)>) {
    let find = |text: &str| marks.iter().filter_map(|mark| Some((text.find(mark)?, *mark))).min();
    let Some((mut at, mut mark)) = find(text) else { return (text, Vec::new()) };
    let (before, mut rest) = (&text[..at], &text[at + mark.len()..]);
    let mut pieces = Vec::new();
    while let Some((next, next_mark)) = find(rest) {
        (at, pieces) = (next, {
            pieces.push((mark, &rest[..next]));
            pieces
        });
        (rest, mark) = (&rest[at + next_mark.len()..], next_mark);
    }
    pieces.push((mark, rest));
    (before, pieces)
}

/// As a model hears a request in `format`.
fn hear(format: Format, body: &Value) -> Heard {
    let mut heard = Heard::default();
    match format {
        Format::Converse | Format::Claude | Format::Nova => {
            heard.system = blocks(&body["system"]);
            for message in body["messages"].as_array().unwrap() {
                heard.say(message["role"].as_str().unwrap(), &blocks(&message["content"]));
            }
        }
        Format::OpenAi | Format::GptOss => {
            for message in body["messages"].as_array().unwrap() {
                let (role, text) = (message["role"].as_str().unwrap(), message["content"].as_str().unwrap());
                if role == "system" { heard.system = text.to_owned() } else { heard.say(role, text) }
            }
        }
        Format::Command => heard.say("user", body["prompt"].as_str().unwrap()),
        Format::CommandR => {
            heard.system = body["preamble"].as_str().unwrap_or_default().to_owned();
            for past in body["chat_history"].as_array().into_iter().flatten() {
                heard.say(if past["role"] == "USER" { "user" } else { "assistant" }, past["message"].as_str().unwrap());
            }
            heard.say("user", body["message"].as_str().unwrap());
        }
        Format::ClaudeText => {
            let (system, turns) = split(body["prompt"].as_str().unwrap(), &["\n\nHuman:", "\n\nAssistant:"]);
            heard.system = system.to_owned();
            for (mark, text) in turns.into_iter().filter(|(_, text)| !text.is_empty()) {
                heard.say(if mark.contains("Human") { "user" } else { "assistant" }, text.strip_prefix(' ').unwrap());
            }
        }
        Format::Titan => {
            let text = format!("\n{}", body["inputText"].as_str().unwrap());
            let (before, turns) = split(&text, &["\nUser:", "\nBot:"]);
            assert_eq!(before, "");
            for (mark, text) in turns.into_iter().filter(|(_, text)| !text.is_empty()) {
                heard.say(if mark.contains("User") { "user" } else { "assistant" }, text.strip_prefix(' ').unwrap());
            }
        }
        Format::Llama3 => hear_llama(&mut heard, body, ["<|start_header_id|>", "<|end_header_id|>\n\n", "<|eot_id|>"]),
        Format::Llama4 => hear_llama(&mut heard, body, ["<|header_start|>", "<|header_end|>\n\n", "<|eot|>"]),
        Format::MistralText => {
            let (before, turns) = split(body["prompt"].as_str().unwrap(), &["<s>[INST] ", "</s> [INST] "]);
            assert_eq!(before, "");
            for (_, turn) in turns {
                let (question, said) = turn.split_once(" [/INST]").unwrap();
                heard.say("user", question);
                if let Some(said) = said.strip_prefix(' ') {
                    heard.say("assistant", said);
                }
            }
        }
        Format::DeepseekR1 => {
            let prompt = body["prompt"].as_str().unwrap().strip_prefix("<｜begin▁of▁sentence｜>").unwrap();
            let (system, turns) = split(prompt, &["<｜User｜>", "<｜Assistant｜>"]);
            heard.system = system.to_owned();
            for (mark, text) in turns.into_iter().filter(|(_, text)| *text != "<think>\n") {
                let text = text.strip_suffix("<｜end▁of▁sentence｜>").unwrap_or(text);
                heard.say(if mark.contains("User") { "user" } else { "assistant" }, text);
            }
        }
    }
    heard
}

fn hear_llama(heard: &mut Heard, body: &Value, [start, end, eot]: [&'static str; 3]) {
    let prompt = body["prompt"].as_str().unwrap().strip_prefix("<|begin_of_text|>").unwrap();
    for turn in prompt.split(start).skip(1) {
        let (role, text) = turn.split_once(end).unwrap();
        let text = text.strip_suffix(eot).unwrap_or(text);
        if role == "system" {
            heard.system = text.to_owned();
        } else if !text.is_empty() {
            heard.say(role, text);
        }
    }
}

/// Any text, often with pieces of the templates in it.
fn text() -> impl Strategy<Value = String> {
    let marks = "\n\nHuman:|\n\nAssistant:|Human:|\nUser:|\nBot:|<s>|</s>|\\[INST\\]|\\[/INST\\]|<\\|eot_id\\|>|<\\|eot\\|>|<｜User｜>|\n| ";
    let any = "[\\PC\n\t]{1,30}";
    prop_oneof![8 => any, 1 => (any, marks, "\\PC{0,9}").prop_map(|(a, mark, b)| a + &mark + &b), 1 => marks]
}

fn messages() -> impl Strategy<Value = Vec<(String, String)>> {
    let message = ("system|user|assistant", text());
    prop::collection::vec(message, 1..7)
        .prop_filter("someone must speak", |messages| messages.iter().any(|(role, _)| role != "system"))
}

fn as_json(messages: &[(String, String)]) -> Value {
    messages.iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

proptest! {
    #[test]
    fn what_goes_in_is_what_the_model_hears(messages in messages()) {
        for (family, model_id, transport, format) in MODELS {
            match prepare(&input(*family, model_id, *transport, &as_json(&messages), &json!({})), 9) {
                Ok(prepared) => prop_assert_eq!(hear(*format, &sent(prepared)), Heard::meant(&messages), "{}", model_id),
                Err(failure) => prop_assert!(["messages", "system"].contains(&refused_by(&failure))),
            }
        }
    }

    #[test]
    fn a_conversation_without_marks_is_refused_by_nobody_who_has_conversations(
        texts in prop::collection::vec("[a-zà-ÿ .,!?\n]{1,40}", 1..4).prop_map(|mut texts| { if texts.len() % 2 == 0 { texts.pop(); } texts })
    ) {
        let roles = ["user", "assistant", "user"].map(str::to_owned);
        let messages: Vec<_> = roles.into_iter().zip(texts).collect();
        for (family, model_id, transport, format) in MODELS {
            if messages.len() == 1 || !model_id.starts_with("cohere.command-text") && !model_id.starts_with("cohere.command-light") {
                let prepared = prepare(&input(*family, model_id, *transport, &as_json(&messages), &json!({})), 9).unwrap();
                prop_assert_eq!(hear(*format, &sent(prepared)), Heard::meant(&messages), "{}", model_id);
            }
        }
    }

    #[test]
    fn what_the_model_says_is_what_the_client_reads(
        said in "[\\PC\n]{0,60}", tokens in [1..1_000_000_u64, 0..1_000_000, 0..1_000_000, 0..1_000_000]
    ) {
        let [input, output, read, _] = tokens;
        let counts = HeaderCounts { input: Some(input), output: Some(output), cache_read: None, cache_write: None };
        for (family, model_id, transport, format) in MODELS {
            let body = answer(*format, &said, tokens);
            let model = target(*family, model_id, *transport).unwrap();
            let reply = match format {
                Format::Converse => normalise(serde_json::from_value(body).unwrap()).unwrap(),
                _ => read_body(&model, body.to_string().as_bytes(), counts).unwrap(),
            };
            // A completion goes on after the prompt, with a space or a line end that is no part of it.
            let expected = match format {
                Format::Converse | Format::Claude | Format::Nova | Format::OpenAi | Format::GptOss | Format::CommandR => said.clone(),
                Format::Titan => format!("{said}\n").trim_start().to_owned(),
                _ => said.trim_start().to_owned(),
            };
            prop_assert_eq!(&reply.text(), &expected, "{}", model_id);
            prop_assert_eq!((reply.usage.input, reply.usage.output), (input, output));
            let cached = matches!(format, Format::Converse | Format::Claude | Format::Nova | Format::OpenAi | Format::GptOss);
            prop_assert_eq!(reply.usage.cache_read, if cached { read } else { 0 });
        }
    }
}
