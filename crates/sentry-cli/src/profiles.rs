//! `sentry profiles`: application inference profiles.

use crate::cli::Global;
use crate::failure::Failure;

#[derive(clap::Subcommand)]
pub enum Task {
    /// List
    List,
}

/// Runs the command.
pub async fn run(_global: &Global, task: &Task) -> Result<(), Failure> {
    match task {
        Task::List => Err(Failure::Refused("not built yet".to_owned())),
    }
}
