//! `cargo xtask lint`: every check that needs no running service.

use crate::cargo_build::cargo;
use crate::cli::LintArgs;
use crate::command;
use crate::console::{self, Step};
use crate::counts::{Counts, summary};
use crate::dashboard;
use crate::local_aws;
use crate::python_env::{Purpose, PythonEnv};
use crate::states;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::process::{Command, ExitCode, Output};

/// Part of cargo-deny's message when it cannot download the advisory database (a repository on GitHub).
const NO_DATABASE: &str = "failed to fetch advisory database";
const SHOWN_LINES: usize = 60;
/// The templates, relative to the root of the workspace.
const TEMPLATES: [&str; 5] = [
    "template.yaml",
    "templates/close-ways-round.yaml",
    "templates/billing.yaml",
    "templates/cost-export.yaml",
    "templates/team-entry.yaml",
];

/// Runs `cargo xtask lint` and prints the counts. A failed check is an exit code.
pub fn run(workspace: &Workspace, args: &LintArgs) -> ExitCode {
    let mut counts = all(workspace);
    if args.sam_build {
        counts += sam_build(workspace);
    }
    console::line(&summary(counts));
    if counts.failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs every check except `sam build`. The checks of Rust compile, so the others run beside them.
fn all(workspace: &Workspace) -> Counts {
    beside_each_other(|| of_rust(workspace), || without_compiler(workspace))
}

/// Runs both functions at the same time, and adds up what they count.
pub fn beside_each_other(first: impl FnOnce() -> Counts, second: impl FnOnce() -> Counts + Send) -> Counts {
    std::thread::scope(|scope| {
        let second = scope.spawn(second);
        let mut counts = first();
        counts += second.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        counts
    })
}

/// Runs the checks of the Python programs, the dependencies, the template and the state machines.
pub fn without_compiler(workspace: &Workspace) -> Counts {
    let mut counts = of_python(workspace);
    counts += of_dependencies(workspace);
    counts += of_template(workspace);
    counts
}

/// Runs rustfmt and clippy.
pub fn of_rust(workspace: &Workspace) -> Counts {
    let mut format = cargo(workspace);
    format.args(["fmt", "--all", "--check"]);
    let mut counts = check("Formatting (cargo fmt --check)", &mut format);
    let mut clippy = cargo(workspace);
    clippy.args(["clippy", "--quiet", "--workspace", "--all-targets", "--", "-D", "warnings"]);
    counts += check("Clippy (cargo clippy -D warnings)", &mut clippy);
    counts
}

/// Checks the programs in `local/` and the end-to-end tests. The settings are in `pyproject.toml`.
fn of_python(workspace: &Workspace) -> Counts {
    let python = match PythonEnv::ensure(workspace, Purpose::Lint) {
        Ok(python) => python,
        Err(error) => return could_not_run("The Python checks", &error),
    };
    let run = |program: &str, arguments: &[&str]| {
        let mut command = Command::new(python.program(program));
        command.current_dir(workspace.root()).args(arguments);
        command
    };
    let mut counts = check("Python (ruff check)", &mut run("ruff", &["check"]));
    counts += check("Formatting of Python (ruff format --check)", &mut run("ruff", &["format", "--check"]));
    let strict = ["--strict", "local"];
    counts += check("Types of the programs (mypy --strict)", &mut run("mypy", &strict));
    counts += check("Types of the end-to-end tests (mypy)", &mut run("mypy", &["tests"]));
    counts
}

fn of_dependencies(workspace: &Workspace) -> Counts {
    let label = "Licenses, sources and bans of dependencies (cargo deny)";
    let python = match PythonEnv::ensure(workspace, Purpose::Lint) {
        Ok(python) => python,
        Err(error) => return could_not_run(label, &error),
    };
    let run = |checks: &[&str]| {
        let mut command = Command::new(python.program("cargo-deny"));
        command.current_dir(workspace.root()).arg("check").args(checks);
        command
    };
    let mut counts = check(label, &mut run(&["bans", "licenses", "sources"]));
    counts += advisories(&mut run(&["advisories"]));
    counts
}

/// Checks security advisories. If the database cannot be downloaded, the check is reported as skipped.
fn advisories(command: &mut Command) -> Counts {
    let label = "Security advisories of dependencies (cargo deny)";
    let step = Step::start(label);
    match command::output(command) {
        Ok(output) if !output.status.success() && text_of(&output).contains(NO_DATABASE) => {
            step.skipped("NOT checked: the advisory database at github.com/rustsec could not be fetched");
            Counts { skipped: 1, ..Counts::default() }
        }
        result => judge(step, result),
    }
}

fn of_template(workspace: &Workspace) -> Counts {
    let python = match PythonEnv::ensure(workspace, Purpose::Lint) {
        Ok(python) => python,
        Err(error) => return could_not_run("The template checks", &error),
    };
    let mut cfn_lint = Command::new(python.program("cfn-lint"));
    cfn_lint.current_dir(workspace.root()).args(TEMPLATES);
    let mut counts = check("Template (cfn-lint)", &mut cfn_lint);
    let mut validate = sam(workspace, &python);
    validate.args(["validate", "--lint", "--template", "template.yaml"]);
    counts += check("Template (sam validate --lint)", &mut validate);
    let mut machines = python.script(workspace, "check_state_machines.py");
    machines.arg(workspace.template());
    let mut written = states::command(workspace, &python, true);
    counts += check("State machines are what their sources say", &mut written);
    let mut written = dashboard::command(workspace, &python, true);
    counts += check("The dashboard is what its source says", &mut written);
    counts += check("State machines (schema, targets, JSONata, placeholders)", &mut machines);
    counts
}

/// Runs `sam build` for every function, with the compiler and linker of the virtual environment.
fn sam_build(workspace: &Workspace) -> Counts {
    let label = "Every function for AWS (sam build)";
    let python = match PythonEnv::ensure(workspace, Purpose::Lint) {
        Ok(python) => python,
        Err(error) => return could_not_run(label, &error),
    };
    let mut build = sam(workspace, &python);
    // Builds for this machine's processor, because every toolchain has this target.
    build.args(["build", "--beta-features", "--parameter-overrides", &local_aws::architecture()]);
    check(label, &mut build)
}

fn sam(workspace: &Workspace, python: &PythonEnv) -> Command {
    let mut command = Command::new(python.program("sam"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let own = python.program("");
    let folders = std::iter::once(own).chain(std::env::split_paths(&path));
    if let Ok(joined) = std::env::join_paths(folders) {
        command.env("PATH", joined);
    }
    command.current_dir(workspace.root()).env("SAM_CLI_TELEMETRY", "0").env("AWS_DEFAULT_REGION", "us-east-1");
    command
}

/// Runs one check. Shows its output if it fails.
pub fn check(label: &str, command: &mut Command) -> Counts {
    let step = Step::start(label);
    judge(step, command::output(command))
}

/// Counts a check that could not run as failed.
pub fn could_not_run(label: &str, error: &anyhow::Error) -> Counts {
    Step::start(label).failed(&format!("could not run: {error:#}"));
    Counts::one(false)
}

fn judge(step: Step, result: Result<Output>) -> Counts {
    match result.context("could not run") {
        Ok(output) if output.status.success() => {
            step.done();
            Counts::one(true)
        }
        Ok(output) => {
            step.failed("failed");
            console::line(&command::last_lines(&text_of(&output), SHOWN_LINES));
            Counts::one(false)
        }
        Err(error) => {
            step.failed(&format!("{error:#}"));
            Counts::one(false)
        }
    }
}

/// The output of a program: first stdout, then stderr.
pub fn text_of(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}
