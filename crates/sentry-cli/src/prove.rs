//! `sentry prove`: shows that a budget cannot be overrun, and who can bypass the sentry.

use crate::cli::Global;
use crate::failure::Failure;

#[derive(clap::Args)]
pub struct Args {}

/// Runs the command.
pub async fn run(_global: &Global, _args: &Args) -> Result<(), Failure> {
    Err(Failure::Refused("not built yet".to_owned()))
}
