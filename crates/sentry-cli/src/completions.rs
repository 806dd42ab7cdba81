//! `sentry completions` and `sentry man`.

use clap::Command;
use clap_complete::Shell;

use crate::failure::Failure;
use crate::output::print;

#[derive(clap::Args)]
pub struct Args {
    /// The shell that completes the commands
    #[arg(value_enum)]
    pub shell: Shell,
}

/// Prints the completions of a shell for `command`.
///
/// # Errors
/// If standard output cannot be written to.
pub fn run(args: &Args, mut command: Command) -> Result<(), Failure> {
    let mut written = Vec::new();
    clap_complete::generate(args.shell, &mut command, "sentry", &mut written);
    print(&String::from_utf8_lossy(&written))
}

/// Prints the manual page of `command`, in the format of `man`: `sentry man > sentry.1`.
///
/// # Errors
/// If standard output cannot be written to.
pub fn man(command: Command) -> Result<(), Failure> {
    let mut written = Vec::new();
    let page = clap_mangen::Man::new(command);
    page.render(&mut written).map_err(|error| Failure::Refused(format!("the manual page cannot be made: {error}")))?;
    print(&String::from_utf8_lossy(&written))
}
