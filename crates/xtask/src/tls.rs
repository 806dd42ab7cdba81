//! HTTPS in front of the gateway: the program `local-tls`, its certificate, and the variables of its clients.

use crate::network::is_listened_on;
use crate::processes::Process;
use crate::state::{State, Tls};
use crate::workspace::Workspace;
use anyhow::Result;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The name of the program, and of its log.
const PROGRAM: &str = "local-tls";

/// Starts HTTPS on `port` in front of the gateway of `state`. The certificate is made once, and kept in the folder of the
/// local AWS.
///
/// # Errors
/// If the program cannot be started, or does not listen.
pub fn start(workspace: &Workspace, binaries: &Path, state: &mut State, port: u16) -> Result<()> {
    let Some(gateway) = &mut state.gateway else { return Ok(()) };
    let mut command = Command::new(binaries.join(PROGRAM));
    command.args(["--port", &port.to_string(), "--to", &gateway.port.to_string()]);
    command.arg("--folder").arg(folder(workspace, state.port));
    let log = workspace.port_folder(state.port).join(format!("{PROGRAM}.log"));
    let process = Process::start(PROGRAM, &mut command, &log)?;
    gateway.tls = Some(Tls { port, process: process.clone() });
    state.save(workspace)?;
    process.wait_until(|| is_listened_on(port), port, &log)
}

/// The folder of the certificates for the local AWS on a port.
fn folder(workspace: &Workspace, of: u16) -> PathBuf {
    workspace.port_folder(of).join("tls")
}

/// The certificate that the clients of the local AWS on a port must trust.
pub fn authority(workspace: &Workspace, of: u16) -> PathBuf {
    folder(workspace, of).join("ca.pem")
}

/// The base URL of HTTPS on a port of this machine.
pub fn url(port: u16) -> String {
    format!("https://127.0.0.1:{port}")
}

/// The settings of a client: the address, and the certificate in the words of boto3 and the AWS CLI, of Node, and of
/// programs with OpenSSL.
pub fn of_clients(workspace: &Workspace, of: u16, tls: &Tls) -> [(&'static str, String); 7] {
    let authority = authority(workspace, of).display().to_string();
    [
        ("AWS_ENDPOINT_URL_BEDROCK_RUNTIME", url(tls.port)),
        ("AWS_DEFAULT_REGION", "us-east-1".to_owned()),
        ("AWS_REGION", "us-east-1".to_owned()),
        ("AWS_CA_BUNDLE", authority.clone()),
        ("NODE_EXTRA_CA_CERTS", authority.clone()),
        ("SSL_CERT_FILE", authority.clone()),
        ("CURL_CA_BUNDLE", authority),
    ]
}
