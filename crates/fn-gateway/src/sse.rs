//! Server-sent events. Source: WHATWG, HTML Living Standard, "Server-sent events".

use axum::body::Bytes;
use serde_json::Value;

/// The content type of server-sent events.
pub const EVENT_STREAM: &str = "text/event-stream";

/// An event without a name.
pub fn data(fields: &Value) -> Bytes {
    text(&fields.to_string())
}

/// An event without a name whose data is `text`, which has no line ends.
pub fn text(text: &str) -> Bytes {
    format!("data: {text}\n\n").into()
}

/// An event with a name.
pub fn event(name: &str, fields: &Value) -> Bytes {
    format!("event: {name}\ndata: {fields}\n\n").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn an_event_has_one_line_of_data_whatever_its_text() {
        let fields = json!({"text": "a\r\nb\u{2028}"});
        assert_eq!(event("ping", &fields), "event: ping\ndata: {\"text\":\"a\\r\\nb\u{2028}\"}\n\n");
        assert_eq!(data(&fields), "data: {\"text\":\"a\\r\\nb\u{2028}\"}\n\n");
        assert_eq!(text("[DONE]"), "data: [DONE]\n\n");
    }
}
