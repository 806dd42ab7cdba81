#![doc = include_str!("../README.md")]

mod budgets;
mod cli;
mod cost_explorer;
mod failure;
mod report;
mod stack;
mod table;
mod trace;
mod usage;

use std::process::ExitCode;

use clap::Parser;

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
        Task::Report(args) => report::run(&cli.global, args).await,
        Task::Usage(args) => usage::run(&cli.global, args).await,
        Task::Trace(args) => trace::run(&cli.global, args).await,
    }
}
