//! The form of prompts and answers between functions: compact JSON, deflated, in base64.
//!
//! A state machine passes such a text on without reading it. Numbers therefore arrive unchanged, quotes and line ends
//! need no extra bytes, and execution data never shows a prompt. A short text is stored in the format of deflate as it is.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use miniz_oxide::deflate::compress_to_vec;
use miniz_oxide::inflate::decompress_to_vec_with_limit;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The compression level: zlib's default. Higher levels take several times as long and save about 1 %.
const LEVEL: u8 = 6;
/// Longest JSON text that is stored without compression, in bytes. A compressor needs a third of a megabyte of memory before
/// it reads the first byte, which takes much longer than to copy such a text.
const MAX_STORED_BYTES: u16 = 4_096;
/// Largest JSON text that is unpacked, in bytes. A document has at most 262,144 bytes. The limit keeps a forged text
/// from filling the memory.
const MAX_OPEN_BYTES: usize = 4 * 1_048_576;

/// A value that only functions unpack.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sealed(String);

/// A sealed text that cannot be unpacked. The error never contains the text.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unsealable {
    /// The text is not base64.
    #[error("it is not base64")]
    Encoding,
    /// The text cannot be inflated, or is larger than 4 MiB.
    #[error("it cannot be inflated")]
    Compression,
    /// The JSON inside does not have the expected form.
    #[error("its JSON is not what is expected at line {line}, column {column}")]
    Json {
        /// Line of the error, from 1.
        line: usize,
        /// Column of the error, from 1.
        column: usize,
    },
}

impl Sealed {
    /// Packs `value` into a text.
    ///
    /// # Errors
    /// Returns an error if `value` cannot be written as JSON.
    pub fn new<T: Serialize>(value: &T) -> Result<Self, serde_json::Error> {
        let json = serde_json::to_vec(value)?;
        Ok(Self(STANDARD.encode(stored(&json).unwrap_or_else(|| compress_to_vec(&json, LEVEL)))))
    }

    /// Unpacks the value from the text.
    ///
    /// # Errors
    /// Returns an error if the text was not packed by [`Self::new`] from a value of this form.
    pub fn open<T: DeserializeOwned>(&self) -> Result<T, Unsealable> {
        let packed = STANDARD.decode(&self.0).map_err(|_| Unsealable::Encoding)?;
        let json = decompress_to_vec_with_limit(&packed, MAX_OPEN_BYTES).map_err(|_| Unsealable::Compression)?;
        serde_json::from_slice(&json).map_err(|error| Unsealable::Json { line: error.line(), column: error.column() })
    }

    /// Length of the sealed text, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.0.len()
    }
}

/// `bytes` as the one stored block of a deflated stream (RFC 1951, 3.2.4). `None` if there are too many of them.
fn stored(bytes: &[u8]) -> Option<Vec<u8>> {
    const LAST_STORED_BLOCK: u8 = 1;
    let length = u16::try_from(bytes.len()).ok().filter(|length| *length <= MAX_STORED_BYTES)?;
    let mut block = Vec::with_capacity(5 + bytes.len());
    block.push(LAST_STORED_BLOCK);
    block.extend(length.to_le_bytes());
    block.extend((!length).to_le_bytes());
    block.extend(bytes);
    Some(block)
}

impl fmt::Debug for Sealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Sealed({} bytes)", self.bytes())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn a_value_comes_out_as_it_went_in() {
        let value = json!({"text": "größer 🦀 \" \\ \n \u{1}", "id": 1_234_567_890_123_456_789_u64, "x": 0.300_000_000_000_000_04});
        let sealed = Sealed::new(&value).unwrap();
        assert_eq!(sealed.open::<Value>(), Ok(value));
    }

    #[test]
    fn text_up_to_the_limit_is_stored_and_a_longer_one_is_compressed() {
        let limit = usize::from(MAX_STORED_BYTES);
        // The JSON of a text has two quotes more.
        for (length, stored) in [(0, true), (limit - 2, true), (limit - 1, false), (100_000, false)] {
            let text = "a".repeat(length);
            let sealed = Sealed::new(&text).unwrap();
            assert_eq!(sealed.bytes() > length, stored, "{length}: {sealed:?}");
            assert_eq!(sealed.open::<String>(), Ok(text));
        }
    }

    #[test]
    fn quotes_and_line_ends_take_no_extra_room_and_the_text_is_not_shown() {
        let text = "\"\n".repeat(100_000);
        let sealed = Sealed::new(&text).unwrap();
        assert!(sealed.bytes() < 1_000, "{sealed:?}");
        let marked = Sealed::new(&"marker").unwrap();
        assert!(
            !format!("{marked:?}").contains("marker") && !serde_json::to_string(&marked).unwrap().contains("marker")
        );
    }

    #[test]
    fn random_base64_as_of_pictures_takes_the_room_that_it_had() {
        let mut state = 1_u64;
        let bytes: Vec<u8> = std::iter::repeat_with(|| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state.to_be_bytes()[0]
        })
        .take(140_000)
        .collect();
        let picture = STANDARD.encode(bytes);
        let sealed = Sealed::new(&picture).unwrap();
        assert!(sealed.bytes() * 100 <= picture.len() * 102, "{} of {}", sealed.bytes(), picture.len());
    }

    #[test]
    fn a_text_that_was_not_sealed_is_refused_and_not_shown() {
        for (text, expected) in [("not base64!", Unsealable::Encoding), ("c2VjcmV0", Unsealable::Compression)] {
            let sealed: Sealed = serde_json::from_value(json!(text)).unwrap();
            assert_eq!(sealed.open::<Value>(), Err(expected));
        }
        let sealed = Sealed::new(&"a secret").unwrap();
        assert_eq!(sealed.open::<u64>(), Err(Unsealable::Json { line: 1, column: 10 }));
    }

    #[test]
    fn a_text_that_unpacks_to_more_than_four_mebibytes_is_refused() {
        let sealed = Sealed::new(&"a".repeat(MAX_OPEN_BYTES)).unwrap();
        assert_eq!(sealed.open::<String>(), Err(Unsealable::Compression));
    }
}
