//! Runs other programs and waits for their end.

use anyhow::{Context, Result, bail};
use std::ffi::OsStr;
use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// Number of lines of a log in an error.
const TAIL_LINES: usize = 30;

/// Runs a program with an empty stdin. Returns its output for every exit code.
///
/// # Errors
/// If the program could not be started.
pub fn output(command: &mut Command) -> Result<Output> {
    let name = name_of(command);
    command.stdin(Stdio::null()).output().with_context(|| format!("{name} could not be started"))
}

/// Runs a program and writes its output to a log file.
///
/// # Errors
/// If the program could not be started or failed. The error of a failure contains the end of the log.
pub fn logged(command: &mut Command, log: &Path) -> Result<()> {
    let name = name_of(command);
    let file = File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
    command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file);
    let status = command.status().with_context(|| format!("{name} could not be started"))?;
    if !status.success() {
        bail!("{name} failed ({status}); the end of {}:\n{}", log.display(), tail(log));
    }
    Ok(())
}

/// The last lines of a text file, or a message if the file cannot be read.
pub fn tail(log: &Path) -> String {
    match std::fs::read_to_string(log) {
        Ok(text) => last_lines(&text, TAIL_LINES),
        Err(error) => format!("(cannot be read: {error})"),
    }
}

/// The last `count` lines of a text.
pub fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines.iter().skip(lines.len().saturating_sub(count)).copied().collect::<Vec<_>>().join("\n")
}

/// The name of a program for messages, without its folder.
fn name_of(command: &Command) -> String {
    let program = Path::new(command.get_program());
    program.file_name().unwrap_or(OsStr::new("program")).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn last_lines_of_short_and_long_texts() {
        assert_eq!(last_lines("a\nb\nc\n", 2), "b\nc");
        assert_eq!(last_lines("a", 2), "a");
        assert_eq!(last_lines("", 2), "");
    }
}
