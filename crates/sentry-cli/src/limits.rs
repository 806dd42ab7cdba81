//! `sentry limits`: the items of the limits table.

mod backtest;
pub mod file;
mod yaml;

use crate::cli::Global;
use crate::failure::Failure;

#[derive(clap::Subcommand)]
pub enum Task {
    /// List
    List,
    /// Find out what proposed limits would have denied in a past month
    Backtest(backtest::Args),
}

/// Runs the command.
pub async fn run(global: &Global, task: &Task) -> Result<(), Failure> {
    match task {
        Task::Backtest(args) => backtest::run(global, args).await,
        Task::List => Err(Failure::Refused("not built yet".to_owned())),
    }
}
