//! The history against a real DynamoDB API: the local AWS. `cargo xtask test` starts it and sets
//! `SENTRY_TEST_ENDPOINT`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod exactly_once;
mod responses;
mod spent;
mod support;
