//! The local AWS: engine, Bedrock simulator, and deployed stack.

use crate::cargo_build::{self, Profile};
use crate::cli::{DownArgs, LocalArgs};
use crate::clock::MovableClock;
use crate::command;
use crate::console::{self, Step};
use crate::environment;
use crate::network::{free_port, is_healthy, is_taken, local_url};
use crate::processes::Process;
use crate::python_env::{Purpose, PythonEnv};
use crate::state::{Gateway, Simulator, State};
use crate::tls;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::UNIX_EPOCH;

const ENGINE_HEALTH: &str = "/_ministack/health";
const GATEWAY_HEALTH: &str = "/healthz";
/// The output of a stack that has a gateway.
const GATEWAY_OUTPUT: &str = "GatewayUrl";
const SIMULATOR_HEALTH: &str = "/_sim/health";

/// Options for the start of a local AWS.
#[derive(Clone, Default)]
pub struct Options {
    /// Port of the engine. 0 selects a free port.
    pub port: u16,
    /// Name of the CloudFormation stack.
    pub stack_name: String,
    /// Options that every task offers to the user.
    pub local: LocalArgs,
    /// Cargo profile of the functions.
    pub profile: Profile,
    /// `true` if the engine records named executions (see `local/engine_trace.py`).
    pub traced: bool,
    /// The clock of all programs. Absent for the clock of the machine.
    pub clock: Option<MovableClock>,
}

/// A running local AWS with the deployed stack.
pub struct Running {
    pub state: State,
    /// Name of the deployed stack.
    pub stack_name: String,
    /// Outputs of the deployed stack.
    pub outputs: BTreeMap<String, String>,
    /// Folder with the binaries of the functions.
    pub binaries: PathBuf,
    /// Python environment for the clients of the local AWS.
    pub python: PythonEnv,
}

/// Starts all parts that do not run yet, and deploys the stack. If this fails and the local AWS was not running
/// before, all parts are stopped again.
///
/// # Errors
/// If a part cannot be built, started, or deployed, or if another program uses the port.
pub fn up(workspace: &Workspace, options: &Options) -> Result<Running> {
    let port = if options.port == 0 { free_port()? } else { options.port };
    let existing = find(workspace, port, &options.local)?;
    let (python, binaries) = std::thread::scope(|scope| {
        let python = scope.spawn(|| PythonEnv::ensure(workspace, Purpose::Local));
        let binaries = cargo_build::build(workspace, options.profile);
        (python.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)), binaries)
    });
    let (python, binaries) = (python?, binaries?);
    let was_up = existing.is_some();
    let brought_up = start_and_deploy(workspace, options, existing, port, &python, &binaries);
    match brought_up {
        Ok((state, outputs)) => {
            Ok(Running { state, stack_name: options.stack_name.clone(), outputs, binaries, python })
        }
        Err(error) => {
            if !was_up {
                down(workspace, port)?;
            }
            Err(error)
        }
    }
}

/// The local AWS of this checkout that already runs on the port.
fn find(workspace: &Workspace, port: u16, local: &LocalArgs) -> Result<Option<State>> {
    if let Some(state) = State::load(workspace, port)? {
        if state.engine.as_ref().is_some_and(Process::is_alive) {
            let other = local.bedrock_endpoint.as_deref() != Some(state.bedrock_endpoint.as_str());
            if other && (local.bedrock_endpoint.is_some() || state.simulator.is_none()) {
                bail!(
                    "on port {port}, Bedrock is {}; run `cargo xtask down --port {port}` first",
                    state.bedrock_endpoint
                );
            }
            return Ok(Some(state));
        }
        down(workspace, port)?;
    }
    if is_taken(port) {
        bail!("port {port} is in use by another program; choose one with --port, or --port 0 for a free one");
    }
    Ok(None)
}

fn start_and_deploy(
    workspace: &Workspace,
    options: &Options,
    existing: Option<State>,
    port: u16,
    python: &PythonEnv,
    binaries: &Path,
) -> Result<(State, BTreeMap<String, String>)> {
    std::fs::create_dir_all(workspace.port_folder(port))?;
    let mut state = match existing {
        Some(state) => state,
        None => State { port, bedrock_endpoint: String::new(), simulator: None, engine: None, gateway: None },
    };
    match &options.local.bedrock_endpoint {
        Some(endpoint) => state.bedrock_endpoint.clone_from(endpoint),
        None => ensure_simulator(workspace, options, binaries, &mut state)?,
    }
    if state.engine.is_none() {
        start_engine(workspace, options, python, &mut state)?;
    }
    let outputs = deploy(workspace, options, python, binaries, port)?;
    restart_gateway(workspace, options, python, binaries, &mut state, outputs.contains_key(GATEWAY_OUTPUT))?;
    Ok((state, outputs))
}

/// Starts the simulator. If its binary or its arguments changed, it is restarted on the same port.
fn ensure_simulator(workspace: &Workspace, options: &Options, binaries: &Path, state: &mut State) -> Result<()> {
    let binary = binaries.join("bedrock-sim");
    let modified = std::fs::metadata(&binary).and_then(|data| data.modified()).context("bedrock-sim was not built")?;
    let binary_modified_ns = modified.duration_since(UNIX_EPOCH)?.as_nanos();
    let args = options.local.sim_args.clone();
    let mut port = free_port()?;
    if let Some(old) = &state.simulator {
        if old.process.is_alive() && old.args == args && old.binary_modified_ns == binary_modified_ns {
            return Ok(());
        }
        old.process.stop()?;
        port = old.port;
    }
    let step = Step::start("Start the Bedrock simulator");
    let mut command = Command::new(&binary);
    environment::isolate(&mut command, state.port);
    move_clock(&mut command, options);
    command.args(["--port", &port.to_string(), "--cloudwatch-endpoint", &local_url(state.port)]).args(&args);
    let log = workspace.port_folder(state.port).join("bedrock-sim.log");
    let process = Process::start("bedrock-sim", &mut command, &log)?;
    state.bedrock_endpoint = local_url(port);
    state.simulator = Some(Simulator { port, args, binary_modified_ns, process: process.clone() });
    state.save(workspace)?;
    wait_for(&process, port, SIMULATOR_HEALTH, &log)?;
    step.done_with(&local_url(port));
    Ok(())
}

fn start_engine(workspace: &Workspace, options: &Options, python: &PythonEnv, state: &mut State) -> Result<()> {
    let step = Step::start("Start the local AWS");
    let folder = workspace.port_folder(state.port);
    let (log, temporary) = (folder.join("engine.log"), folder.join("tmp"));
    std::fs::create_dir_all(&temporary)?;
    let mut command = python.script(workspace, "engine.py");
    environment::isolate(&mut command, state.port);
    command
        .env("BIND_HOST", "127.0.0.1")
        .env("GATEWAY_PORT", state.port.to_string())
        // The engine extracts the functions in this folder.
        .env("TMPDIR", &temporary)
        .env("STATE_DIR", temporary.join("engine"))
        // These services would listen on more ports, on all network interfaces.
        .env("IOT_MTLS_ENABLED", "0")
        .env("SFTP_ENABLED", "0")
        // The functions inherit the environment of the engine.
        .env("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", &state.bedrock_endpoint)
        .env("AWS_ENDPOINT_URL_BEDROCK", &state.bedrock_endpoint)
        .env("AWS_ENDPOINT_URL_RESOURCE_GROUPS_TAGGING_API", &state.bedrock_endpoint);
    if options.traced {
        command.env("SENTRY_TRACE_FILE", trace_file(workspace, state.port));
    }
    if options.clock.is_some() {
        // Environments of functions are not idle only because the clock was moved.
        command.env("LAMBDA_WARM_TTL_SECONDS", (100 * 24 * 3600).to_string());
        command.env("SENTRY_POINTS_FILE", points_file(workspace, state.port));
    }
    move_clock(&mut command, options);
    let process = Process::start("engine", &mut command, &log)?;
    state.engine = Some(process.clone());
    state.save(workspace)?;
    wait_for(&process, state.port, ENGINE_HEALTH, &log)?;
    step.done_with(&local_url(state.port));
    Ok(())
}

/// Stops the gateway's server of an earlier deployment. If the stack has a gateway, starts it with its new settings, and
/// HTTPS in front of it.
fn restart_gateway(
    workspace: &Workspace,
    options: &Options,
    python: &PythonEnv,
    binaries: &Path,
    state: &mut State,
    wanted: bool,
) -> Result<()> {
    let old = state.gateway.take();
    for process in old.iter().flat_map(Gateway::processes) {
        process.stop()?;
    }
    state.save(workspace)?;
    if !wanted {
        return Ok(());
    }
    let step = Step::start("Start the gateway");
    let port = old.as_ref().map_or_else(free_port, |old| Ok(old.port))?;
    let mut command = python.script(workspace, "gateway.py");
    environment::isolate(&mut command, state.port);
    move_clock(&mut command, options);
    for name in ["BEDROCK_RUNTIME", "BEDROCK", "RESOURCE_GROUPS_TAGGING_API"] {
        command.env(format!("AWS_ENDPOINT_URL_{name}"), &state.bedrock_endpoint);
    }
    command.args(["--endpoint", &local_url(state.port), "--stack-name", &options.stack_name]);
    command.arg("--binary").arg(binaries.join("fn-gateway")).args(["--listen", &format!("127.0.0.1:{port}")]);
    let log = workspace.port_folder(state.port).join("gateway.log");
    let process = Process::start("gateway", &mut command, &log)?;
    state.gateway = Some(Gateway { port, process: process.clone(), tls: None });
    state.save(workspace)?;
    wait_for(&process, port, GATEWAY_HEALTH, &log)?;
    let mut urls = local_url(port);
    if options.profile == Profile::Dev {
        let port = old.and_then(|old| old.tls).map_or_else(free_port, |old| Ok(old.port))?;
        tls::start(workspace, binaries, state, port)?;
        urls += &format!(" and {}", tls::url(port));
    }
    step.done_with(&urls);
    Ok(())
}

/// The file in which the engine records executions, if tracing is on.
pub fn trace_file(workspace: &Workspace, port: u16) -> PathBuf {
    workspace.port_folder(port).join("executions.jsonl")
}

/// The file in which the engine records every point of every metric, if its clock can be moved.
pub fn points_file(workspace: &Workspace, port: u16) -> PathBuf {
    workspace.port_folder(port).join("points.jsonl")
}

fn move_clock(command: &mut Command, options: &Options) {
    if let Some(clock) = &options.clock {
        clock.apply(command);
    }
}

fn wait_for(process: &Process, port: u16, health: &str, log: &Path) -> Result<()> {
    process.wait_until(|| is_healthy(port, health), port, log)
}

fn deploy(
    workspace: &Workspace,
    options: &Options,
    python: &PythonEnv,
    binaries: &Path,
    port: u16,
) -> Result<BTreeMap<String, String>> {
    let step = Step::start(format!("Deploy template.yaml as the stack {}", options.stack_name));
    let mut command = python.script(workspace, "deploy.py");
    environment::isolate(&mut command, port);
    move_clock(&mut command, options);
    command.args(["--endpoint", &local_url(port), "--stack-name", &options.stack_name]);
    command.arg("--template").arg(workspace.template()).arg("--binaries").arg(binaries);
    for parameter in std::iter::once(&architecture()).chain(&options.local.parameters) {
        command.args(["--parameter", parameter]);
    }
    let result = command::output(&mut command)?;
    let said = String::from_utf8_lossy(&result.stderr);
    if !result.status.success() {
        bail!("{}", said.trim());
    }
    for line in said.lines() {
        console::line(&format!("  {line}"));
    }
    let outputs = serde_json::from_slice(&result.stdout).context("deploy.py printed no outputs")?;
    step.done();
    Ok(outputs)
}

/// The value of the template's parameter `Architecture` for this machine.
pub fn architecture() -> String {
    let name = if std::env::consts::ARCH == "aarch64" { "arm64" } else { std::env::consts::ARCH };
    format!("Architecture={name}")
}

/// Stops the local AWS on a port, and keeps its logs. Returns `false` if none was running.
///
/// # Errors
/// If a process does not end.
pub fn down(workspace: &Workspace, port: u16) -> Result<bool> {
    let Some(state) = State::load(workspace, port)? else { return Ok(false) };
    for process in state.processes() {
        process.stop()?;
    }
    State::forget(workspace, port);
    // This folder contains only extracted functions. Files that cannot be deleted do no harm.
    let _ = std::fs::remove_dir_all(workspace.port_folder(port).join("tmp"));
    Ok(true)
}

/// Runs `cargo xtask down` for one port or for all ports.
///
/// # Errors
/// If a process does not end.
pub fn down_command(workspace: &Workspace, args: &DownArgs) -> Result<ExitCode> {
    let ports = if args.all { State::ports(workspace) } else { vec![args.port] };
    for port in &ports {
        let step = Step::start(format!("Stop the local AWS on port {port}"));
        if down(workspace, *port)? {
            step.done();
        } else {
            step.skipped("there is none");
        }
    }
    if ports.is_empty() {
        console::line("no local AWS runs");
    }
    Ok(ExitCode::SUCCESS)
}
