//! `cargo xtask test`: everything that CI checks, with one count at the end.

use crate::cargo_build::cargo;
use crate::checks;
use crate::cli::{LocalArgs, TestArgs};
use crate::command;
use crate::console::{self, Step};
use crate::counts::{Counts, of_cargo_test, of_junit, summary};
use crate::environment;
use crate::local_aws::{Options, Running};
use crate::network::local_url;
use crate::temporary::with_local_aws;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

const SHOWN_LINES: usize = 100;
/// Lines of a test's output that are shown: the tables that it prints, and their titles.
const SHOWN_STARTS: [&str; 2] = ["|", "## "];
/// The end-to-end tests wait for a model that hangs, and for edits to take effect: short times make them quick.
const PARAMETERS: [&str; 2] = ["ModelTimeoutSeconds=3", "UsageCacheSeconds=0"];
const SIMULATOR: [&str; 2] = ["--metrics-delay-seconds=1", "--record=10000"];

/// Runs every check and test. Ends with the line `N passed, N failed`.
///
/// # Errors
/// Never for a failed test: that is an exit code.
pub fn run(workspace: &Workspace, args: &TestArgs) -> Result<ExitCode> {
    let mut counts = Counts::default();
    if !args.end_to_end {
        counts += checks::all(workspace);
        counts += rust_tests(workspace);
    }
    counts += end_to_end(workspace, !args.end_to_end, &args.pytest);
    if counts.skipped > 0 {
        console::line(&format!("{} skipped; each is named above", counts.skipped));
    }
    println!("{}", summary(counts));
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Tests that need nothing running. Those that are ignored here need the local AWS: see [`ledger_tests`].
fn rust_tests(workspace: &Workspace) -> Counts {
    let step = Step::start("Unit, property and model tests (cargo test)");
    let mut tests = cargo(workspace);
    tests.args(["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
    cargo_tests(step, &mut tests)
}

/// Tests of the ledger against the DynamoDB of the local AWS: the ones that `cargo test` by itself ignores.
fn ledger_tests(workspace: &Workspace, port: u16) -> Counts {
    let step = Step::start("The ledger against DynamoDB (cargo test -- --ignored)");
    let mut tests = cargo(workspace);
    environment::isolate(&mut tests, port);
    tests.env("SENTRY_TEST_ENDPOINT", local_url(port));
    tests.args(["test", "--workspace", "--test", "*", "--no-fail-fast", "--", "--ignored", "--show-output"]);
    cargo_tests(step, &mut tests)
}

/// Runs tests and shows the tables that they print. Ignored ones are not skipped: one of both runs has them.
fn cargo_tests(step: Step, tests: &mut Command) -> Counts {
    let output = match command::output(tests) {
        Ok(output) => output,
        Err(error) => {
            step.failed(&format!("{error:#}"));
            return Counts::one(false);
        }
    };
    let text = checks::text_of(&output);
    let counts = Counts { skipped: 0, ..of_cargo_test(&text).with_exit(output.status.success()) };
    finish(step, counts);
    for line in text.lines().filter(|line| SHOWN_STARTS.iter().any(|start| line.starts_with(start))) {
        console::line(line);
    }
    if counts.failed > 0 {
        console::line(&command::last_lines(&text, SHOWN_LINES));
    }
    counts
}

/// Everything that needs the local AWS: the ledger's own tests, if asked for, and the end-to-end tests.
fn end_to_end(workspace: &Workspace, ledger: bool, pytest: &[String]) -> Counts {
    let options = Options {
        stack_name: "cost-sentry".to_owned(),
        local: LocalArgs {
            parameters: PARAMETERS.map(str::to_owned).to_vec(),
            sim_args: SIMULATOR.map(str::to_owned).to_vec(),
            ..LocalArgs::default()
        },
        ..Options::default()
    };
    let mut counts = Counts::default();
    let result = with_local_aws(workspace, options, |running| {
        if ledger {
            counts += ledger_tests(workspace, running.state.port);
        }
        counts += run_pytest(workspace, running, &without_ledger(workspace, running)?, pytest)?;
        if counts.failed > 0 {
            bail!("the logs are in .sentry/{}", running.state.port);
        }
        Ok(())
    });
    match result {
        Ok(()) => counts,
        Err(error) if counts == Counts::default() => checks::could_not_run("End-to-end tests (pytest)", &error),
        Err(error) => {
            console::line(&format!("{error:#}"));
            counts.with_exit(false)
        }
    }
}

/// The function that decides without the ledger, for comparison: an example, so it is never deployed. `cargo test` has built it.
fn without_ledger(workspace: &Workspace, running: &Running) -> Result<PathBuf> {
    let mut build = cargo(workspace);
    build.args(["build", "--quiet", "--workspace", "--examples"]);
    if !build.stdin(Stdio::null()).status().context("cargo could not be started")?.success() {
        bail!("the examples could not be built");
    }
    Ok(running.binaries.join("examples/without_ledger"))
}

/// Runs the end-to-end tests; what they write goes straight to the terminal.
fn run_pytest(workspace: &Workspace, running: &Running, without_ledger: &Path, extra: &[String]) -> Result<Counts> {
    let port = running.state.port;
    let logs = workspace.port_folder(port);
    let report = logs.join("pytest.xml");
    let step = Step::start("End-to-end tests (pytest)");
    let mut command = Command::new(running.python.python());
    environment::isolate(&mut command, port);
    command.current_dir(workspace.root()).args([
        "-B",
        "-m",
        "pytest",
        "tests",
        "-q",
        "-rfEs",
        "-p",
        "no:cacheprovider",
    ]);
    command.args(["--endpoint", &local_url(port), "--stack-name", &running.stack_name]);
    command.args(["--bedrock-endpoint", &running.state.bedrock_endpoint]);
    command.arg("--without-ledger").arg(without_ledger);
    command.arg("--log-dir").arg(&logs).arg(format!("--junitxml={}", report.display())).args(extra);
    step.hide();
    let status = command.stdin(Stdio::null()).status().context("pytest could not be started")?;
    let report = std::fs::read_to_string(&report).context("pytest left no report")?;
    let counts = of_junit(&report).with_exit(status.success());
    finish(step, counts);
    Ok(counts)
}

fn finish(step: Step, counts: Counts) {
    let skipped = if counts.skipped > 0 { format!(", {} skipped", counts.skipped) } else { String::new() };
    let detail = format!("{}{skipped}", summary(counts));
    if counts.failed == 0 { step.done_with(&detail) } else { step.failed(&detail) }
}
