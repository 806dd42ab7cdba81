//! What a local AWS is made of, written down so that a later call finds it again.

use crate::processes::Process;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

const FILE: &str = "state.json";

/// The local AWS on one port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Port of the engine.
    pub port: u16,
    /// Where the functions find Bedrock.
    pub bedrock_endpoint: String,
    /// The simulator, unless another Bedrock is used.
    pub simulator: Option<Simulator>,
    /// The engine, once it has been started.
    pub engine: Option<Process>,
}

/// A running Bedrock simulator and what it was started with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simulator {
    /// Its port.
    pub port: u16,
    /// Its arguments, as the user gave them.
    pub args: Vec<String>,
    /// Modification time of its binary in nanoseconds since 1970: it is started again when that changes.
    pub binary_modified_ns: u128,
    /// The program.
    pub process: Process,
}

impl State {
    /// The state of a port, if something was started there and has not been stopped.
    ///
    /// # Errors
    /// If the file is there and cannot be read.
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

    /// Writes the state down.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn save(&self, workspace: &Workspace) -> Result<()> {
        let path = workspace.port_folder(self.port).join(FILE);
        std::fs::write(&path, serde_json::to_vec_pretty(self)?)
            .with_context(|| format!("{} cannot be written", path.display()))
    }

    /// Forgets the state of a port; the logs stay.
    pub fn forget(workspace: &Workspace, port: u16) {
        // Not there is as good.
        let _ = std::fs::remove_file(workspace.port_folder(port).join(FILE));
    }

    /// The ports on which something was started, in order.
    pub fn ports(workspace: &Workspace) -> Vec<u16> {
        let folders = std::fs::read_dir(workspace.private()).into_iter().flatten().flatten();
        let mut ports: Vec<u16> = folders
            .filter(|folder| folder.path().join(FILE).exists())
            .filter_map(|folder| folder.file_name().to_str()?.parse().ok())
            .collect();
        ports.sort_unstable();
        ports
    }

    /// Every program that belongs to it, the engine first: it has calls to the simulator under way.
    pub fn processes(&self) -> Vec<&Process> {
        self.engine.iter().chain(self.simulator.iter().map(|simulator| &simulator.process)).collect()
    }
}
