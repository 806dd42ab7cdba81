//! Whose hold it is.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sentry_contract::request::fnv1a;

/// The execution that works on a request.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// The idempotency key.
    pub request_id: &'a str,
    /// The execution's ARN.
    pub execution_id: &'a str,
}

impl Holder<'_> {
    /// The name of its holds: 64 bits of the execution's id, in 11 characters of base64.
    ///
    /// Every write of an item pays for the names of its holds, so the name is short. An execution's id ends in a random UUID.
    #[must_use]
    pub fn owner(&self) -> String {
        URL_SAFE_NO_PAD.encode(fnv1a(self.execution_id).to_be_bytes())
    }

    /// A number that decides which shard it uses: of `n` shards the one that its last bits name. It stays the same when the execution comes
    /// again, so that its hold can only be in a few places.
    #[must_use]
    pub fn spot(&self) -> u16 {
        let [first, second, ..] = fnv1a(self.execution_id).to_le_bytes();
        u16::from_le_bytes([first, second])
    }
}
