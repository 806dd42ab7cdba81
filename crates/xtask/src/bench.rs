//! `cargo xtask bench`: measures the size, start-up, memory, and time of each function, and the time that the system
//! adds to a request. It also measures the budget ledger: its behavior under load, its cost, and its
//! over-reservation.

use crate::bench_queue;
use crate::cargo_build::{Profile, cargo};
use crate::cli::{BenchArgs, BenchPart, LocalArgs};
use crate::environment;
use crate::local_aws::{self, Options, Running};
use crate::network::local_url;
use crate::temporary::with_local_aws;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::process::{Command, ExitCode, Stdio};

/// The model answers at once. Usage does not change during the measurement.
const SIMULATOR: [&str; 2] = ["--base-latency-ms=0", "--metrics-delay-seconds=3600"];
/// Measurements of the ledger (see crates/sentry-ledger/examples), each with its title.
const LEDGER: [(&str, &str); 5] = [
    ("over_reservation", "Held and used over a mixed workload"),
    ("scale", "One hot scope and four, 100 to 100,000 requests in flight (simulation)"),
    ("latency", "Cost and latency of admission"),
    ("sweep", "A sweep of a table of 200,000 items"),
    ("throughput", "Reservations a second on one budget, and whether the figures match"),
];
/// The simulation is CPU-bound, so it is worth a higher optimization level. This setting rebuilds no other crate.
const OPTIMIZED: &str = "profile.dev.package.sentry-ledger.opt-level=3";
/// Number of repetitions of the admission of a thousand concurrent requests.
const REPETITIONS: &str = "20";

/// Measures on a local AWS and prints the tables. The functions are release builds if the functions, the gateway or
/// the articles are measured.
///
/// # Errors
/// If the local AWS cannot be started. A failed measurement is an exit code.
pub fn run(workspace: &Workspace, args: &BenchArgs) -> Result<ExitCode> {
    if args.part == BenchPart::Queue {
        return Ok(if bench_queue::run(workspace)? { ExitCode::SUCCESS } else { ExitCode::FAILURE });
    }
    let functions = args.includes(BenchPart::Functions);
    let gateway = args.includes(BenchPart::Gateway);
    let release = functions || gateway || args.includes(BenchPart::Articles);
    let options = Options {
        stack_name: "cost-sentry".to_owned(),
        local: LocalArgs {
            sim_args: SIMULATOR.map(str::to_owned).to_vec(),
            parameters: gateway.then(|| "Gateway=on".to_owned()).into_iter().collect(),
            ..LocalArgs::default()
        },
        profile: if release { Profile::Release } else { Profile::Dev },
        traced: args.includes(BenchPart::Articles) || args.includes(BenchPart::Performance),
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
        if args.includes(BenchPart::Performance) {
            success &= measure_performance(workspace, running)?;
        }
        if gateway {
            success &= measure_gateway(workspace, running, args)?;
        }
        if args.includes(BenchPart::Ledger) {
            success &= measure_ledger(workspace, running)?;
        }
        if args.includes(BenchPart::Admission) {
            success &= measure_admission(workspace, running)?;
        }
        Ok(success)
    })?;
    let success = success && (!args.includes(BenchPart::Queue) || bench_queue::run(workspace)?);
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

/// Measures the design in the articles and the workflow in one run.
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

/// Repeats the performance analysis of the articles.
fn measure_performance(workspace: &Workspace, running: &Running) -> Result<bool> {
    let port = running.state.port;
    let mut command = running.python.script(workspace, "performance_bench.py");
    environment::isolate(&mut command, port);
    command.args(["--endpoint", &local_url(port), "--stack-name", &running.stack_name]);
    command.arg("--trace").arg(local_aws::trace_file(workspace, port));
    succeeds(&mut command, "performance_bench.py")
}

/// Measures the gateway beside the workflow, on plain HTTP.
fn measure_gateway(workspace: &Workspace, running: &Running, args: &BenchArgs) -> Result<bool> {
    let port = running.state.port;
    let gateway = running.state.gateway.as_ref().context("the gateway does not run")?;
    let mut command = running.python.script(workspace, "gateway_bench.py");
    environment::isolate(&mut command, port);
    for name in ["BEDROCK_RUNTIME", "BEDROCK", "RESOURCE_GROUPS_TAGGING_API"] {
        command.env(format!("AWS_ENDPOINT_URL_{name}"), &running.state.bedrock_endpoint);
    }
    command.args(["--endpoint", &local_url(port), "--stack-name", &running.stack_name]);
    command.args(["--bedrock-endpoint", &running.state.bedrock_endpoint, "--gateway", &local_url(gateway.port)]);
    command.args(["--gateway-pid", &gateway.process.pid.to_string(), "--requests", &args.requests.to_string()]);
    let engine = running.state.engine.as_ref().context("the local AWS does not run")?;
    command.args(["--engine-pid", &engine.pid.to_string()]);
    command.arg("--binaries").arg(&running.binaries).arg("--template").arg(workspace.template());
    succeeds(&mut command, "gateway_bench.py")
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

/// Tests that exactly as many requests as fit are admitted. Every case is repeated [`REPETITIONS`] times.
fn measure_admission(workspace: &Workspace, running: &Running) -> Result<bool> {
    println!("\n## Admission");
    let mut command = ledger(workspace, running, "test");
    command.args(["--test", "local", "--", "--ignored", "--nocapture", "admission"]);
    succeeds(command.env("SENTRY_TEST_REPETITIONS", REPETITIONS), "the admission test")
}

/// A cargo command for a target of the ledger that uses the local AWS.
fn ledger(workspace: &Workspace, running: &Running, task: &str) -> Command {
    let mut command = cargo(workspace);
    environment::isolate(&mut command, running.state.port);
    command.env("SENTRY_TEST_ENDPOINT", local_url(running.state.port));
    command.args([task, "--quiet", "--config", OPTIMIZED, "--package", "sentry-ledger"]);
    command
}

fn succeeds(command: &mut Command, name: &str) -> Result<bool> {
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("{name} could not be started"))?;
    Ok(status.success())
}
