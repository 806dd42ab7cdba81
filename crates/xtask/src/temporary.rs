//! A local AWS for one task. It uses a free port by default, and it is stopped at the end of the task and on Ctrl-C.

use crate::console;
use crate::local_aws::{self, Options, Running};
use crate::network::free_port;
use crate::state::State;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use std::sync::{Mutex, PoisonError};

/// The state of a local AWS after its task succeeded. After a failed task, the folder with its logs remains.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Afterwards {
    /// The local AWS is stopped, and the folder of its port is removed.
    RemoveAll,
    /// The local AWS is stopped, and the folder of its port remains.
    KeepFolder,
    /// The local AWS runs on until `cargo xtask down`.
    KeepRunning,
}

/// Starts a local AWS, runs `work`, and stops the local AWS, even if `work` fails or panics.
///
/// # Errors
/// If a local AWS runs on the port already, if it cannot be started or stopped, or if `work` fails.
pub fn with_local_aws<T>(
    workspace: &Workspace,
    options: Options,
    work: impl FnOnce(&Running) -> Result<T>,
) -> Result<T> {
    with_local_aws_that(workspace, options, Afterwards::RemoveAll, work)
}

/// The same as [`with_local_aws`], but `afterwards` says what is left if `work` succeeds.
///
/// # Errors
/// If a local AWS runs on the port already, if it cannot be started or stopped, or if `work` fails.
pub fn with_local_aws_that<T>(
    workspace: &Workspace,
    options: Options,
    afterwards: Afterwards,
    work: impl FnOnce(&Running) -> Result<T>,
) -> Result<T> {
    let port = if options.port == 0 { free_port()? } else { options.port };
    refuse_one_that_runs(workspace, port)?;
    stop_on_interrupt(port)?;
    let run = || work(&local_aws::up(workspace, &Options { port, ..options })?);
    let stop = || local_aws::down(workspace, port).map(|_| ());
    if afterwards == Afterwards::KeepRunning {
        return run().or_else(|error| then_stop(|| Err(error), stop));
    }
    let result = then_stop(run, stop);
    if result.is_ok() && afterwards == Afterwards::RemoveAll {
        // The logs of a failed task are kept.
        let _ = std::fs::remove_dir_all(workspace.port_folder(port));
    }
    result
}

/// Refuses a local AWS that the user started. A task would reconfigure it, stop it at the end, and delete its logs.
///
/// # Errors
/// If a local AWS runs on the port.
pub fn refuse_one_that_runs(workspace: &Workspace, port: u16) -> Result<()> {
    let state = State::load(workspace, port)?;
    if state.and_then(|state| state.engine).is_some_and(|engine| engine.is_alive()) {
        bail!("a local AWS runs on port {port}; stop it with `cargo xtask down --port {port}`, or omit --port");
    }
    Ok(())
}

/// Runs `work` and then `stop`, even if `work` panics. If both fail, the error is that of `work`.
fn then_stop<T>(work: impl FnOnce() -> Result<T>, stop: impl FnOnce() -> Result<()>) -> Result<T> {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
    let stopped = stop();
    match result {
        Ok(Ok(value)) => stopped.map(|()| value),
        Ok(Err(error)) => {
            if let Err(other) = stopped {
                console::line(&format!("{other:#}"));
            }
            Err(error)
        }
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// The ports of the local AWSs that must not outlive this process.
static PORTS: Mutex<Vec<u16>> = Mutex::new(Vec::new());

/// Stops the local AWS on `port`, and those of earlier calls, if the user presses Ctrl-C.
fn stop_on_interrupt(port: u16) -> Result<()> {
    let mut ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
    ports.push(port);
    if ports.len() > 1 {
        return Ok(());
    }
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("Ctrl-C cannot be handled")?;
    std::thread::spawn(move || {
        signals.forever().next();
        console::line("\nInterrupted; the local AWS is stopped.");
        let ports = PORTS.lock().unwrap_or_else(PoisonError::into_inner);
        for port in ports.iter() {
            let stopped = Workspace::find().and_then(|workspace| local_aws::down(&workspace, *port));
            if let Err(error) = stopped {
                console::line(&format!("{error:#}"));
            }
        }
        // 128 + SIGINT is the exit code that shells use.
        std::process::exit(130);
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::processes::Process;
    use std::cell::Cell;
    use std::process::Command;

    #[test]
    fn the_error_of_the_work_is_the_one_that_is_returned() {
        let error = then_stop::<()>(|| bail!("the work failed"), || bail!("it does not end")).unwrap_err();
        assert_eq!(error.to_string(), "the work failed");
        assert_eq!(then_stop(|| Ok(1), || bail!("it does not end")).unwrap_err().to_string(), "it does not end");
    }

    #[test]
    fn work_that_panics_leaves_nothing_running() {
        let stopped = Cell::new(false);
        let work = || -> Result<()> { panic!("for this test") };
        let stop = || {
            stopped.set(true);
            Ok(())
        };
        let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| then_stop(work, stop)));
        assert!(caught.is_err() && stopped.get());
    }

    #[test]
    fn a_local_aws_that_the_user_started_is_not_taken() {
        let root = std::env::temp_dir().join(format!("xtask-temporary-{}", std::process::id()));
        let workspace = Workspace::at(&root);
        std::fs::create_dir_all(workspace.port_folder(4566)).unwrap();
        refuse_one_that_runs(&workspace, 4566).unwrap();
        let engine = Process::start("engine", Command::new("sleep").arg("60"), &root.join("log")).unwrap();
        let state = State {
            port: 4566,
            bedrock_endpoint: String::new(),
            simulator: None,
            engine: Some(engine.clone()),
            gateway: None,
        };
        state.save(&workspace).unwrap();
        assert!(refuse_one_that_runs(&workspace, 4566).unwrap_err().to_string().contains("down --port 4566"));
        engine.stop().unwrap();
        refuse_one_that_runs(&workspace, 4566).unwrap();
        std::fs::remove_dir_all(root).unwrap();
    }
}
