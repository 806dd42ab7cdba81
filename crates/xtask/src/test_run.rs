//! `cargo xtask test`: everything that CI checks, with one count at the end.

use crate::cargo_build::cargo;
use crate::checks;
use crate::cli::{LocalArgs, TestArgs};
use crate::command;
use crate::console::{self, Step};
use crate::counts::{Counts, of_cargo_test, of_junit, summary};
use crate::environment;
use crate::local_aws::{self, Options, Running};
use crate::network::local_url;
use crate::temporary::with_local_aws;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

const SHOWN_LINES: usize = 100;
/// The beginnings of test output lines that are shown: tables and their titles.
const SHOWN_STARTS: [&str; 2] = ["|", "## "];
/// Short times for the end-to-end tests, which wait for a model that hangs and for configuration changes to take
/// effect.
const PARAMETERS: [&str; 3] = ["ModelTimeoutSeconds=3", "UsageCacheSeconds=0", "MetricsWindowSeconds=1"];
const SIMULATOR: [&str; 2] = ["--metrics-delay-seconds=1", "--record=10000"];

/// Stack names, each with its value of `ModelInvocation`. In a `lambda` stack, the functions wait for the model. In a
/// `native` stack, Step Functions calls the model.
const STACKS: [(&str, &str); 2] = [("cost-sentry", "lambda"), ("cost-sentry-native", "native")];
/// Tests for the second stack: those that call models, and those that check the whole run. All other tests have the
/// same result on both stacks.
const NATIVE_TESTS: [&str; 9] = [
    "tests/test_native.py",
    "tests/test_router.py",
    "tests/test_requests.py",
    "tests/test_model_failures.py",
    "tests/test_families.py",
    "tests/test_rich_prompts.py",
    "tests/test_numbers.py",
    "tests/test_wire_shapes.py",
    "tests/test_logs.py",
];

/// Runs every check and test. Ends with the line `N passed, N failed`. A failed test is an exit code.
pub fn run(workspace: &Workspace, args: &TestArgs) -> ExitCode {
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
    if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs the tests that need no running service. The other tests are ignored here, because they need the local AWS.
/// [`ledger_tests`] runs them.
fn rust_tests(workspace: &Workspace) -> Counts {
    let step = Step::start("Unit, property and model tests (cargo test)");
    let mut tests = cargo(workspace);
    tests.args(["test", "--workspace", "--no-fail-fast", "--", "--show-output"]);
    cargo_tests(step, &mut tests)
}

/// Runs the tests of the ledger and the usage history against the DynamoDB of the local AWS. `cargo test` alone
/// ignores them.
fn ledger_tests(workspace: &Workspace, port: u16) -> Counts {
    let step = Step::start("The ledger and the usage history against DynamoDB (cargo test -- --ignored)");
    let mut tests = cargo(workspace);
    environment::isolate(&mut tests, port);
    tests.env("SENTRY_TEST_ENDPOINT", local_url(port));
    tests.args(["test", "--workspace", "--test", "*", "--no-fail-fast", "--", "--ignored", "--show-output"]);
    cargo_tests(step, &mut tests)
}

/// Runs tests and shows the tables that they print. Ignored tests do not count as skipped, because one of the two
/// runs includes them.
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

/// Runs everything that needs the local AWS: the ledger tests if `ledger` is true, and the end-to-end tests. If the
/// user gives arguments for pytest, only the first stack is tested.
fn end_to_end(workspace: &Workspace, ledger: bool, pytest: &[String]) -> Counts {
    let mut counts = Counts::default();
    let result = with_local_aws(workspace, options(STACKS[0]), |running| {
        if ledger {
            counts += ledger_tests(workspace, running.state.port);
        }
        counts += run_pytest(workspace, running, &suite(workspace, running, pytest)?)?;
        if pytest.is_empty() {
            let port = running.state.port;
            let native = local_aws::up(workspace, &Options { port, ..options(STACKS[1]) })?;
            counts += run_pytest(workspace, &native, &native_suite())?;
        }
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

fn options((stack_name, invocation): (&str, &str)) -> Options {
    let parameters = PARAMETERS.iter().map(ToString::to_string);
    Options {
        stack_name: stack_name.to_owned(),
        local: LocalArgs {
            parameters: parameters.chain([format!("ModelInvocation={invocation}")]).collect(),
            sim_args: SIMULATOR.map(str::to_owned).to_vec(),
            ..LocalArgs::default()
        },
        ..Options::default()
    }
}

/// All end-to-end tests of the first stack, with the user's pytest arguments.
fn suite(workspace: &Workspace, running: &Running, extra: &[String]) -> Result<Suite> {
    let without_ledger = without_ledger(workspace, running)?.display().to_string();
    let mut arguments =
        ["tests", "--ignore", NATIVE_TESTS[0], "--without-ledger", &without_ledger].map(str::to_owned).to_vec();
    arguments.extend_from_slice(extra);
    Ok(Suite { label: "End-to-end tests (pytest)", arguments })
}

fn native_suite() -> Suite {
    let arguments = NATIVE_TESTS.into_iter().chain(["--lambda-stack-name", STACKS[0].0]);
    Suite {
        label: "End-to-end tests where Step Functions calls the models (pytest)",
        arguments: arguments.map(str::to_owned).collect(),
    }
}

/// Builds the function that decides without the ledger, for comparison. It is an example because it is never
/// deployed. `cargo test` has already built it, unless only the end-to-end tests run.
fn without_ledger(workspace: &Workspace, running: &Running) -> Result<PathBuf> {
    let mut build = cargo(workspace);
    build.args(["build", "--quiet", "--workspace", "--examples"]);
    if !build.stdin(Stdio::null()).status().context("cargo could not be started")?.success() {
        bail!("the examples could not be built");
    }
    Ok(running.binaries.join("examples/without_ledger"))
}

/// Arguments of a pytest run.
struct Suite {
    label: &'static str,
    arguments: Vec<String>,
}

/// Runs end-to-end tests. Their output goes directly to the terminal.
fn run_pytest(workspace: &Workspace, running: &Running, suite: &Suite) -> Result<Counts> {
    let port = running.state.port;
    let logs = workspace.port_folder(port);
    let report = logs.join("pytest.xml");
    let step = Step::start(suite.label);
    let mut command = Command::new(running.python.python());
    environment::isolate(&mut command, port);
    command.current_dir(workspace.root()).args(["-B", "-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider"]);
    command.args(["--endpoint", &local_url(port), "--stack-name", &running.stack_name]);
    command.args(["--bedrock-endpoint", &running.state.bedrock_endpoint]);
    command.arg("--log-dir").arg(&logs).arg(format!("--junitxml={}", report.display())).args(&suite.arguments);
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
