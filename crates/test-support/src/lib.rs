#![doc = include_str!("../README.md")]
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test fails at a panic")]

mod aws;
mod dynamodb;
mod limits;
pub mod local;

pub use aws::{http_answer, interceptor, offline_config};
pub use dynamodb::{attributes, update};
pub use limits::{at, limit};

/// The crate that [`mock_client!`] expands to.
#[doc(hidden)]
pub use aws_smithy_mocks::create_mock_http_client;
