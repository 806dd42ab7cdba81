//! `cargo xtask bench --part queue`: a campaign on the request queue, on a local AWS whose clock can be moved.

use crate::cargo_build;
use crate::cli::LocalArgs;
use crate::clock::MovableClock;
use crate::environment;
use crate::local_aws::{Options, Running};
use crate::network::{free_port, local_url};
use crate::temporary::with_local_aws;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::Stdio;

/// Ten requests at once, as in the contract's default.
const PARAMETERS: [&str; 3] = ["AsyncConcurrency=10", "UsageCacheSeconds=0", "WatchUsageEvery=1 hour"];
/// The model is quick. Usage in CloudWatch does not change during the measurement.
const SIMULATOR: [&str; 2] = ["--base-latency-ms=20", "--metrics-delay-seconds=36000"];
/// The instant at which the clock starts. The budget of an hour resets 55 minutes later.
const START: &str = "2026-11-21T12:05:00Z";

/// Runs the campaign. Returns `false` if a promise of the queue did not hold.
///
/// # Errors
/// If the local AWS cannot be started.
pub fn run(workspace: &Workspace) -> Result<bool> {
    // Before the local AWS starts, whose clock goes on while the command is compiled.
    let sentry = cargo_build::build_sentry(workspace)?;
    let port = free_port()?;
    let clock = MovableClock::start(workspace, port, START.parse()?)?;
    let options = Options {
        port,
        stack_name: "cost-sentry".to_owned(),
        local: LocalArgs {
            parameters: PARAMETERS.map(str::to_owned).to_vec(),
            sim_args: SIMULATOR.map(str::to_owned).to_vec(),
            ..LocalArgs::default()
        },
        clock: Some(clock.clone()),
        ..Options::default()
    };
    with_local_aws(workspace, options, |running| measure(workspace, running, &clock, &sentry))
}

fn measure(workspace: &Workspace, running: &Running, clock: &MovableClock, sentry: &Path) -> Result<bool> {
    let port = running.state.port;
    let engine = running.state.engine.as_ref().context("the local AWS does not run")?;
    println!("\n## The request queue\n");
    let mut command = running.python.script(workspace, "queue_bench.py");
    environment::isolate(&mut command, port);
    clock.apply(&mut command);
    command.args(["--endpoint", &local_url(port), "--stack-name", &running.stack_name]);
    command.args(["--bedrock-endpoint", &running.state.bedrock_endpoint, "--engine-pid", &engine.pid.to_string()]);
    command.arg("--engine-log").arg(workspace.port_folder(port).join("engine.log"));
    command.arg("--sentry").arg(sentry);
    let status = command.stdin(Stdio::null()).status().context("queue_bench.py could not be started")?;
    Ok(status.success())
}
