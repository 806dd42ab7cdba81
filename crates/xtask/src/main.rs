#![doc = include_str!("../README.md")]

mod bench;
mod bench_queue;
mod cargo_build;
mod checks;
mod cli;
mod clock;
mod command;
mod console;
mod cost;
mod counts;
mod dashboard;
mod demo;
mod environment;
mod local_aws;
mod month;
mod network;
mod processes;
mod programs;
mod python_env;
mod sentry;
mod state;
mod states;
mod temporary;
mod test_groups;
mod test_run;
mod tls;
mod up_report;
mod workspace;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(code) => code,
        Err(error) => {
            console::line(&format!("error: {error:#}"));
            ExitCode::FAILURE
        }
    }
}

fn run() -> anyhow::Result<ExitCode> {
    let workspace = workspace::Workspace::find()?;
    match cli::Cli::parse().task {
        cli::Task::Up(args) => up_report::run(&workspace, &args),
        cli::Task::Down(args) => local_aws::down_command(&workspace, &args),
        cli::Task::Test(args) => Ok(test_run::run(&workspace, &args)),
        cli::Task::Clients => {
            let clients = python_env::PythonEnv::ensure(&workspace, python_env::Purpose::Clients)?;
            println!("{}", clients.folder().display());
            Ok(ExitCode::SUCCESS)
        }
        cli::Task::Lint(args) => Ok(checks::run(&workspace, &args)),
        cli::Task::Demo(args) => demo::run(&workspace, &args),
        cli::Task::Bench(args) => bench::run(&workspace, &args),
        cli::Task::Cost => cost::run(&workspace),
        cli::Task::Month(args) => month::run(&workspace, &args),
        cli::Task::States(args) => states::run(&workspace, &args),
        cli::Task::Models { arguments } => programs::run(&workspace, "models-import", &arguments),
        cli::Task::Dashboard(args) => dashboard::run(&workspace, &args),
        cli::Task::Report(args) => sentry::run(&workspace, &args, Some("report")),
        cli::Task::Sentry(args) => sentry::run(&workspace, &args, None),
    }
}
