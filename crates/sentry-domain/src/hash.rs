//! A hash that never changes, for names that are stored.

/// The 64-bit FNV-1a hash of `text`, see <https://datatracker.ietf.org/doc/html/draft-eastlake-fnv>. It is the same on
/// every machine and in every version. The standard library does not promise this for its hashes.
#[must_use]
pub fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_that_of_the_published_test_vectors() {
        assert_eq!(
            ["", "a", "foobar"].map(fnv1a),
            [0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c, 0x8594_4171_f739_67e8]
        );
    }
}
