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
use std::process::{Command, ExitCode, Stdio};

const SHOWN_LINES: usize = 100;
/// The end-to-end tests wait for a model that hangs, and for edits to take effect: short times make them quick.
const PARAMETERS: [&str; 2] = ["ModelTimeoutSeconds=3", "UsageCacheSeconds=0"];
const SIMULATOR: [&str; 1] = ["--metrics-delay-seconds=1"];

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
    counts += end_to_end(workspace, &args.pytest);
    if counts.skipped > 0 {
        console::line(&format!("{} skipped; each is named above", counts.skipped));
    }
    println!("{}", summary(counts));
    Ok(if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn rust_tests(workspace: &Workspace) -> Counts {
    let step = Step::start("Unit and property tests (cargo test)");
    let mut tests = cargo(workspace);
    tests.args(["test", "--workspace", "--no-fail-fast"]);
    let output = match command::output(&mut tests) {
        Ok(output) => output,
        Err(error) => {
            step.failed(&format!("{error:#}"));
            return Counts::one(false);
        }
    };
    let text = checks::text_of(&output);
    let counts = of_cargo_test(&text).with_exit(output.status.success());
    finish(step, counts);
    if counts.failed > 0 {
        console::line(&command::last_lines(&text, SHOWN_LINES));
    }
    counts
}

fn end_to_end(workspace: &Workspace, pytest: &[String]) -> Counts {
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
        counts = run_pytest(workspace, running, pytest)?;
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

/// Runs the end-to-end tests; what they write goes straight to the terminal.
fn run_pytest(workspace: &Workspace, running: &Running, extra: &[String]) -> Result<Counts> {
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
