//! Builds the functions and the simulator with plain cargo, for this machine.

use crate::console::Step;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use serde::Deserialize;
use std::collections::BTreeSet;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// A profile in Cargo.toml.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub enum Profile {
    /// The default, which is fast to build.
    #[default]
    Dev,
    /// Small and fast, as on AWS.
    Release,
}

/// The packages of a local run. With `test-support`, Cargo resolves the same features as for `cargo test --workspace`, and
/// compiles common dependencies once. A release does not have it, because the functions would get features for tests.
const LOCAL_PACKAGES: [&str; 4] = ["fn-*", "bedrock-sim", "local-tls", "test-support"];

/// The folder of the programs that [`build_everything`] has built. What a task has built does not change under it.
static EVERYTHING: OnceLock<PathBuf> = OnceLock::new();

/// A line of `cargo build --message-format=json`, with only the fields that are needed.
#[derive(Deserialize)]
struct Message {
    reason: String,
    package_id: Option<String>,
    executable: Option<PathBuf>,
}

/// Builds the command `sentry`, and returns its binary. It is built together with the packages of a local run, so that
/// Cargo resolves the same features and compiles common dependencies once.
///
/// # Errors
/// If the build fails. By then, cargo has written its messages to stderr.
pub fn build_sentry(workspace: &Workspace) -> Result<PathBuf> {
    let step = Step::start("Build the command `sentry`");
    let packages = LOCAL_PACKAGES.iter().chain(&["sentry-cli"]).map(|package| format!("--package={package}"));
    let mut command = cargo(workspace);
    command.args(["build", "--quiet", "--message-format=json-render-diagnostics"]).args(packages);
    Ok(folder_of(step, &mut command)?.join("sentry"))
}

/// Builds every program and example of the workspace with the default profile, and returns the folder of the programs.
/// From then on, [`build`] has nothing to do, so cargo can compile something else meanwhile.
///
/// # Errors
/// If the build fails. By then, cargo has written its messages to stderr.
pub fn build_everything(workspace: &Workspace) -> Result<PathBuf> {
    let step = Step::start("Build all programs");
    if let Some(packages) = count_packages(workspace, &["--workspace".to_owned()]) {
        step.count_to(packages);
    }
    let mut command = cargo(workspace);
    command.args(["build", "--quiet", "--message-format=json-render-diagnostics"]);
    command.args(["--workspace", "--bins", "--examples"]);
    let folder = folder_of(step, &mut command)?;
    Ok(EVERYTHING.get_or_init(|| folder).clone())
}

/// Builds the default members (functions and simulator), and returns the folder of their binaries.
///
/// # Errors
/// If the build fails. By then, cargo has written its messages to stderr.
pub fn build(workspace: &Workspace, profile: Profile) -> Result<PathBuf> {
    if let (Profile::Dev, Some(built)) = (profile, EVERYTHING.get()) {
        return Ok(built.clone());
    }
    let step = Step::start("Build the functions and the Bedrock simulator");
    let selection: Vec<String> = match profile {
        Profile::Dev => LOCAL_PACKAGES.map(|package| format!("--package={package}")).into(),
        Profile::Release => Vec::new(),
    };
    if let Some(packages) = count_packages(workspace, &selection) {
        step.count_to(packages);
    }
    let mut command = cargo(workspace);
    command.args(["build", "--quiet", "--message-format=json-render-diagnostics"]).args(&selection);
    if profile == Profile::Release {
        command.arg("--release");
    }
    folder_of(step, &mut command)
}

/// Runs a build that reports in JSON, and returns the folder of its binaries.
fn folder_of(step: Step, command: &mut Command) -> Result<PathBuf> {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cargo could not be started")?;
    let stdout = child.stdout.take().context("cargo has no output")?;
    let folder = follow(&step, BufReader::new(stdout))?;
    if !child.wait()?.success() {
        bail!("the build failed");
    }
    step.done();
    folder.context("cargo built no program")
}

/// Advances the progress bar with each package, and returns the folder of the binaries.
fn follow(step: &Step, lines: impl BufRead) -> Result<Option<PathBuf>> {
    let mut packages = BTreeSet::new();
    let mut folder = None;
    for line in lines.lines() {
        let Ok(message) = serde_json::from_str::<Message>(&line?) else { continue };
        if message.reason != "compiler-artifact" {
            continue;
        }
        if let Some(package) = message.package_id {
            let name = short_name(&package).to_owned();
            packages.insert(package);
            step.at(packages.len() as u64, &name);
        }
        if let Some(executable) = message.executable {
            // Examples are in a folder of their own.
            folder = executable.parent().filter(|folder| !folder.ends_with("examples")).map(PathBuf::from).or(folder);
        }
    }
    Ok(folder)
}

/// `serde` for `registry+https://…#serde@1.0.0`, and `fn-x` for `path+file:///…/fn-x#0.1.0`.
fn short_name(package_id: &str) -> &str {
    let (source, fragment) = package_id.rsplit_once('#').unwrap_or(("", package_id));
    match fragment.split_once('@') {
        Some((name, _)) => name,
        None => source.rsplit('/').next().unwrap_or(fragment),
    }
}

/// Number of packages in the build, for the progress bar. `None` if cargo cannot list them.
fn count_packages(workspace: &Workspace, selection: &[String]) -> Option<u64> {
    let mut command = cargo(workspace);
    command.args(["tree", "--quiet", "--edges=normal,build", "--prefix=none", "--format={p}"]).args(selection);
    let output = command.stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let packages: BTreeSet<&str> =
        text.lines().map(|line| line.trim_end_matches(" (*)")).filter(|line| !line.is_empty()).collect();
    (!packages.is_empty()).then_some(packages.len() as u64)
}

/// The cargo that runs this program, in the root folder of the checkout.
pub fn cargo(workspace: &Workspace) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    // `cargo run` sets variables that describe this crate. Some build scripts depend on such variables (ring's does).
    // They would run again whenever `cargo build` and `cargo xtask` alternate, and all dependents would be compiled
    // again.
    for (name, _) in std::env::vars_os() {
        let name = name.to_string_lossy();
        if ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_CRATE_", "CARGO_BIN_"].iter().any(|of_us| name.starts_with(of_us)) {
            command.env_remove(&*name);
        }
    }
    command.current_dir(workspace.root());
    command
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_package_ids() {
        assert_eq!(short_name("registry+https://github.com/rust-lang/crates.io-index#serde@1.0.229"), "serde");
        assert_eq!(short_name("path+file:///home/x/crates/fn-fetch-usage#0.1.0"), "fn-fetch-usage");
        assert_eq!(short_name("path+file:///home/x/crates/a#b@0.1.0"), "b");
    }
}
