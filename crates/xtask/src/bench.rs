//! `cargo xtask bench`: size, start-up, memory and time of each function, what the system adds to a request, and how the
//! budget ledger behaves: under load, in cost, and in how much more it holds than is used.

use crate::cargo_build::{Profile, cargo};
use crate::cli::{BenchArgs, BenchPart, LocalArgs};
use crate::environment;
use crate::local_aws::{self, Options, Running};
use crate::network::local_url;
use crate::temporary::with_local_aws;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::process::{Command, ExitCode, Stdio};

/// A model that takes no time, and usage that does not change while we measure.
const SIMULATOR: [&str; 2] = ["--base-latency-ms=0", "--metrics-delay-seconds=3600"];
/// The ledger's measurements, see crates/sentry-ledger/examples.
const LEDGER: [(&str, &str); 5] = [
    ("over_reservation", "Held and used over a mixed workload"),
    ("scale", "One hot scope and four, 100 to 100,000 requests in flight (simulation)"),
    ("latency", "Cost and latency of admission"),
    ("sweep", "A sweep of a table of 200,000 items"),
    ("throughput", "Reservations a second on one budget, and whether the figures match"),
];
/// The simulation is arithmetic: it is worth its optimisation, and nothing else need be built again for it.
const OPTIMISED: &str = "profile.dev.package.sentry-ledger.opt-level=3";
/// How often the admission of a thousand requests at once is repeated.
const REPETITIONS: &str = "20";

/// Measures on a local AWS and prints the tables; the functions as release builds.
///
/// # Errors
/// If the local AWS cannot be brought up. A measurement that fails is an exit code.
pub fn run(workspace: &Workspace, args: &BenchArgs) -> Result<ExitCode> {
    let functions = args.includes(BenchPart::Functions);
    let release = functions || args.includes(BenchPart::Articles);
    let options = Options {
        stack_name: "cost-sentry".to_owned(),
        local: LocalArgs { sim_args: SIMULATOR.map(str::to_owned).to_vec(), ..LocalArgs::default() },
        profile: if release { Profile::Release } else { Profile::Dev },
        traced: args.includes(BenchPart::Articles),
        ..Options::default()
    };
    let success = with_local_aws(workspace, options, |running| {
        let mut success = true;
        if functions {
            success &= measure_functions(workspace, running, args)?;
        }
        if args.includes(BenchPart::Articles) {
            success &= measure_articles(workspace, running, args)?;
        }
        if args.includes(BenchPart::Ledger) {
            success &= measure_ledger(workspace, running)?;
        }
        if args.includes(BenchPart::Admission) {
            success &= measure_admission(workspace, running)?;
        }
        Ok(success)
    })?;
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn measure_functions(workspace: &Workspace, running: &Running, args: &BenchArgs) -> Result<bool> {
    let port = running.state.port;
    let mut command = running.python.script(workspace, "bench.py");
    environment::isolate(&mut command, port);
    command.args(["--endpoint", &local_url(port), "--stack-name", &running.stack_name]);
    command.arg("--binaries").arg(&running.binaries).arg("--template").arg(workspace.template());
    command.args(["--requests", &args.requests.to_string(), "--invocations", &args.invocations.to_string()]);
    if let Some(path) = &args.json {
        command.arg("--json").arg(std::path::absolute(path)?);
    }
    succeeds(&mut command, "bench.py")
}

/// The articles' design beside ours, in one run.
fn measure_articles(workspace: &Workspace, running: &Running, args: &BenchArgs) -> Result<bool> {
    let port = running.state.port;
    let engine = running.state.engine.as_ref().context("the local AWS does not run")?;
    let mut command = running.python.script(workspace, "articles_bench.py");
    environment::isolate(&mut command, port);
    command.args(["--endpoint", &local_url(port), "--stack-name", &running.stack_name]);
    command.args(["--engine-pid", &engine.pid.to_string(), "--requests", &args.requests.to_string()]);
    command.arg("--trace").arg(local_aws::trace_file(workspace, port));
    succeeds(&mut command, "articles_bench.py")
}

fn measure_ledger(workspace: &Workspace, running: &Running) -> Result<bool> {
    let mut success = true;
    for (example, title) in LEDGER {
        println!("\n## {title}\n");
        let mut command = ledger(workspace, running, "run");
        success &= succeeds(command.args(["--example", example]), example)?;
    }
    Ok(success)
}

/// As many as fit are admitted, each case many times over.
fn measure_admission(workspace: &Workspace, running: &Running) -> Result<bool> {
    println!("\n## Admission");
    let mut command = ledger(workspace, running, "test");
    command.args(["--test", "local", "--", "--ignored", "--nocapture", "admission"]);
    succeeds(command.env("SENTRY_TEST_REPETITIONS", REPETITIONS), "the admission test")
}

/// Cargo, for a target of the ledger that finds the local AWS.
fn ledger(workspace: &Workspace, running: &Running, task: &str) -> Command {
    let mut command = cargo(workspace);
    environment::isolate(&mut command, running.state.port);
    command.env("SENTRY_TEST_ENDPOINT", local_url(running.state.port));
    command.args([task, "--quiet", "--config", OPTIMISED, "--package", "sentry-ledger"]);
    command
}

fn succeeds(command: &mut Command, name: &str) -> Result<bool> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("{name} could not be started"))?;
    Ok(status.success())
}
