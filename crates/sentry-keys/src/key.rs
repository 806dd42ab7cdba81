//! The text of a key, and its hash.

use std::fmt::{self, Write};

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// The beginning of every key, by which secret scanners can find it.
const PREFIX: &str = "csk_";
/// Number of hexadecimal digits after the prefix.
const DIGITS: usize = 64;

/// A secret that identifies a client. It has no `Debug` form with its text, so that it is in no log.
#[derive(Clone, PartialEq, Eq)]
pub struct Key(String);

impl Key {
    /// A new key, from the random numbers of the operating system.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{PREFIX}{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()))
    }

    /// The key in `text`. `None` if the text does not look like one.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix(PREFIX)?;
        let fits = digits.len() == DIGITS && digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
        fits.then(|| Self(text.to_owned()))
    }

    /// The text that the client sends.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// The hash under which the key is stored.
    #[must_use]
    pub fn hash(&self) -> KeyHash {
        KeyHash::of(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key")
    }
}

/// The SHA-256 of a key, or of the ARN of a principal, in 64 hexadecimal digits. It is no secret: the key cannot be
/// found from it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash(pub String);

impl KeyHash {
    /// The hash of `text`, which need not have the form of a key.
    #[must_use]
    pub fn of(text: &str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        Self(digest.iter().fold(String::new(), |mut digits, byte| {
            // Writing to a String never fails.
            let _ = write!(digits, "{byte:02x}");
            digits
        }))
    }

    /// The first 12 digits, by which administrators name a key.
    #[must_use]
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_random_key_is_read_back_and_no_two_are_equal() {
        let (one, other) = (Key::random(), Key::random());
        assert_eq!(Key::parse(one.reveal()), Some(one.clone()));
        assert_ne!(one.hash(), other.hash());
        assert_eq!((one.hash().0.len(), one.hash().short().len()), (64, 12));
        assert!(!format!("{one:?}").contains(one.reveal()));
    }

    #[test]
    fn the_hash_is_the_sha_256_of_the_whole_text() {
        let key = Key::parse(&format!("csk_{}", "0".repeat(64))).unwrap();
        // printf 'csk_%064d' 0 | sha256sum
        assert_eq!(key.hash().0, HASH_OF_ZEROS);
    }

    const HASH_OF_ZEROS: &str = "f6ec25186c7cfd69fba4b4c56f2da430bd3d45e86ae56536c02eb8990dc21fd0";

    #[test]
    fn a_text_of_another_form_is_no_key() {
        let digits = "0".repeat(64);
        for text in [
            "",
            "csk_",
            "csk_0",
            &digits,
            &format!("csk_{}G", "0".repeat(63)),
            &format!("csk_{digits}0"),
            &format!("CSK_{digits}"),
            &format!("csk_{}A", "0".repeat(63)),
            &format!(" csk_{digits}"),
        ] {
            assert_eq!(Key::parse(text), None, "{text}");
        }
    }
}
