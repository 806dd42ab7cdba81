//! `cargo xtask states`: writes both state machines from their common sources.

use crate::cli::WrittenArgs;
use crate::python_env::{Purpose, PythonEnv};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::process::{Command, ExitCode};

/// Writes the state machines, or compares them with their sources.
///
/// # Errors
/// If Python cannot be started. A difference is an exit code.
pub fn run(workspace: &Workspace, args: &WrittenArgs) -> Result<ExitCode> {
    let python = PythonEnv::ensure(workspace, Purpose::Local)?;
    let status = command(workspace, &python, args.check).status().context("state_machines.py could not be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The command that writes the state machines. With `check`, it only compares them.
pub fn command(workspace: &Workspace, python: &PythonEnv, check: bool) -> Command {
    let mut command = python.script(workspace, "state_machines.py");
    command.arg(workspace.root().join("statemachines")).args(check.then_some("--check"));
    command
}
