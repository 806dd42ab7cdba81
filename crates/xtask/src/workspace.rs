//! Locations in the checkout.

use anyhow::{Context, Result};
use std::path::{Path, PathBuf};

/// The checkout that this program was built from.
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Finds the checkout from the folder in which `cargo` compiled this crate.
    ///
    /// # Errors
    /// If the folder does not exist anymore.
    pub fn find() -> Result<Self> {
        let crate_folder = std::env::var_os("CARGO_MANIFEST_DIR")
            .map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
        let root = crate_folder.join("../..").canonicalize();
        Ok(Self { root: root.with_context(|| format!("{} is not in a checkout", crate_folder.display()))? })
    }

    /// A checkout in a folder of a test's own.
    #[cfg(test)]
    pub fn at(root: &Path) -> Self {
        Self { root: root.to_owned() }
    }

    /// Root folder of the checkout.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Folder for all files that the tasks write, except `target/`. It is not under version control.
    pub fn private(&self) -> PathBuf {
        self.root.join(".sentry")
    }

    /// Folder for the state and logs of the local AWS on one port.
    pub fn port_folder(&self, port: u16) -> PathBuf {
        self.private().join(port.to_string())
    }

    /// Path of a file in `local/`, the folder of the Python programs.
    pub fn script(&self, name: &str) -> PathBuf {
        self.root.join("local").join(name)
    }

    /// Path of the SAM template.
    pub fn template(&self) -> PathBuf {
        self.root.join("template.yaml")
    }
}
