//! Size limits of requests and answers. All checks of Step Functions' payload limit use this module.

use serde::Serialize;

/// Largest input, output and state payload of a Step Functions execution, and largest variable, in bytes of UTF-8.
///
/// Source: AWS Step Functions Developer Guide, "Step Functions service quotas".
pub const MAX_PAYLOAD_BYTES: usize = 262_144;

/// Largest document that is sent to the rate limiter in packed form, in bytes of JSON. It is the largest message of SQS.
///
/// Source: Amazon SQS Developer Guide, "Amazon SQS message quotas", read in November 2026.
pub const MAX_DOCUMENT_BYTES: usize = 1_048_576;

/// Room in a payload that a validated request leaves free, in bytes. A fallback model in place of the requested model
/// uses it, and so do the fields that a state adds to the call.
const REQUEST_ROOM_BYTES: usize = 8_192;

/// Room in a payload that a model's answer leaves free, in bytes. On the way to `Settle`, the reservation on eight
/// scopes uses it. In the final document, the tags, the model and the budget use it.
const ANSWER_ROOM_BYTES: usize = 24_576;

/// Largest validated request, sealed prompt included, in bytes.
pub const MAX_REQUEST_BYTES: usize = MAX_PAYLOAD_BYTES - REQUEST_ROOM_BYTES;

/// Largest answer of a model on its way to `Settle`, in bytes.
pub const MAX_ANSWER_BYTES: usize = MAX_PAYLOAD_BYTES - ANSWER_ROOM_BYTES;

/// The size of `value` in a payload, in bytes of JSON.
///
/// # Errors
/// Returns an error if `value` cannot be written as JSON.
pub fn payload_bytes<T: Serialize>(value: &T) -> Result<usize, serde_json::Error> {
    let mut counter = Counter(0);
    serde_json::to_writer(&mut counter, value)?;
    Ok(counter.0)
}

/// Counts the bytes that are written to it.
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
