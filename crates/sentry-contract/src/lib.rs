#![doc = include_str!("../README.md")]

pub mod answer;
pub mod bedrock_metrics;
pub mod content;
pub mod error;
pub mod notice;
mod prompt;
pub mod request;
pub mod scope;
pub mod sealed;
pub mod sizes;
pub mod states;
pub mod tag_value;
pub mod tools;
pub mod usage;

pub use error::{ErrorBody, ErrorCode, Outcome};
pub use sealed::Sealed;

/// CloudWatch namespace of all metrics that the sentry writes.
pub const METRIC_NAMESPACE: &str = "GenAIRateLimiting";
