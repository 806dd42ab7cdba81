//! A model of the ledger's protocol, in which every state is explored. It covers every order of the steps of several
//! executions, the sweeper, CloudWatch and the clock, with a crash, a lost answer or a late write at any step.
//!
//! The decisions and the writes are the ledger's own code (`sentry_ledger::steps`, `Change::apply`, `Ask::judge`).
//! Only the order of the steps of `Ledger::reserve`, `settle`, `cancel` and `sweep`, and the requests table, are
//! written again here.
//!
//! `cargo test -p sentry-ledger --test model -- --nocapture` shows the figures and the counterexamples.

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

/// The longest duration of a search. A search that is cut off fails.
const LONGEST: Duration = Duration::from_secs(300);
/// Lets one test run at a time, because each uses two cores.
static ONE: Mutex<()> = Mutex::new(());
