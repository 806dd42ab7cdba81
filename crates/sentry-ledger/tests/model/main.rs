//! The protocol of the ledger, explored to the last state: every order in which the steps of several executions, the
//! sweeper, CloudWatch and the clock can follow each other, with a crash, a lost answer or a late write at any of them.
//!
//! What decides and what is written is the ledger's own code (`sentry_ledger::steps`, `Change::apply`, `Ask::judge`); only the
//! order of the steps of `Ledger::reserve`, `settle`, `cancel` and `sweep`, and the requests table, are told again here.
//!
//! `cargo test -p sentry-ledger --test model -- --nocapture` shows the figures and the counter-examples.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

mod action;
mod faults;
mod giving_up;
mod happenings;
mod history;
mod properties;
mod protocol;
mod reserve;
mod setup;
mod sound;
mod sweeper;
mod world;

use std::sync::Mutex;
use std::time::Duration;

/// No search lasts longer; one that is cut off counts as failed.
const LONGEST: Duration = Duration::from_secs(300);
/// The tests use both cores each: one at a time.
static ONE: Mutex<()> = Mutex::new(());
