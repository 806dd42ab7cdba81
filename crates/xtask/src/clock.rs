//! A wall clock that can be moved, for all programs of a local AWS (`local/movable_clock.c`).

use crate::command;
use crate::workspace::Workspace;
use anyhow::{Context, Result, bail};
use chrono::{DateTime, Utc};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// The compiled library, and the file with the offset from the machine's clock.
#[derive(Clone, Debug)]
pub struct MovableClock {
    library: PathBuf,
    file: PathBuf,
}

impl MovableClock {
    /// A clock for the local AWS on `port`, which shows `start` now. Compiles the library with `cc`, the linker that
    /// Rust needs too.
    ///
    /// # Errors
    /// If this machine does not run Linux, or if the library cannot be compiled.
    pub fn start(workspace: &Workspace, port: u16, start: DateTime<Utc>) -> Result<Self> {
        if !cfg!(target_os = "linux") {
            bail!("the clock can be moved only on Linux, because the library uses LD_PRELOAD and a Linux system call");
        }
        let folder = workspace.port_folder(port);
        std::fs::create_dir_all(&folder)?;
        let clock = Self { library: workspace.private().join("movable_clock.so"), file: folder.join("clock") };
        let mut compile = Command::new("cc");
        compile.args(["-std=c11", "-Wall", "-Wextra", "-O2", "-shared", "-fPIC", "-o"]).arg(&clock.library);
        compile.arg(workspace.script("movable_clock.c"));
        command::logged(&mut compile, &folder.join("movable_clock.log")).context("the library cannot be compiled")?;
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
        let start = start.timestamp_nanos_opt().context("the time is too far away")?;
        let offset = i128::from(start).checked_sub(i128::try_from(now)?).context("the time is too far away")?;
        std::fs::write(&clock.file, i64::try_from(offset)?.to_ne_bytes())?;
        Ok(clock)
    }

    /// Lets a program, and all programs that it starts, read this clock.
    pub fn apply(&self, command: &mut Command) {
        command.env("LD_PRELOAD", &self.library).env("SENTRY_CLOCK_FILE", &self.file);
    }

    /// Path of the compiled library.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// Path of the file with the offset.
    pub fn file(&self) -> &Path {
        &self.file
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn a_program_reads_the_time_that_the_file_says() {
        let root = std::env::temp_dir().join(format!("xtask-clock-{}", std::process::id()));
        std::fs::create_dir_all(root.join("local")).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../local/movable_clock.c");
        std::fs::copy(source, root.join("local/movable_clock.c")).unwrap();
        let clock = MovableClock::start(&Workspace::at(&root), 1, "2031-05-06T07:08:09Z".parse().unwrap()).unwrap();
        let read = |clock: &MovableClock| {
            let mut date = Command::new("date");
            clock.apply(date.args(["-u", "+%Y-%m-%dT%H:%M"]));
            String::from_utf8(command::output(&mut date).unwrap().stdout).unwrap()
        };
        assert_eq!(read(&clock), "2031-05-06T07:08\n");
        let offset = i64::from_ne_bytes(std::fs::read(clock.file()).unwrap().try_into().unwrap());
        std::fs::write(clock.file(), (offset + 86_400_000_000_000).to_ne_bytes()).unwrap();
        assert_eq!(read(&clock), "2031-05-07T07:08\n");
        std::fs::write(clock.file(), b"short").unwrap();
        assert_eq!(read(&clock), "", "a program without a clock does not run");
        std::fs::remove_dir_all(root).unwrap();
    }
}
