//! `cargo xtask dashboard`: writes the dashboard into template.yaml from its source.

use crate::cli::WrittenArgs;
use crate::python_env::{Purpose, PythonEnv};
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::process::{Command, ExitCode};

/// Writes the dashboard, or compares it with its source.
///
/// # Errors
/// If Python cannot be started. A difference is an exit code.
pub fn run(workspace: &Workspace, args: &WrittenArgs) -> Result<ExitCode> {
    let python = PythonEnv::ensure(workspace, Purpose::Local)?;
    let status = command(workspace, &python, args.check).status().context("dashboard.py could not be started")?;
    Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The command that writes the dashboard. With `check`, it only compares it.
pub fn command(workspace: &Workspace, python: &PythonEnv, check: bool) -> Command {
    let mut command = python.script(workspace, "dashboard.py");
    command.arg(workspace.root()).args(check.then_some("--check"));
    command
}
