//! `cargo xtask sentry` and `cargo xtask report`: the command of administrators against a local AWS.

use crate::cargo_build;
use crate::cli::SentryArgs;
use crate::environment::isolate;
use crate::processes::Process;
use crate::state::State;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::process::{Command, ExitCode};

/// The variable with the URL of a Cost Explorer, which the local AWS does not have.
const COST_EXPLORER: &str = "AWS_ENDPOINT_URL_COST_EXPLORER";

/// Builds the command and runs it. Its exit code is returned.
///
/// # Errors
/// If no local AWS runs on the port, or the command cannot be built.
pub fn run(workspace: &Workspace, args: &SentryArgs, task: Option<&str>) -> Result<ExitCode> {
    let running =
        State::load(workspace, args.port)?.filter(|state| state.engine.as_ref().is_some_and(Process::is_alive));
    let Some(state) = running else {
        bail!(
            "no local AWS runs on port {0}; start it with `cargo xtask up --port {0}`, or choose another --port",
            args.port
        );
    };
    let binary = cargo_build::build_sentry(workspace)?;
    let mut command = Command::new(binary);
    environment(&mut command, &state);
    let status = command.args(task).args(&args.arguments).status().context("the command could not be started")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Points the command to a local AWS, and to the simulator for what the local AWS does not have. The Cost Explorer of the
/// user's environment is kept, because neither has one.
pub fn environment(command: &mut Command, state: &State) {
    isolate(command, state.port);
    for service in ["BEDROCK", "RESOURCE_GROUPS_TAGGING_API"] {
        command.env(format!("AWS_ENDPOINT_URL_{service}"), &state.bedrock_endpoint);
    }
    if let Ok(url) = std::env::var(COST_EXPLORER) {
        command.env(COST_EXPLORER, url);
    }
}
