//! The ledger against a real DynamoDB API: the local AWS. `cargo xtask test` starts it and sets
//! `SENTRY_TEST_ENDPOINT`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod admission;
mod alerts;
mod book;
mod conflicts;
mod equivalence;
mod fallback;
mod faults;
mod preview;
mod protocol;
mod support;
