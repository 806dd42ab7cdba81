//! The hash that makes replies, ids, and cache entries depend on a text without keeping the text.

/// A hash of a text (FNV-1a, 64 bits). The text cannot be recovered from it.
pub fn fingerprint(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}
