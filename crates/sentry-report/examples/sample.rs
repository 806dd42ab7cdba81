//! Writes the page of a made-up month to standard output. The README of this crate says how to look at it.
//!
//! `cargo run --package sentry-report --example sample -- [costCenter|model]`

// It belongs to the tests.
#[allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "tests")]
#[path = "../tests/report/sample.rs"]
mod sample;

use std::error::Error;
use std::io::Write;

use sentry_report::{Report, html};

fn main() -> Result<(), Box<dyn Error>> {
    let mut input = sample::input();
    if let Some(grouping) = std::env::args().nth(1) {
        input.grouping = grouping.parse()?;
    }
    std::io::stdout().write_all(html(&Report::of(&input))?.as_bytes())?;
    Ok(())
}
