//! `cargo xtask test`: everything that CI checks, with one count at the end.

use crate::cargo_build::{self, cargo};
use crate::checks;
use crate::cli::{LocalArgs, TestArgs};
use crate::command;
use crate::console::{self, Step};
use crate::counts::{Counts, failures_of_cargo_test, of_cargo_test, of_junit, summary};
use crate::environment;
use crate::local_aws::{self, Options, Running};
use crate::network::local_url;
use crate::python_env::{Purpose, PythonEnv};
use crate::temporary::with_local_aws;
use crate::test_groups::{ALONE, ASIDE, AT_ONCE, Aside, CLOSING_TESTS, NATIVE_TESTS, PARAMETERS, SIMULATOR, STACKS};
use crate::tls;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};

const SHOWN_LINES: usize = 100;
/// The beginnings of test output lines that are shown: tables and their titles.
const SHOWN_STARTS: [&str; 2] = ["|", "## "];
/// Number of damaged answers that the adapters read. It is a quarter of the documented run, which takes 34 seconds of
/// processor time.
const DAMAGED_ANSWERS: &str = "250000";

/// Runs every check and test. Ends with the line `N passed, N failed`. A failed test is an exit code.
pub fn run(workspace: &Workspace, args: &TestArgs) -> ExitCode {
    let counts = match programs(workspace, args) {
        Ok(binaries) if args.pytest.is_empty() => everything(workspace, &binaries, args.end_to_end),
        Ok(binaries) => chosen(workspace, &binaries, &args.pytest),
        Err(error) => checks::could_not_run("All checks and tests", &error),
    };
    if counts.skipped > 0 {
        console::line(&format!("{} skipped; each is named above", counts.skipped));
    }
    println!("{}", summary(counts));
    if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Builds every program, and returns their folder. Meanwhile, the Python packages are installed.
fn programs(workspace: &Workspace, args: &TestArgs) -> Result<PathBuf> {
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // An error comes again where the packages are needed.
            let _ = PythonEnv::ensure(workspace, Purpose::Local);
            let _ = PythonEnv::ensure(workspace, Purpose::Clients);
            if !args.end_to_end {
                let _ = PythonEnv::ensure(workspace, Purpose::Lint);
            }
        });
        cargo_build::build_everything(workspace)
    })
}

/// Runs the checks and the tests of Rust, then the tests that need both processors, then all others beside each other.
fn everything(workspace: &Workspace, binaries: &Path, only_end_to_end: bool) -> Counts {
    let mut counts = Counts::default();
    if !only_end_to_end {
        counts += checks::beside_each_other(|| of_rust(workspace, binaries), || checks::without_compiler(workspace));
    }
    let label = "End-to-end tests (pytest)";
    counts += on_a_local_aws(workspace, label, &[], |running, counts| {
        if !only_end_to_end {
            *counts += ledger_tests(workspace, running.state.port);
        }
        let alone = Suite::new("A hundred clients at once, and hundreds of crashes (pytest)", [&ALONE[..]]);
        *counts += run_pytest(workspace, running, &alone.comparing(binaries), Output::Terminal)?;
        side_by_side(workspace, label, running, counts)
    });
    counts
}

/// Runs the checks and tests of Rust that need no running service.
fn of_rust(workspace: &Workspace, binaries: &Path) -> Counts {
    let mut counts = checks::of_rust(workspace);
    counts += rust_tests(workspace);
    counts += damaged_answers(binaries);
    counts
}

/// Runs the end-to-end tests that the user chooses by arguments for pytest, on one stack.
fn chosen(workspace: &Workspace, binaries: &Path, pytest: &[String]) -> Counts {
    let label = "End-to-end tests (pytest)";
    on_a_local_aws(workspace, label, &[], |running, counts| {
        let suite = Suite::new(label, [&["tests", "--ignore", NATIVE_TESTS[0]][..]]);
        *counts += run_pytest(workspace, running, &suite.comparing(binaries).with(pytest), Output::Terminal)?;
        Ok(())
    })
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
        let failures = failures_of_cargo_test(&text);
        console::line(&command::last_lines(if failures.is_empty() { &text } else { &failures }, SHOWN_LINES));
    }
    counts
}

/// Runs the groups of [`ASIDE`], [`AT_ONCE`] at a time, and all other tests on `running`, at the same time.
fn side_by_side(workspace: &Workspace, label: &'static str, running: &Running, counts: &mut Counts) -> Result<()> {
    let next = AtomicUsize::new(0);
    let groups = || std::iter::from_fn(|| ASIDE.get(next.fetch_add(1, Ordering::Relaxed)));
    std::thread::scope(|scope| {
        let run_groups = || {
            let mut counts = Counts::default();
            groups().for_each(|group| counts += run_aside(workspace, group));
            counts
        };
        let beside: Vec<_> = (0..AT_ONCE).map(|_| scope.spawn(run_groups)).collect();
        let elsewhere = ASIDE.iter().flat_map(|group| group.files).chain(&ALONE).chain(&NATIVE_TESTS[..1]);
        let suite = Suite::new(label, [&["tests"][..]]).with(elsewhere.flat_map(|file| ["--ignore", file]));
        let others = run_pytest(workspace, running, &suite, Output::AtTheEnd);
        for worker in beside {
            *counts += worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        }
        *counts += others?;
        Ok(())
    })
}

/// Runs one group of [`ASIDE`] on a local AWS of its own.
fn run_aside(workspace: &Workspace, group: &Aside) -> Counts {
    on_a_local_aws(workspace, group.label, group.parameters, |running, counts| {
        let suite = Suite::new(group.label, [group.files, &CLOSING_TESTS]);
        *counts += run_pytest(workspace, running, &suite, Output::AtTheEnd)?;
        if group.native {
            let mut native = options(STACKS[1]);
            native.port = running.state.port;
            native.local.parameters.extend(group.parameters.iter().map(ToString::to_string));
            let native = local_aws::up(workspace, &native)?;
            let label = "End-to-end tests where Step Functions calls the models (pytest)";
            let suite = Suite::new(label, [&NATIVE_TESTS[..], &["--lambda-stack-name", STACKS[0].0]]);
            *counts += run_pytest(workspace, &native, &suite, Output::AtTheEnd)?;
        }
        Ok(())
    })
}

/// Runs `work` on a local AWS of its own and returns what it counts. An error of `work` counts as a failure. The logs
/// are kept if anything fails.
fn on_a_local_aws(
    workspace: &Workspace,
    label: &str,
    parameters: &[&str],
    work: impl FnOnce(&Running, &mut Counts) -> Result<()>,
) -> Counts {
    let mut counts = Counts::default();
    let mut options = options(STACKS[0]);
    options.local.parameters.extend(parameters.iter().map(ToString::to_string));
    let result = with_local_aws(workspace, options, |running| {
        work(running, &mut counts)?;
        if counts.failed > 0 {
            bail!("the logs are in .sentry/{}", running.state.port);
        }
        Ok(())
    });
    match result {
        Ok(()) => counts,
        Err(error) if counts == Counts::default() => checks::could_not_run(label, &error),
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

/// Reads damaged answers of models with the example `fuzz_answers`, and shows the row that it prints.
fn damaged_answers(binaries: &Path) -> Counts {
    let step = Step::start("Damaged answers of models (fuzz_answers)");
    let output = match command::output(Command::new(binaries.join("examples/fuzz_answers")).arg(DAMAGED_ANSWERS)) {
        Ok(output) => output,
        Err(error) => {
            step.failed(&format!("{error:#}"));
            return Counts::one(false);
        }
    };
    let counts = Counts::one(output.status.success());
    finish(step, counts);
    let text = checks::text_of(&output);
    for row in text.lines().filter(|line| counts.failed > 0 || line.starts_with('|')) {
        console::line(row);
    }
    counts
}

/// Arguments of a pytest run.
struct Suite {
    label: &'static str,
    arguments: Vec<String>,
}

impl Suite {
    fn new<const N: usize>(label: &'static str, arguments: [&[&str]; N]) -> Self {
        Self { label, arguments: arguments.concat().into_iter().map(str::to_owned).collect() }
    }

    fn with<T: ToString>(mut self, arguments: impl IntoIterator<Item = T>) -> Self {
        self.arguments.extend(arguments.into_iter().map(|argument| argument.to_string()));
        self
    }

    /// With the function that decides without the ledger, for comparison. It is an example, because it is never deployed.
    fn comparing(self, binaries: &Path) -> Self {
        let without_ledger = binaries.join("examples/without_ledger");
        self.with(["--without-ledger".to_owned(), without_ledger.display().to_string()])
    }
}

/// Where the output of pytest goes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Output {
    /// To the terminal, as it comes.
    Terminal,
    /// To the terminal when all tests have run, because other tests write to it meanwhile.
    AtTheEnd,
}

/// Runs a suite of end-to-end tests with pytest, and counts its results.
fn run_pytest(workspace: &Workspace, running: &Running, suite: &Suite, to: Output) -> Result<Counts> {
    let port = running.state.port;
    let logs = workspace.port_folder(port);
    let report = logs.join("pytest.xml");
    let step = Step::start(suite.label);
    let mut command = Command::new(running.python.python());
    environment::isolate(&mut command, port);
    command.current_dir(workspace.root()).args(["-B", "-m", "pytest", "-q", "-rfEs", "-p", "no:cacheprovider"]);
    command.args(["--endpoint", &local_url(port), "--stack-name", &running.stack_name]);
    command.args(["--bedrock-endpoint", &running.state.bedrock_endpoint]);
    if let Some(gateway) = &running.state.gateway {
        command.args(["--gateway-endpoint", &local_url(gateway.port)]);
        if let Some(tls) = &gateway.tls {
            command.args(["--gateway-https-endpoint", &tls::url(tls.port)]);
            command.arg("--gateway-certificate").arg(tls::authority(workspace, port));
        }
        command.arg("--clients").arg(PythonEnv::ensure(workspace, Purpose::Clients)?.folder());
    }
    command.arg("--sentry-command").arg(running.binaries.join("sentry"));
    command.arg("--log-dir").arg(&logs).arg(format!("--junitxml={}", report.display())).args(&suite.arguments);
    step.hide();
    let succeeded = match to {
        Output::Terminal => command.stdin(Stdio::null()).status().context("pytest could not be started")?.success(),
        Output::AtTheEnd => {
            let output = command::output(&mut command).context("pytest could not be started")?;
            console::line(&checks::text_of(&output));
            output.status.success()
        }
    };
    let report = std::fs::read_to_string(&report).context("pytest left no report")?;
    let counts = of_junit(&report).with_exit(succeeded);
    finish(step, counts);
    Ok(counts)
}

fn finish(step: Step, counts: Counts) {
    let skipped = if counts.skipped > 0 { format!(", {} skipped", counts.skipped) } else { String::new() };
    let detail = format!("{}{skipped}", summary(counts));
    if counts.failed == 0 { step.done_with(&detail) } else { step.failed(&detail) }
}
