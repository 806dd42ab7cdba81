//! `cargo xtask cost`: the cost of 100,000 requests on AWS. It is computed from the usage of one request on a local
//! AWS, for the `lambda` and the `native` mode.

use crate::cli::LocalArgs;
use crate::environment;
use crate::local_aws::{self, Options};
use crate::network::local_url;
use crate::temporary::with_local_aws;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use std::process::{ExitCode, Stdio};

/// Stack names, each with its value of `ModelInvocation`.
const STACKS: [(&str, &str); 2] = [("cost-sentry", "lambda"), ("cost-sentry-native", "native")];
/// Metrics are published at once, which avoids a wait. The computed cost uses the window of the template.
const PARAMETER: &str = "MetricsWindowSeconds=1";
/// The model answers at once by default. Usage does not change during the count.
const SIMULATOR: [&str; 2] = ["--base-latency-ms=0", "--metrics-delay-seconds=3600"];

/// Counts on a local AWS with both stacks, and prints the cost. Fails if a sum is above its target.
///
/// # Errors
/// If the local AWS cannot be started. A failed count or a missed target is an exit code.
pub fn run(workspace: &Workspace) -> Result<ExitCode> {
    let success = with_local_aws(workspace, options(STACKS[0]), |running| {
        let port = running.state.port;
        let native = local_aws::up(workspace, &Options { port, ..options(STACKS[1]) })?;
        let mut command = running.python.script(workspace, "cost.py");
        environment::isolate(&mut command, port);
        command.args(["--endpoint", &local_url(port)]).arg("--template").arg(workspace.template());
        command.args(["--lambda-stack-name", &running.stack_name, "--native-stack-name", &native.stack_name]);
        let status = command.stdin(Stdio::null()).status().context("cost.py could not be started")?;
        Ok(status.success())
    })?;
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn options((stack_name, invocation): (&str, &str)) -> Options {
    Options {
        stack_name: stack_name.to_owned(),
        local: LocalArgs {
            parameters: vec![PARAMETER.to_owned(), format!("ModelInvocation={invocation}")],
            sim_args: SIMULATOR.map(str::to_owned).to_vec(),
            ..LocalArgs::default()
        },
        ..Options::default()
    }
}
