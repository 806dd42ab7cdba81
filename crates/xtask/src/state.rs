//! The parts of a local AWS. They are saved in a file, which later calls read.

use crate::processes::Process;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

const FILE: &str = "state.json";

/// A local AWS on one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Port of the engine.
    pub port: u16,
    /// Bedrock endpoint for the functions.
    pub bedrock_endpoint: String,
    /// The simulator. Absent if another Bedrock is used.
    pub simulator: Option<Simulator>,
    /// The engine. Absent until it is started.
    pub engine: Option<Process>,
    /// The gateway as a server. Absent if the stack has none.
    #[serde(default)]
    pub gateway: Option<Gateway>,
}

/// A running Bedrock simulator, with the options of its start.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulator {
    /// Port of the simulator.
    pub port: u16,
    /// Arguments from the user.
    pub args: Vec<String>,
    /// Modification time of the binary, in nanoseconds since 1970. If it changes, the simulator is restarted.
    pub binary_modified_ns: u128,
    /// Process of the simulator.
    pub process: Process,
}

/// The gateway of a stack, as a server on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    /// Port of the server.
    pub port: u16,
    /// Process of the server.
    pub process: Process,
    /// HTTPS in front of it. Absent in a build for measurements.
    #[serde(default)]
    pub tls: Option<Tls>,
}

/// HTTPS in front of the gateway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// The port on which it serves HTTPS.
    pub port: u16,
    /// Process of the program `local-tls`.
    pub process: Process,
}

impl Gateway {
    /// Its processes, in the order in which they are stopped.
    pub fn processes(&self) -> impl Iterator<Item = &Process> {
        self.tls.iter().map(|tls| &tls.process).chain([&self.process])
    }
}

impl State {
    /// The state of a port. `None` if nothing was started there, or if it was stopped.
    ///
    /// # Errors
    /// If the file exists but cannot be read or parsed.
    pub fn load(workspace: &Workspace, port: u16) -> Result<Option<Self>> {
        let path = workspace.port_folder(port).join(FILE);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let state = serde_json::from_slice(&bytes);
                Ok(Some(state.with_context(|| format!("{} cannot be understood", path.display()))?))
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read", path.display())),
        }
    }

    /// Writes the state to its file.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, workspace: &Workspace) -> Result<()> {
        let path = workspace.port_folder(self.port).join(FILE);
        std::fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Deletes the state of a port, but not its logs.
    pub fn forget(workspace: &Workspace, port: u16) {
        // If the file does not exist, nothing must be done.
        let _ = std::fs::remove_file(workspace.port_folder(port).join(FILE));
    }

    /// The ports with a saved state, in ascending order.
    pub fn ports(workspace: &Workspace) -> Vec<u16> {
        let folders = std::fs::read_dir(workspace.private()).into_iter().flatten().flatten();
        let mut ports: Vec<u16> = folders
            .filter(|folder| folder.path().join(FILE).exists())
            .filter_map(|folder| folder.file_name().to_str()?.parse().ok())
            .collect();
        ports.sort_unstable();
        ports
    }

    /// All processes, in the order in which they are stopped: each may have calls to the next ones in progress.
    pub fn processes(&self) -> Vec<&Process> {
        let gateway = self.gateway.iter().flat_map(Gateway::processes);
        gateway.chain(&self.engine).chain(self.simulator.iter().map(|simulator| &simulator.process)).collect()
    }
}
