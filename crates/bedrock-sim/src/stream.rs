//! `ConverseStream`: the answer of Converse in events.
//!
//! Source of the events: shape `ConverseStreamOutput` of the service model (botocore 1.44.8).

use std::{io, time::Duration};

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use axum::{
    body::{Body, Bytes},
    http::header,
    response::{IntoResponse, Response},
};
use futures_util::stream;
use serde_json::{Value, json};

use crate::{converse, directives::Directives, recorder::Streamed, reply::Reply};

/// Words in an event if no directive sets them.
const WORDS: u64 = 8;
/// Time for the events before the loss of a connection to leave.
const BEFORE_CUT: Duration = Duration::from_millis(50);

/// An event: its name and its fields.
pub type Event = (&'static str, Value);

/// The events of a reply. Texts and thoughts are split after every `words` words.
pub fn events(reply: &Reply, service_tier: Option<&str>, words: Option<u64>) -> Vec<Event> {
    let answer = converse::answer(reply, service_tier);
    let words = usize::try_from(words.unwrap_or(WORDS).max(1)).unwrap_or(usize::MAX);
    let field = |name: &str| answer.get(name).cloned();
    let content = answer.pointer("/output/message/content").and_then(Value::as_array);
    let mut events = vec![("messageStart", json!({"role": "assistant"}))];
    for (index, block) in content.into_iter().flatten().enumerate() {
        if let Some(asked) = block.get("toolUse") {
            let start = json!({"toolUse": {"toolUseId": asked.get("toolUseId"), "name": asked.get("name")}});
            events.push(("contentBlockStart", json!({"contentBlockIndex": index, "start": start})));
        }
        let deltas = deltas(block, words);
        events.extend(deltas.map(|delta| ("contentBlockDelta", json!({"contentBlockIndex": index, "delta": delta}))));
        events.push(("contentBlockStop", json!({"contentBlockIndex": index})));
    }
    let stop = ["stopReason", "additionalModelResponseFields"].into_iter();
    let stop = stop.filter_map(|name| Some((name.to_owned(), field(name)?)));
    events.push(("messageStop", stop.collect()));
    let metadata = ["usage", "metrics", "serviceTier"].into_iter();
    let metadata = metadata.filter_map(|name| Some((name.to_owned(), field(name)?)));
    events.push(("metadata", metadata.collect()));
    events
}

fn deltas(block: &Value, words: usize) -> std::vec::IntoIter<Value> {
    let text = |pointer: &str| block.pointer(pointer).and_then(Value::as_str);
    let deltas: Vec<Value> = if let Some(input) = block.pointer("/toolUse/input") {
        pieces(&input.to_string(), words).map(|part| json!({"toolUse": {"input": part}})).collect()
    } else if let Some(thought) = text("/reasoningContent/reasoningText/text") {
        let signature = text("/reasoningContent/reasoningText/signature");
        let signature = signature.map(|signature| json!({"reasoningContent": {"signature": signature}}));
        pieces(thought, words).map(|part| json!({"reasoningContent": {"text": part}})).chain(signature).collect()
    } else if let Some(redacted) = text("/reasoningContent/redactedContent") {
        vec![json!({"reasoningContent": {"redactedContent": redacted}})]
    } else {
        pieces(text("/text").unwrap_or_default(), words).map(|part| json!({"text": part})).collect()
    };
    deltas.into_iter()
}

/// The text in pieces of `words` words, which together are the text.
fn pieces(text: &str, words: usize) -> impl Iterator<Item = String> {
    let all: Vec<&str> = text.split_inclusive(' ').collect();
    let pieces: Vec<String> = all.chunks(words).map(<[&str]>::concat).collect();
    pieces.into_iter()
}

/// A part of a stream that was not sent yet.
enum Part {
    Frame(Bytes),
    /// The connection is lost.
    Cut,
}

/// The answer with these events, with the pauses and faults of the directives.
pub fn respond(events: Vec<Event>, directives: &Directives) -> Response {
    let frames = events
        .iter()
        .map(|(name, fields)| Part::Frame(frame(&[(":message-type", "event"), (":event-type", name)], fields)));
    let before = |limit: u64| usize::try_from(limit).unwrap_or(usize::MAX);
    let parts: Vec<Part> = match (directives.cut_after, directives.fail_after) {
        (Some(limit), _) => frames.take(before(limit)).chain([Part::Cut]).collect(),
        (None, Some(limit)) => frames.take(before(limit)).chain([Part::Frame(exception())]).collect(),
        (None, None) => frames.collect(),
    };
    let pause = Duration::from_millis(directives.chunk_delay_ms.unwrap_or(0));
    let parts = stream::unfold((parts.into_iter(), Duration::ZERO), move |(mut parts, wait)| async move {
        let part = parts.next()?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let sent = match part {
            Part::Frame(frame) => Ok(frame),
            Part::Cut => {
                // The client has what was sent before.
                tokio::time::sleep(BEFORE_CUT).await;
                Err(io::Error::from(io::ErrorKind::ConnectionAborted))
            }
        };
        Some((sent, (parts, pause)))
    });
    let head = [(header::CONTENT_TYPE, "application/vnd.amazon.eventstream")];
    let mut response = (head, Body::from_stream(parts)).into_response();
    response.extensions_mut().insert(Streamed);
    response
}

fn exception() -> Bytes {
    let headers = [(":message-type", "exception"), (":exception-type", "modelStreamErrorException")];
    frame(&headers, &json!({"message": "The model failed in the middle of its answer."}))
}

fn frame(headers: &[(&'static str, &'static str)], fields: &Value) -> Bytes {
    let mut message = Message::new(fields.to_string());
    for (name, value) in headers.iter().chain(&[(":content-type", "application/json")]) {
        message = message.add_header(Header::new(*name, HeaderValue::String((*value).into())));
    }
    let mut bytes = Vec::new();
    // The only error is a payload of more than 16 MiB, which no event has.
    let _ = write_message_to(&message, &mut bytes);
    bytes.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tokens::Usage;

    #[test]
    fn a_reply_begins_and_ends_as_a_stream_of_bedrock_does() {
        let usage = Usage { input: 1, output: 3, cache_read: None, cache_write: None, cache_write_long: 0 };
        let reply = Reply {
            text: Some("a b c".to_owned()),
            thoughts: None,
            tool_use: None,
            stop_reason: "end_turn".to_owned(),
            usage,
            usage_is_told: true,
            latency_ms: 0,
            response_paths: vec!["/stop_reason".to_owned()],
        };
        let events = events(&reply, Some("flex"), Some(2));
        let names: Vec<&str> = events.iter().map(|(name, _)| *name).collect();
        let parts = ["contentBlockDelta", "contentBlockDelta", "contentBlockStop"];
        assert_eq!(names, [&["messageStart"][..], &parts, &["messageStop", "metadata"]].concat());
        let (_, stop) = events.iter().rev().nth(1).unwrap();
        let own = json!({"stop_reason": "end_turn"});
        assert_eq!(*stop, json!({"stopReason": "end_turn", "additionalModelResponseFields": own}));
        let (_, last) = events.last().unwrap();
        let usage = json!({"inputTokens": 1, "outputTokens": 3, "totalTokens": 4});
        assert_eq!(*last, json!({"usage": usage, "metrics": {"latencyMs": 0}, "serviceTier": {"type": "flex"}}));
    }

    #[test]
    fn the_pieces_of_a_text_are_the_text() {
        let text = "a  b c\nd e ";
        for words in 1..8 {
            assert_eq!(pieces(text, words).collect::<String>(), text);
        }
        assert_eq!(pieces("one two three", 2).collect::<Vec<_>>(), ["one two ", "three"]);
    }
}
