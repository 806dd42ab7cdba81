//! `cargo xtask test`: everything that CI checks, with one count at the end.

use crate::cargo_build::cargo;
use crate::checks;
use crate::cli::{LocalArgs, TestArgs};
use crate::command;
use crate::console::{self, Step};
use crate::counts::{Counts, failures_of_cargo_test, of_cargo_test, of_junit, summary};
use crate::environment;
use crate::local_aws::{self, Options, Running};
use crate::network::local_url;
use crate::temporary::with_local_aws;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

const SHOWN_LINES: usize = 100;
/// The beginnings of test output lines that are shown: tables and their titles.
const SHOWN_STARTS: [&str; 2] = ["|", "## "];
/// Short times for the end-to-end tests, which wait for a model that hangs and for configuration changes to take
/// effect. The tests have more applications than the default ceiling of metric values. The watch of ungoverned usage
/// does not run by itself, because it would look at the models of all tests.
const PARAMETERS: [&str; 5] = [
    "ModelTimeoutSeconds=3",
    "UsageCacheSeconds=0",
    "MetricsWindowSeconds=1",
    "MetricValuesCeiling=5000",
    "WatchUsageEvery=1 hour",
];
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

/// Number of damaged answers that the adapters read. It is a quarter of the documented run, which takes 34 seconds of
/// processor time.
const DAMAGED_ANSWERS: &str = "250000";

/// Tests that run alone, because they need both processors: a hundred clients at once, and a campaign of crashes that
/// must happen before the caller gives up. They would also delay every other test.
const ALONE: [&str; 2] = ["tests/test_hard_budget.py", "tests/test_crash_campaign.py"];
/// Tests that run beside the others, each group on a local AWS of its own, whose functions it may change. Most of their
/// time they wait: for timeouts, retries, and holds that expire. The groups take about as long as the tests that are in
/// no group.
const ASIDE: [Aside; 4] = [
    Aside {
        label: "Alerts, degrading and ungoverned usage, beside the others (pytest)",
        files: &[
            "tests/test_alerts.py",
            "tests/test_degrading.py",
            "tests/test_late_settlement.py",
            "tests/test_ledger.py",
            "tests/test_ungoverned.py",
        ],
        native: false,
        parameters: &[],
    },
    Aside {
        label: "Outages, crashes at each step, scopes and the gateway, beside the others (pytest)",
        files: &[
            "tests/test_outages.py",
            "tests/test_crash_steps.py",
            "tests/test_scopes.py",
            "tests/test_gateway.py",
            "tests/test_gateway_stream.py",
        ],
        native: false,
        parameters: &["Gateway=on"],
    },
    Aside {
        label: "The command of administrators, responses and sizes, beside the others (pytest)",
        files: &[
            "tests/test_cli_ask.py",
            "tests/test_cli_backtest.py",
            "tests/test_cli_forms.py",
            "tests/test_cli_limits.py",
            "tests/test_cli_profiles.py",
            "tests/test_cli_prove.py",
            "tests/test_cli_status.py",
            "tests/test_profile_policy.py",
            "tests/test_report.py",
            "tests/test_responses.py",
            "tests/test_sizes.py",
        ],
        native: false,
        parameters: &["ProfilePolicy=preferred"],
    },
    Aside {
        label: "Models, the request queue and kept answers, beside the others (pytest)",
        files: &[
            "tests/test_models.py",
            "tests/test_queue.py",
            "tests/test_replay.py",
            "tests/test_three_doors.py",
        ],
        native: true,
        parameters: &[
            "Gateway=on",
            "AsyncConcurrency=10",
            "ReplyQueueArns=arn:aws:sqs:us-east-1:000000000000:cost-sentry-e2e-replies",
        ],
    },
];
/// Tests that check everything that happened on a local AWS, so they run on each.
const CLOSING_TESTS: [&str; 2] = ["tests/test_wire_shapes.py", "tests/test_logs.py"];

/// Tests that run beside the others.
struct Aside {
    label: &'static str,
    files: &'static [&'static str],
    /// Afterwards, the tests of the native stack run on the same local AWS.
    native: bool,
    /// Parameters of the stack beside [`PARAMETERS`].
    parameters: &'static [&'static str],
}

/// Runs every check and test. Ends with the line `N passed, N failed`. A failed test is an exit code.
pub fn run(workspace: &Workspace, args: &TestArgs) -> ExitCode {
    let mut counts = Counts::default();
    if !args.end_to_end {
        let of_rust = || {
            let mut counts = checks::of_rust(workspace);
            counts += rust_tests(workspace);
            counts
        };
        counts += checks::beside_each_other(of_rust, || checks::without_compiler(workspace));
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
        let failures = failures_of_cargo_test(&text);
        console::line(&command::last_lines(if failures.is_empty() { &text } else { &failures }, SHOWN_LINES));
    }
    counts
}

/// Runs everything that needs the local AWS: the ledger tests if `ledger` is true, and the end-to-end tests. If the
/// user gives arguments for pytest, all tests run on one stack.
fn end_to_end(workspace: &Workspace, ledger: bool, pytest: &[String]) -> Counts {
    let label = "End-to-end tests (pytest)";
    on_a_local_aws(workspace, label, &[], |running, counts| {
        if ledger {
            *counts += ledger_tests(workspace, running.state.port);
        }
        let examples = examples(workspace, running)?;
        if ledger {
            *counts += damaged_answers(&examples);
        }
        let without_ledger = examples.join("without_ledger");
        if pytest.is_empty() {
            let alone = Suite::new("A hundred clients at once, and hundreds of crashes (pytest)", [&ALONE[..]]);
            *counts += run_pytest(workspace, running, &alone.comparing(&without_ledger), Output::Terminal)?;
            side_by_side(workspace, label, running, counts)
        } else {
            let suite = Suite::new(label, [&["tests", "--ignore", NATIVE_TESTS[0]][..]]);
            *counts +=
                run_pytest(workspace, running, &suite.comparing(&without_ledger).with(pytest), Output::Terminal)?;
            Ok(())
        }
    })
}

/// Runs the groups of [`ASIDE`], and all other tests on `running` at the same time.
fn side_by_side(workspace: &Workspace, label: &'static str, running: &Running, counts: &mut Counts) -> Result<()> {
    std::thread::scope(|scope| {
        let aside: Vec<_> = ASIDE.iter().map(|group| scope.spawn(|| run_aside(workspace, group))).collect();
        let elsewhere = ASIDE.iter().flat_map(|group| group.files).chain(&ALONE).chain(&NATIVE_TESTS[..1]);
        let suite = Suite::new(label, [&["tests"][..]]).with(elsewhere.flat_map(|file| ["--ignore", file]));
        let others = run_pytest(workspace, running, &suite, Output::Terminal);
        for group in aside {
            *counts += group.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
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

/// Builds the examples, and returns their folder. `cargo test` has already built them, unless only the end-to-end tests
/// run. One is the function that decides without the ledger, for comparison. It is an example because it is never
/// deployed.
fn examples(workspace: &Workspace, running: &Running) -> Result<PathBuf> {
    let mut build = cargo(workspace);
    // The binaries too: one of them is the command `sentry`.
    build.args(["build", "--quiet", "--workspace", "--examples", "--bins"]);
    if !build.stdin(Stdio::null()).status().context("cargo could not be started")?.success() {
        bail!("the examples could not be built");
    }
    Ok(running.binaries.join("examples"))
}

/// Reads damaged answers of models with the example `fuzz_answers`, and shows the row that it prints.
fn damaged_answers(examples: &Path) -> Counts {
    let step = Step::start("Damaged answers of models (fuzz_answers)");
    let output = match command::output(Command::new(examples.join("fuzz_answers")).arg(DAMAGED_ANSWERS)) {
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

    /// With the function that decides without the ledger, for comparison.
    fn comparing(self, without_ledger: &Path) -> Self {
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
