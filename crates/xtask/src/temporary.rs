//! A local AWS for one task. It uses a free port by default, and it is stopped at the end of the task and on Ctrl-C.

use crate::console;
use crate::local_aws::{self, Options, Running};
use crate::network::free_port;
use crate::workspace::Workspace;
use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Starts a local AWS, runs `work`, and stops the local AWS, even if `work` fails.
///
/// # Errors
/// If the local AWS cannot be started or stopped, or if `work` fails.
pub fn with_local_aws<T>(
    workspace: &Workspace,
    options: Options,
    work: impl FnOnce(&Running) -> Result<T>,
) -> Result<T> {
    let port = if options.port == 0 { free_port()? } else { options.port };
    stop_on_interrupt(port)?;
    let running = local_aws::up(workspace, &Options { port, ..options })?;
    let result = work(&running);
    local_aws::down(workspace, port)?;
    if result.is_ok() {
        // The logs of a failed task are kept.
        let _ = std::fs::remove_dir_all(workspace.port_folder(port));
    }
    result
}

fn stop_on_interrupt(port: u16) -> Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("Ctrl-C cannot be handled")?;
    std::thread::spawn(move || {
        signals.forever().next();
        console::line("\nInterrupted; the local AWS is stopped.");
        let stopped = Workspace::find().and_then(|workspace| local_aws::down(&workspace, port));
        if let Err(error) = stopped {
            console::line(&format!("{error:#}"));
        }
        // 128 + SIGINT is the exit code that shells use.
        std::process::exit(130);
    });
    Ok(())
}
