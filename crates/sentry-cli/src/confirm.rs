//! Asks before something is changed.

use std::io::{BufRead, IsTerminal, Write};

use crate::failure::Failure;
use crate::options::Global;

/// Asks `question` on the terminal, unless `--yes` is given.
///
/// # Errors
/// If the answer is not yes. Without a terminal, nobody can answer, so `--yes` is required.
pub fn confirm(global: &Global, question: &str) -> Result<(), Failure> {
    if global.yes {
        return Ok(());
    }
    let stdin = std::io::stdin();
    if !stdin.is_terminal() {
        return Err(Failure::Usage(format!("{question} There is no terminal to answer on. Add --yes to do it")));
    }
    let mut answer = String::new();
    eprint!("{question} [y/N] ");
    let read = std::io::stderr().flush().and_then(|()| stdin.lock().read_line(&mut answer));
    read.map_err(|error| Failure::Refused(format!("the answer cannot be read: {error}")))?;
    if ["y", "yes"].contains(&answer.trim().to_lowercase().as_str()) {
        return Ok(());
    }
    Err(Failure::Refused("nothing was changed".to_owned()))
}
