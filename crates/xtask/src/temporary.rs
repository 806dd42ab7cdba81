//! A local AWS for the length of one task: on a free port, and gone afterwards, also after Ctrl-C.

use crate::console;
use crate::local_aws::{self, Options, Running};
use crate::network::free_port;
use crate::workspace::Workspace;
use anyhow::{Context, Result};

/// Brings a local AWS up, does the work, and stops it whatever came out of the work.
///
/// # Errors
/// If it cannot be brought up or stopped, or the work fails.
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
        // The logs of a failure stay.
        let _ = std::fs::remove_dir_all(workspace.port_folder(port));
    }
    result
}

fn stop_on_interrupt(port: u16) -> Result<()> {
    ctrlc::set_handler(move || {
        console::line("\nInterrupted; the local AWS is stopped.");
        let stopped = Workspace::find().and_then(|workspace| local_aws::down(&workspace, port));
        if let Err(error) = stopped {
            console::line(&format!("{error:#}"));
        }
        // 128 + SIGINT, as shells have it.
        std::process::exit(130);
    })
    .context("Ctrl-C cannot be handled")
}
