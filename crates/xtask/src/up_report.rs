//! `cargo xtask up`: starts the local AWS and reports its addresses, for people and for programs.

use crate::cli::UpArgs;
use crate::console;
use crate::environment;
use crate::local_aws::{self, Options, Running};
use crate::network::local_url;
use crate::state::Gateway;
use crate::tls;
use crate::workspace::Workspace;
use anyhow::Result;
use serde_json::json;
use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

/// Starts the local AWS and prints how to use it.
///
/// # Errors
/// The errors of [`local_aws::up`].
pub fn run(workspace: &Workspace, args: &UpArgs) -> Result<ExitCode> {
    let begun = Instant::now();
    let options = Options {
        port: args.port,
        stack_name: args.stack_name.clone(),
        local: args.local.clone(),
        ..Options::default()
    };
    let running = local_aws::up(workspace, &options)?;
    if args.json {
        println!("{}", for_programs(workspace, &running)?);
    } else {
        println!("{}", for_people(workspace, &running));
        console::line(&format!("Ready after {}.", console::seconds(begun.elapsed())));
    }
    Ok(ExitCode::SUCCESS)
}

fn for_programs(workspace: &Workspace, running: &Running) -> Result<String> {
    let port = running.state.port;
    let pids: BTreeMap<_, _> =
        running.state.processes().into_iter().map(|process| (process.name.clone(), process.pid)).collect();
    let tls = running.state.gateway.as_ref().and_then(|gateway| gateway.tls.as_ref());
    let of_gateway = tls.map(|tls| BTreeMap::from(tls::of_clients(workspace, port, tls)));
    let document = json!({
        "endpoint": local_url(port),
        "gatewayEndpoint": running.state.gateway.as_ref().map(|gateway| local_url(gateway.port)),
        "gatewayHttpsEndpoint": tls.map(|tls| tls::url(tls.port)),
        "gatewayEnvironment": of_gateway,
        "bedrockEndpoint": running.state.bedrock_endpoint,
        "stackName": running.stack_name,
        "outputs": running.outputs,
        "environment": environment::of_clients(port),
        "pids": pids,
    });
    Ok(serde_json::to_string_pretty(&document)?)
}

fn for_people(workspace: &Workspace, running: &Running) -> String {
    let port = running.state.port;
    let mut text = format!("\nLocal AWS  {}\nBedrock    {}\n", local_url(port), running.state.bedrock_endpoint);
    text += &format!("\nOutputs of the stack {}\n", running.stack_name);
    let width = running.outputs.keys().map(String::len).max().unwrap_or_default();
    for (name, value) in &running.outputs {
        text += &format!("  {name:<width$} {value}\n");
    }
    text += "\nEnvironment for the AWS CLI and SDKs\n";
    for (name, value) in environment::of_clients(port) {
        text += &format!("  export {name}={value}\n");
    }
    text += &examples(running);
    if let Some(gateway) = &running.state.gateway {
        text += &gateway_example(workspace, port, gateway);
    }
    let option = if port == 4566 { String::new() } else { format!(" --port {port}") };
    text + &format!("\nLogs are in .sentry/{port}. Stop it with: cargo xtask down{option}")
}

/// Lines for the user to paste into a new shell: they make a key, and point clients to the gateway. The certificate
/// replaces all others, so the shell cannot reach the real AWS.
fn gateway_example(workspace: &Workspace, port: u16, gateway: &Gateway) -> String {
    let mut text = format!("\nGateway    {}\n", local_url(gateway.port));
    let Some(tls) = &gateway.tls else { return text };
    text += "Clients of the gateway, unmodified, in a shell of their own\n";
    text +=
        &format!("  cargo xtask sentry --port {port} keys create --application first-steps --cost-center support\n");
    text += "  export AWS_BEARER_TOKEN_BEDROCK=<key>\n";
    for (name, value) in tls::of_clients(workspace, port, tls) {
        text += &format!("  export {name}={value}\n");
    }
    text += "  .sentry/venv/bin/aws bedrock-runtime converse --model-id claude-haiku-4-5 \\\n";
    text + "    --messages '[{\"role\": \"user\", \"content\": [{\"text\": \"Hello\"}]}]'\n"
}

/// Two commands for the user to paste: one sets a limit, and one sends a request.
fn examples(running: &Running) -> String {
    let (Some(table), Some(machine)) = (running.outputs.get("LimitsTableName"), running.outputs.get("RateLimiterArn"))
    else {
        return String::new();
    };
    let limit = json!({"modelId": {"S": "default"},
        "limit": {"M": {"input": {"N": "1000000"}, "output": {"N": "3000000"}}}});
    let request = json!({"model": "claude-haiku-4-5",
        "prompt": {"messages": [{"role": "user", "content": "Explain the benefits of using S3."}],
            "parameters": {"max_tokens": 200}},
        "tags": {"applicationId": "first-steps", "costCenter": "support"}});
    // This is the AWS CLI of the virtual environment. Any other AWS CLI also works.
    let aws = ".sentry/venv/bin/aws";
    format!(
        "\nA limit for every model that has none of its own, and a request\n  \
         {aws} dynamodb put-item --table-name {table} --item '{limit}'\n  \
         {aws} stepfunctions start-sync-execution --state-machine-arn {machine} \\\n    \
         --input '{request}' --query output --output text\n"
    )
}
