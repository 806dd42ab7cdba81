//! The parts that all requests share.

use crate::identity::Callers;
use crate::steps::Steps;

/// The known callers and the steps, which all requests share.
#[derive(Debug)]
pub struct Gateway {
    /// Identifies the caller of a request.
    pub callers: Callers,
    /// The steps of the rate limiter.
    pub steps: Steps,
}
