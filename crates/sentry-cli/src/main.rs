#![doc = include_str!("../README.md")]

mod ask;
mod budget;
mod budgets;
mod catalogue;
mod cli;
mod completions;
mod confirm;
mod cost_explorer;
mod expression;
mod failure;
mod keys;
mod limits;
mod models;
mod options;
mod output;
mod profiles;
mod progress;
mod prove;
mod report;
mod stack;
mod status;
mod stop;
mod trace;
mod usage;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use crate::cli::{Cli, Task};
use crate::failure::Failure;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.code()
        }
    }
}

async fn run(cli: Cli) -> Result<(), Failure> {
    match &cli.task {
        Task::Ask(args) => ask::run(&cli.global, args).await,
        Task::Limits(task) => limits::run(&cli.global, task).await,
        Task::Stop(args) => stop::stop(&cli.global, args).await,
        Task::Resume(args) => stop::resume(&cli.global, args).await,
        Task::Raise(args) => stop::raise(&cli.global, args).await,
        Task::Budget(args) => budget::run(&cli.global, args).await,
        Task::Prove(args) => prove::run(&cli.global, args).await,
        Task::Profiles(task) => profiles::run(&cli.global, task).await,
        Task::Keys(task) => keys::run(&cli.global, task).await,
        Task::Models(task) => models::run(&cli.global, task).await,
        Task::Report(args) => report::run(&cli.global, args).await,
        Task::Usage(args) => usage::run(&cli.global, args).await,
        Task::Status => status::run(&cli.global).await,
        Task::Trace(args) => trace::run(&cli.global, args).await,
        Task::Completions(args) => completions::run(args, Cli::command()),
        Task::Man => completions::man(Cli::command()),
    }
}
