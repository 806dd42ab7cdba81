//! Runs programs of the workspace that `xtask` does not contain, so that they are compiled only when they are used.

use crate::cargo_build::cargo;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::process::ExitCode;

/// Runs the binary of `package` with `arguments`, and returns its exit code.
///
/// # Errors
/// If cargo cannot be started.
pub fn run(workspace: &Workspace, package: &str, arguments: &[String]) -> Result<ExitCode> {
    let mut command = cargo(workspace);
    command.args(["run", "--quiet", "--package", package, "--"]).args(arguments);
    let status = command.status().context("cargo could not be started")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}
