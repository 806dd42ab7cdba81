//! The private virtual environments. They are created if they are missing, and created again if the requirements or
//! the Python change.

use crate::command;
use crate::console::Step;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use std::fs::File;
use std::path::PathBuf;
use std::process::Command;

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
}

impl Purpose {
    fn folder(self) -> &'static str {
        match self {
            Self::Local => "venv",
            Self::Lint => "venv-lint",
        }
    }

    fn requirements(self) -> &'static str {
        match self {
            Self::Local => "requirements.txt",
            Self::Lint => "requirements-lint.txt",
        }
    }

    fn label(self) -> &'static str {
        match self {
            Self::Local => "Install the local AWS (Python packages, once)",
            Self::Lint => "Install the checks (Python packages, once)",
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
        let requirements = workspace.script(purpose.requirements());
        let wanted = std::fs::read_to_string(&requirements)
            .with_context(|| format!("{} cannot be read", requirements.display()))?;
        let wanted = format!("# {}\n{wanted}", python.version);
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
        command::logged(Command::new(self.python()).args(pip).arg(workspace.script(purpose.requirements())), &log)
            .context("the Python packages could not be installed")
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
