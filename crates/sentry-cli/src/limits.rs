//! `sentry limits`: the items of the limits table.

mod backtest;
pub mod bulk;
pub mod change;
pub mod edit;
pub mod file;
pub mod reach;
mod show;
pub mod store;
pub mod yaml;

use crate::failure::Failure;
use crate::options::Global;

#[derive(clap::Subcommand)]
pub enum Task {
    /// Show all limits, with their state and who changed them
    List,
    /// Show one item of the limits table
    Get(edit::KeyArgs),
    /// Add an item, or change its limits. The difference is shown and asked for
    ///
    /// Examples:
    ///   sentry limits set default --limit usd=100
    ///   sentry limits set costCenter#support --limit usd=500 --window month --alert-at 80,100 --owner jo
    ///   sentry limits set user#jo --json '{"limit": {"requests": 100}, "window": "day"}'
    #[command(verbatim_doc_comment)]
    Set(Box<edit::SetArgs>),
    /// Remove an item from the limits table
    Rm(edit::KeyArgs),
    /// Give the table the items of a file: plan, ask, apply
    ///
    /// A second import of the same file changes nothing. A stop or a raise that was made with `stop` or `raise` stays.
    Import(bulk::ImportArgs),
    /// Write the items to a file that `import` reads, as YAML or with --output json as JSON
    Export(bulk::ExportArgs),
    /// Show who changed an item, when, and how
    History(edit::KeyArgs),
    /// Name every item that no request can reach, with the reason. Exits with 1 if there is one
    Lint(bulk::LintArgs),
    /// Replay a past month against proposed limits: what would have been denied or degraded, when, for whom, and the spend
    ///
    /// FILE is the whole table, as after `import --prune`. The command reads the audit lines of the month, and changes
    /// nothing.
    Backtest(backtest::Args),
}

/// Runs a command of `sentry limits`.
pub async fn run(global: &Global, task: &Task) -> Result<(), Failure> {
    match task {
        Task::List => show::list(global).await,
        Task::Get(args) => show::get(global, args).await,
        Task::Set(args) => edit::set(global, args).await,
        Task::Rm(args) => edit::rm(global, args).await,
        Task::Import(args) => bulk::import(global, args).await,
        Task::Export(args) => bulk::export(global, args).await,
        Task::History(args) => show::history(global, args).await,
        Task::Lint(args) => bulk::lint(global, args).await,
        Task::Backtest(args) => backtest::run(global, args).await,
    }
}
