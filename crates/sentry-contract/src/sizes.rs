//! How large requests and answers may be: the one place that counts against Step Functions' limit.

use serde::Serialize;

/// Largest input, output and state payload of a Step Functions execution, and largest variable, in bytes of UTF-8.
///
/// Source: AWS Step Functions Developer Guide, "Step Functions service quotas".
pub const MAX_PAYLOAD_BYTES: usize = 262_144;

/// Room that a validated request leaves in a payload, in bytes: for a fallback model in the place of the one asked for, and for the
/// fields that a state adds to the call.
const REQUEST_ROOM_BYTES: usize = 8_192;

/// Room that a model's answer leaves in a payload, in bytes: for the reservation on eight scopes beside it on its way to `Settle`, and
/// for tags, model and budget in the final document.
const ANSWER_ROOM_BYTES: usize = 24_576;

/// Largest validated request, sealed prompt included, in bytes.
pub const MAX_REQUEST_BYTES: usize = MAX_PAYLOAD_BYTES - REQUEST_ROOM_BYTES;

/// Largest answer of a model on its way to `Settle`, in bytes.
pub const MAX_ANSWER_BYTES: usize = MAX_PAYLOAD_BYTES - ANSWER_ROOM_BYTES;

/// The bytes that `value` takes in a payload.
///
/// # Errors
/// When it cannot be written as JSON.
pub fn payload_bytes<T: Serialize>(value: &T) -> Result<usize, serde_json::Error> {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value)?;
    Ok(counter.0)
}

/// Counts what is written to it.
struct Counter(usize);

impl std::io::Write for Counter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_payload_has_the_bytes_that_its_json_has() {
        for value in [json!(null), json!({"text": "größer \" \n 🦀", "list": [1, 2.5]})] {
            assert_eq!(payload_bytes(&value).unwrap(), value.to_string().len());
        }
    }
}
