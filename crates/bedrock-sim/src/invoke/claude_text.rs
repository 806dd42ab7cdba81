//! InvokeModel of Claude 2 and Claude Instant: text completion of a prompt with `Human:` and `Assistant:` turns.

use serde_json::{Map, Value, json};

use crate::{
    error::ApiError,
    fields::Fields,
    prompt::{Prompt, Role, Turn},
    reply::Reply,
};

const HUMAN: &str = "\n\nHuman:";
const ASSISTANT: &str = "\n\nAssistant:";
const KNOWN: [&str; 7] =
    ["prompt", "max_tokens_to_sample", "temperature", "top_p", "top_k", "stop_sequences", "anthropic_version"];

/// Reads a request; the prompt's turns count as messages.
///
/// # Errors
/// A ValidationException where Bedrock would answer one.
pub fn parse(body: &Map<String, Value>) -> Result<Prompt, ApiError> {
    let fields = Fields::new(body, "#", &KNOWN)?;
    fields.integer("top_k", 0)?;
    fields.string("anthropic_version")?;
    let text = fields.string("prompt")?.ok_or_else(|| fields.missing("prompt"))?;
    let (system, turns) = split(text)?;
    Ok(Prompt {
        system,
        turns,
        max_tokens: Some(
            fields.integer("max_tokens_to_sample", 1)?.ok_or_else(|| fields.missing("max_tokens_to_sample"))?,
        ),
        stop_sequences: fields.strings("stop_sequences")?,
        temperature: fields.fraction("temperature")?,
        top_p: fields.fraction("top_p")?,
        ..Prompt::default()
    })
}

/// The answer for a reply; its token counts are told in headers only.
pub fn answer(reply: &Reply) -> Value {
    // Claude 2 has no `end_turn`: a turn ends with the stop sequence of the next one.
    let (stop_reason, stop) = match reply.stop_reason.as_str() {
        "end_turn" => ("stop_sequence", Some(HUMAN)),
        other => (other, reply.stop_sequence.as_deref()),
    };
    let completion = reply.text.as_ref().map(|text| format!(" {text}")).unwrap_or_default();
    json!({"type": "completion", "completion": completion, "stop_reason": stop_reason, "stop": stop})
}

/// Takes a prompt apart: what stands before the first human turn is the system text.
fn split(text: &str) -> Result<(Vec<String>, Vec<Turn>), ApiError> {
    let invalid = |detail: &str| ApiError::validation(format!("Invalid prompt: {detail}"));
    let (before, mut rest) =
        text.split_once(HUMAN).ok_or_else(|| invalid("prompt must start with \"\n\nHuman:\" turn"))?;
    let mut turns = Vec::new();
    let mut role = Role::User;
    loop {
        let next = [(HUMAN, Role::User), (ASSISTANT, Role::Assistant)]
            .into_iter()
            .filter_map(|(mark, role)| rest.find(mark).map(|at| (at, mark.len(), role)))
            .min_by_key(|(at, ..)| *at);
        let (turn, after, next_role) = match next {
            Some((at, length, role)) => {
                let (turn, after) = rest.split_at(at);
                (turn, after.get(length..), Some(role))
            }
            None => (rest, None, None),
        };
        turns.push(Turn::of(role, turn.trim().to_owned()));
        match (after, next_role) {
            (Some(after), Some(next_role)) => (rest, role) = (after, next_role),
            _ => break,
        }
    }
    if role != Role::Assistant {
        return Err(invalid("prompt must end with \"\n\nAssistant:\" turn"));
    }
    // An empty last turn is where the model starts to write.
    if turns.last().is_some_and(|turn| turn.text.is_empty()) {
        turns.pop();
    }
    let system = Some(before.trim()).filter(|system| !system.is_empty()).map(str::to_owned);
    Ok((system.into_iter().collect(), turns))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(body: Value) -> Result<Prompt, ApiError> {
        parse(body.as_object().unwrap())
    }

    #[test]
    fn a_conversation_is_taken_apart() {
        let text = "Be brief.\n\nHuman: Hi\n\nAssistant: Hello.\n\nHuman: S3?\n\nAssistant:";
        let prompt = read(json!({"prompt": text, "max_tokens_to_sample": 9, "top_k": 5})).ok().unwrap();
        assert_eq!(prompt.system, ["Be brief."]);
        let turns: Vec<_> = prompt.turns.iter().map(|turn| (turn.role, turn.text.as_str())).collect();
        assert_eq!(turns, [(Role::User, "Hi"), (Role::Assistant, "Hello."), (Role::User, "S3?")]);
    }

    #[test]
    fn what_bedrock_refuses_is_refused() {
        let prompt = "\n\nHuman: Hi\n\nAssistant:";
        for (body, named) in [
            (json!({"max_tokens_to_sample": 1}), "[prompt]"),
            (json!({"prompt": prompt}), "[max_tokens_to_sample]"),
            (json!({"prompt": prompt, "max_tokens_to_sample": 0}), "greater than or equal to 1"),
            (json!({"prompt": prompt, "max_tokens_to_sample": 1, "max_tokens": 1}), "[max_tokens]"),
            (json!({"prompt": "Hi", "max_tokens_to_sample": 1}), "must start with"),
            (json!({"prompt": "\n\nHuman: Hi", "max_tokens_to_sample": 1}), "must end with"),
        ] {
            let error = read(body).err().unwrap();
            assert!(error.message.contains(named), "{}", error.message);
        }
    }
}
