//! Frames of an event stream. Source: Smithy, "Amazon Event Stream specification".

use aws_smithy_eventstream::frame::write_message_to;
use aws_smithy_types::event_stream::{Header, HeaderValue, Message};
use axum::body::Bytes;
use serde_json::{Value, json};
use tracing::error;

/// The frame of an event.
pub fn event(name: &'static str, fields: &Value) -> Bytes {
    frame([(":event-type", name), (":content-type", "application/json"), (":message-type", "event")], fields)
}

/// The frame that ends a stream with an error.
pub fn exception(name: &'static str, message: &str) -> Bytes {
    let headers = [(":exception-type", name), (":content-type", "application/json"), (":message-type", "exception")];
    frame(headers, &json!({"message": message}))
}

fn frame(headers: [(&'static str, &'static str); 3], fields: &Value) -> Bytes {
    let mut message = Message::new(fields.to_string());
    for (name, value) in headers {
        message = message.add_header(Header::new(name, HeaderValue::String(value.into())));
    }
    let mut bytes = Vec::new();
    if write_message_to(&message, &mut bytes).is_err() {
        // Only a payload of more than 16 MiB.
        error!("an event is too large for a frame");
        bytes.clear();
    }
    bytes.into()
}

#[cfg(test)]
mod tests {
    use aws_smithy_eventstream::frame::read_message_from;

    use super::*;

    #[test]
    fn a_frame_is_read_back() {
        let fields = json!({"contentBlockIndex": 0});
        let message = read_message_from(&mut event("contentBlockStop", &fields)).unwrap();
        let names: Vec<&str> = message.headers().iter().map(|header| header.name().as_str()).collect();
        assert_eq!(names, [":event-type", ":content-type", ":message-type"]);
        assert_eq!(serde_json::from_slice::<Value>(message.payload()).unwrap(), fields);
    }
}
