//! `cargo xtask month`: simulates a month on a local AWS whose clock can be moved, and checks the usage history.

use crate::cargo_build;
use crate::cli::{LocalArgs, MonthArgs};
use crate::clock::MovableClock;
use crate::console;
use crate::environment;
use crate::local_aws::{Options, Running};
use crate::network::local_url;
use crate::python_env::{Purpose, PythonEnv};
use crate::temporary::{Afterwards, refuse_one_that_runs, with_local_aws_that};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use chrono::{DateTime, NaiveDate, NaiveTime, Utc};
use std::path::PathBuf;
use std::process::{ExitCode, ExitStatus, Stdio};

/// Every request reads the current usage, and its metrics are published at once. The month itself starts the watch of
/// ungoverned usage, because a schedule would not keep up with its clock.
const PARAMETERS: [&str; 3] = ["UsageCacheSeconds=0", "MetricsWindowSeconds=1", "WatchUsageEvery=1 hour"];
/// The simulator keeps every call of the month, and its metrics are in CloudWatch as soon as the call ends.
const SIMULATOR: [&str; 4] =
    ["--record=100000", "--metrics-delay-seconds=0", "--base-latency-ms=20", "--accept-any-profile=false"];

/// The limits of a usual month.
const USUAL: &str = "usual";
/// The limits of the month that is replayed, and those that are tried out.
const BACKTESTED: [&str; 2] = ["plenty", "tight"];

/// Simulates the month and checks it.
///
/// # Errors
/// If the local AWS cannot be started. A figure that differs is an exit code.
pub fn run(workspace: &Workspace, args: &MonthArgs) -> Result<ExitCode> {
    if args.backtest {
        return backtest(workspace, args);
    }
    let status = simulated(workspace, args, USUAL)?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Simulates two months, and compares the real decisions of the second with those that the command finds from the first.
fn backtest(workspace: &Workspace, args: &MonthArgs) -> Result<ExitCode> {
    for limits in BACKTESTED {
        if !simulated(workspace, args, limits)?.success() {
            return Ok(ExitCode::FAILURE);
        }
    }
    let sentry = cargo_build::build_sentry(workspace)?;
    let mut command = PythonEnv::ensure(workspace, Purpose::Local)?.script(workspace, "month_backtest.py");
    for limits in BACKTESTED {
        command.arg(format!("--{limits}")).arg(folder(workspace, args.port, limits));
    }
    command.arg("--sentry").arg(sentry).stdin(Stdio::null());
    let status = command.status().context("month_backtest.py could not be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Simulates the month with the limits that have this name (`local/month_limits.py`).
fn simulated(workspace: &Workspace, args: &MonthArgs, limits: &str) -> Result<ExitStatus> {
    // Before the clock is written: a local AWS that runs would read it.
    refuse_one_that_runs(workspace, args.port)?;
    let clock = MovableClock::start(workspace, args.port, start_of(&args.month)?)?;
    let options = Options {
        port: args.port,
        stack_name: "cost-sentry".to_owned(),
        local: LocalArgs {
            parameters: PARAMETERS.map(str::to_owned).to_vec(),
            sim_args: SIMULATOR.map(str::to_owned).to_vec(),
            ..LocalArgs::default()
        },
        clock: Some(clock.clone()),
        ..Options::default()
    };
    let afterwards = if args.keep { Afterwards::KeepRunning } else { Afterwards::KeepFolder };
    let status = with_local_aws_that(workspace, options, afterwards, |running| {
        simulate(workspace, running, args, &clock, limits)
    })?;
    if args.keep {
        console::line(&how_to_go_on(workspace, args.port, &clock));
    }
    Ok(status)
}

/// The folder for the data of a month with these limits.
fn folder(workspace: &Workspace, port: u16, limits: &str) -> PathBuf {
    let folder = workspace.port_folder(port);
    if limits == USUAL { folder.join("month") } else { folder.join(format!("month-{limits}")) }
}

/// How to use the local AWS that runs on, and how to start Cost Explorer with the month's bill.
fn how_to_go_on(workspace: &Workspace, port: u16, clock: &MovableClock) -> String {
    let (library, file) = (clock.library().display(), clock.file().display());
    let python = workspace.private().join("venv/bin/python");
    let (program, bill) = (workspace.script("cost_explorer.py"), workspace.port_folder(port).join("month/bill.jsonl"));
    format!(
        "The local AWS runs on, at the end of the month. Clients of it need its time:\n  \
         export LD_PRELOAD={library} SENTRY_CLOCK_FILE={file}\n\
         The bill of the month, for AWS_ENDPOINT_URL_COST_EXPLORER=http://127.0.0.1:4580:\n  {} {} --bill {} --port 4580\n\
         Stop the local AWS with: cargo xtask down --port {port}",
        python.display(),
        program.display(),
        bill.display(),
    )
}

/// The first instant of a month, which is written `2026-11`.
fn start_of(month: &str) -> Result<DateTime<Utc>> {
    let first = NaiveDate::parse_from_str(&format!("{month}-01"), "%Y-%m-%d");
    let first = first.with_context(|| format!("--month {month}: expected YYYY-MM"))?;
    Ok(first.and_time(NaiveTime::MIN).and_utc())
}

fn simulate(
    workspace: &Workspace,
    running: &Running,
    args: &MonthArgs,
    clock: &MovableClock,
    limits: &str,
) -> Result<ExitStatus> {
    let port = running.state.port;
    let mut command = running.python.script(workspace, "month.py");
    environment::isolate(&mut command, port);
    clock.apply(&mut command);
    command.args(["--endpoint", &local_url(port), "--stack-name", &running.stack_name]);
    command.args(["--bedrock-endpoint", &running.state.bedrock_endpoint, "--month", &args.month]);
    command.args(["--requests", &args.requests.to_string(), "--seed", &args.seed.to_string()]);
    command.arg("--points").arg(crate::local_aws::points_file(workspace, port));
    command.arg("--catalogue").arg(workspace.root().join("crates/sentry-models/catalogue"));
    command.args(["--limits", limits]).arg("--folder").arg(folder(workspace, port, limits));
    command.stdin(Stdio::null()).status().context("month.py could not be started")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_month_begins_at_midnight_utc() {
        assert_eq!(start_of("2026-11").unwrap().to_rfc3339(), "2026-11-01T00:00:00+00:00");
        assert!(start_of("2026-13").is_err() && start_of("november").is_err());
    }
}
