//! Programs that continue to run after this one. Each starts in its own process group. It is found again by its
//! process id and start time.

use crate::command;
use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Time that a program has to end after a signal.
const GRACE: Duration = Duration::from_secs(5);
/// Time that a program has until it is ready.
const START_TIMEOUT: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(50);

/// A program that xtask started, in a form that can be saved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// Name of the program, for messages.
    pub name: String,
    /// Process id, which is also the id of the process group.
    pub pid: i32,
    /// Start time, in the format of the system. It shows if another program reuses the process id.
    pub started: String,
}

impl Process {
    /// Starts a program in the background, with its output in `log`.
    ///
    /// # Errors
    /// If the program could not be started, or if it ended at once.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = File::create(log).with_context(|| format!("{} cannot be written", log.display()))?;
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command.spawn().with_context(|| format!("{name} could not be started"))?;
        let pid = i32::try_from(child.id())?;
        match start_of(pid) {
            Some(started) => Ok(Self { name: name.to_owned(), pid, started }),
            None => bail!("{name} ended at once:\n{}", command::tail(log)),
        }
    }

    /// `true` if this program still runs.
    pub fn is_alive(&self) -> bool {
        start_of(self.pid).as_ref() == Some(&self.started)
    }

    /// Waits until the program is ready, which `is_ready` says. It serves on `port` and writes to `log`.
    ///
    /// # Errors
    /// If it ends, or if it is not ready in time.
    pub fn wait_until(&self, is_ready: impl Fn() -> bool, port: u16, log: &Path) -> Result<()> {
        let begun = Instant::now();
        while begun.elapsed() < START_TIMEOUT {
            if !self.is_alive() {
                bail!("{} ended; the end of {}:\n{}", self.name, log.display(), command::tail(log));
            }
            if is_ready() {
                return Ok(());
            }
            sleep(POLL);
        }
        bail!("{} does not answer on port {port}; the end of {}:\n{}", self.name, log.display(), command::tail(log))
    }

    /// Ends the program and all programs that it started: first with SIGTERM, then with SIGKILL.
    ///
    /// # Errors
    /// If the program still runs afterwards.
    pub fn stop(&self) -> Result<()> {
        if !self.is_alive() {
            return Ok(());
        }
        let group = Pid::from_raw(self.pid).context("pid 0 is nobody's")?;
        for signal in [Signal::TERM, Signal::KILL] {
            // If the group is already gone, the goal is reached.
            let _ = kill_process_group(group, signal);
            if self.ends_within(GRACE) {
                // Programs that it started may still run.
                let _ = kill_process_group(group, Signal::KILL);
                return Ok(());
            }
        }
        bail!("{} (pid {}) does not end", self.name, self.pid)
    }

    fn ends_within(&self, limit: Duration) -> bool {
        let begun = Instant::now();
        while begun.elapsed() < limit {
            if !self.is_alive() {
                return true;
            }
            sleep(POLL);
        }
        false
    }
}

/// The start time of a process. `None` if it does not exist, or if it is a zombie.
fn start_of(pid: i32) -> Option<String> {
    if Path::new("/proc/self/stat").exists() {
        return start_in_stat(&std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?);
    }
    let listed = command::output(Command::new("ps").args(["-o", "stat=,lstart=", "-p", &pid.to_string()])).ok()?;
    let text = String::from_utf8(listed.stdout).ok()?;
    let (state, started) = text.trim().split_once(char::is_whitespace)?;
    (!state.starts_with('Z')).then(|| started.trim().to_owned())
}

/// Field 22 of Linux's `/proc/<pid>/stat` (proc(5)). `None` if field 3 says zombie or dead.
fn start_in_stat(stat: &str) -> Option<String> {
    // Field 2, the name, is in parentheses and can contain any character. So fields are counted from its end.
    let (_, after_name) = stat.rsplit_once(')')?;
    let mut fields = after_name.split_whitespace();
    let state = fields.next()?;
    (!matches!(state, "Z" | "X")).then(|| fields.nth(18).map(str::to_owned))?
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "7 (a (b) c) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 987654 1 2 3";

    #[test]
    fn the_start_is_field_22() {
        assert_eq!(start_in_stat(STAT).as_deref(), Some("987654"));
        assert_eq!(start_in_stat(&STAT.replace(") S", ") Z")), None);
        assert_eq!(start_in_stat("nonsense"), None);
    }

    #[test]
    fn a_process_and_its_children_end() {
        let log = std::env::temp_dir().join(format!("xtask-process-{}.log", std::process::id()));
        let mut sleeper = Command::new("sh");
        sleeper.args(["-c", "sleep 600 & echo $!; wait"]);
        let process = Process::start("sleeper", &mut sleeper, &log).unwrap();
        sleep(Duration::from_millis(300));
        let child: i32 = std::fs::read_to_string(&log).unwrap().trim().parse().unwrap();
        assert!(process.is_alive() && start_of(child).is_some());
        process.stop().unwrap();
        sleep(Duration::from_millis(100));
        assert!(!process.is_alive() && start_of(child).is_none());
        std::fs::remove_file(log).unwrap();
    }

    #[test]
    fn a_pid_used_again_is_not_ours() {
        let stranger =
            Process { name: "x".into(), pid: i32::try_from(std::process::id()).unwrap(), started: "0".into() };
        assert!(!stranger.is_alive());
        stranger.stop().unwrap();
    }
}
