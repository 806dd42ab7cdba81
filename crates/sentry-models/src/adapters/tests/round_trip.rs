//! The model receives the conversation in order, and the client receives the model's answer unchanged.

use proptest::prelude::*;
use sentry_domain::Charges;
use serde_json::{Value, json};

use super::reference::{MODELS, answer};
use super::{input, prepare, refused_by, sent};
use crate::adapters::normalize;

/// A conversation from the model's point of view: the system text, and the speaker and text of each turn.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    system: String,
    turns: Vec<(String, String)>,
}

impl Heard {
    fn say(&mut self, role: &str, text: &str) {
        self.turns.push((role.to_owned(), text.to_owned()));
    }

    /// The conversation that the client meant. Consecutive messages of one speaker are one text.
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

/// Reads a request as a model does.
fn hear(body: &Value) -> Heard {
    let mut heard = Heard { system: blocks(&body["system"]), ..Heard::default() };
    for message in body["messages"].as_array().unwrap() {
        heard.say(message["role"].as_str().unwrap(), &blocks(&message["content"]));
    }
    heard
}

fn messages() -> impl Strategy<Value = Vec<(String, String)>> {
    let message = ("system|user|assistant", "[\\PC\n\t]{1,30}");
    prop::collection::vec(message, 1..7)
        .prop_filter("someone must speak", |messages| messages.iter().any(|(role, _)| role != "system"))
}

fn as_json(messages: &[(String, String)]) -> Value {
    messages.iter().map(|(role, content)| json!({"role": role, "content": content})).collect()
}

proptest! {
    #[test]
    fn the_model_gets_the_clients_messages_unchanged(messages in messages()) {
        for (family, model_id) in MODELS {
            let input = input(*family, model_id, &as_json(&messages), &json!({}));
            match prepare(&input, 9) {
                Ok(_) => prop_assert_eq!(hear(&sent(&input)), Heard::meant(&messages), "{}", model_id),
                Err(failure) => prop_assert!(["messages", "system"].contains(&refused_by(&failure))),
            }
        }
    }

    #[test]
    fn the_client_gets_the_models_answer_unchanged(
        said in "[\\PC\n]{0,60}", tokens in [1..1_000_000_u64, 0..1_000_000, 0..1_000_000, 0..1_000_000]
    ) {
        let reply = normalize(serde_json::from_value(answer(&said, tokens)).unwrap(), Charges::default()).unwrap();
        prop_assert_eq!(reply.text(), said);
        prop_assert_eq!([reply.usage.input, reply.usage.output, reply.usage.cache_read, reply.usage.cache_write], tokens);
    }
}
