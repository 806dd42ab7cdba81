//! Streams of events, with the pauses and faults of the directives.

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

use crate::{directives::Directives, recorder::Streamed};

/// Words in an event if no directive sets them.
const WORDS: u64 = 8;
/// Time for the events before the loss of a connection to leave.
const BEFORE_CUT: Duration = Duration::from_millis(50);

/// An event: its name and its fields.
pub type Event = (&'static str, Value);

/// Words in an event of a stream.
pub fn words(directives: &Directives) -> usize {
    usize::try_from(directives.chunk_words.unwrap_or(WORDS).max(1)).unwrap_or(usize::MAX)
}

/// The text in pieces of `words` words, which together are the text.
pub fn pieces(text: &str, words: usize) -> impl Iterator<Item = String> {
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

    #[test]
    fn the_pieces_of_a_text_are_the_text() {
        let text = "a  b c\nd e ";
        for words in 1..8 {
            assert_eq!(pieces(text, words).collect::<String>(), text);
        }
        assert_eq!(pieces("one two three", 2).collect::<Vec<_>>(), ["one two ", "three"]);
    }
}
