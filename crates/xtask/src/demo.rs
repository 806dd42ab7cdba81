//! `cargo xtask demo`: sends real requests that tell a story, and writes a report about it.

use crate::cargo_build;
use crate::cli::{DemoArgs, LocalArgs};
use crate::console;
use crate::environment;
use crate::local_aws::{Options, Running};
use crate::network::local_url;
use crate::sentry;
use crate::temporary::with_local_aws;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::path::Path;
use std::process::{ExitCode, ExitStatus, Stdio};

/// Runs the demo on its own local AWS.
///
/// # Errors
/// If the local AWS cannot be started. A failed demo is an exit code.
pub fn run(workspace: &Workspace, args: &DemoArgs) -> Result<ExitCode> {
    let report = match &args.report {
        Some(path) => std::path::absolute(path)?,
        None => workspace.private().join("demo-report.html"),
    };
    let options = Options {
        port: args.port,
        stack_name: "cost-sentry".to_owned(),
        local: quick(&args.local),
        ..Options::default()
    };
    let status = with_local_aws(workspace, options, |running| {
        let told = tell(workspace, running, &report)?;
        if args.admin && told.success() { administer(workspace, running) } else { Ok(told) }
    })?;
    if !status.success() {
        console::line(&format!("the demo failed ({status})"));
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

/// Shortens the delay of Bedrock's metrics, because one minute is too long for a demo. The user's own settings take
/// precedence.
fn quick(asked: &LocalArgs) -> LocalArgs {
    let mut local = asked.clone();
    if !local.sim_args.iter().any(|arg| arg.starts_with("--metrics-delay-seconds")) {
        local.sim_args.push("--metrics-delay-seconds=1".to_owned());
    }
    if !local.parameters.iter().any(|parameter| parameter.starts_with("UsageCacheSeconds=")) {
        local.parameters.push("UsageCacheSeconds=0".to_owned());
    }
    local
}

fn tell(workspace: &Workspace, running: &Running, report: &Path) -> Result<ExitStatus> {
    let port = running.state.port;
    let mut command = running.python.script(workspace, "demo.py");
    environment::isolate(&mut command, port);
    command.args(["--endpoint", &local_url(port), "--stack-name", &running.stack_name]);
    command.args(["--bedrock-endpoint", &running.state.bedrock_endpoint]).arg("--report").arg(report);
    command.stdin(Stdio::null()).status().context("demo.py could not be started")
}

/// Runs the commands of an administrator.
fn administer(workspace: &Workspace, running: &Running) -> Result<ExitStatus> {
    let sentry = cargo_build::build_sentry(workspace)?;
    let mut command = running.python.script(workspace, "demo_admin.py");
    sentry::environment(&mut command, &running.state);
    command.arg("--sentry-command").arg(sentry);
    command.status().context("demo_admin.py could not be started")
}
