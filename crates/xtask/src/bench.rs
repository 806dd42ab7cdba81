//! `cargo xtask bench`: size, start-up, memory and time of each function, and what the system adds to a request.

use crate::cargo_build::Profile;
use crate::cli::{BenchArgs, LocalArgs};
use crate::environment;
use crate::local_aws::{Options, Running};
use crate::network::local_url;
use crate::temporary::with_local_aws;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::process::{ExitCode, ExitStatus, Stdio};

/// A model that takes no time, and usage that does not change while we measure.
const SIMULATOR: [&str; 2] = ["--base-latency-ms=0", "--metrics-delay-seconds=3600"];

/// Measures release builds on a local AWS and prints the tables.
///
/// # Errors
/// If the local AWS cannot be brought up. A measurement that fails is an exit code.
pub fn run(workspace: &Workspace, args: &BenchArgs) -> Result<ExitCode> {
    let options = Options {
        stack_name: "cost-sentry".to_owned(),
        local: LocalArgs { sim_args: SIMULATOR.map(str::to_owned).to_vec(), ..LocalArgs::default() },
        profile: Profile::Release,
        ..Options::default()
    };
    let status = with_local_aws(workspace, options, |running| measure(workspace, running, args))?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure(workspace: &Workspace, running: &Running, args: &BenchArgs) -> Result<ExitStatus> {
    let port = running.state.port;
    let mut command = running.python.script(workspace, "bench.py");
    environment::isolate(&mut command, port);
    command.args(["--endpoint", &local_url(port), "--stack-name", &running.stack_name]);
    command.arg("--binaries").arg(&running.binaries).arg("--template").arg(workspace.template());
    command.args(["--requests", &args.requests.to_string(), "--invocations", &args.invocations.to_string()]);
    if let Some(path) = &args.json {
        command.arg("--json").arg(std::path::absolute(path)?);
    }
    command.stdin(Stdio::null()).status().context("bench.py could not be started")
}
