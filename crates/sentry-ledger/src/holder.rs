//! The execution that owns a hold.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sentry_domain::{Reservation, fnv1a};

/// The execution that works on a request.
#[derive(Clone, Copy, Debug)]
pub struct Holder<'a> {
    /// The idempotency key of the request.
    pub request_id: &'a str,
    /// ARN of the execution.
    pub execution_id: &'a str,
}

impl<'a> From<&'a Reservation> for Holder<'a> {
    fn from(reservation: &'a Reservation) -> Self {
        Self { request_id: &reservation.request_id, execution_id: &reservation.execution_id }
    }
}

impl Holder<'_> {
    /// The name of the execution's holds: a 64-bit hash of its ARN, in 11 characters of base64.
    ///
    /// The name is short because every write of an item pays for the names of its holds. The ARN ends in a random
    /// UUID.
    #[must_use]
    pub fn owner(&self) -> String {
        URL_SAFE_NO_PAD.encode(fnv1a(self.execution_id).to_be_bytes())
    }

    /// A number that selects the shard of this execution. Of `n` shards, its low bits name one. A retry of the
    /// execution gets the same number, so its hold can be in only a few places.
    #[must_use]
    pub fn spot(&self) -> u16 {
        let [first, second, ..] = fnv1a(self.execution_id).to_le_bytes();
        u16::from_le_bytes([first, second])
    }
}
