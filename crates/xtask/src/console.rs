//! Progress of the tasks. It goes to stderr, because stdout is for results.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};
use std::cell::Cell;
use std::io::{IsTerminal, stderr};
use std::sync::LazyLock;
use std::time::{Duration, Instant};

/// Time between two lines about the progress of a step that writes to a file.
const LINE_EVERY: Duration = Duration::from_secs(15);

/// The spinners and progress bars of all steps, one below the other, because steps run beside each other.
static BARS: LazyLock<MultiProgress> = LazyLock::new(MultiProgress::new);

/// Writes one line to stderr, above the progress bars.
pub fn line(text: &str) {
    BARS.suspend(|| eprintln!("{text}"));
}

/// A unit of work. A spinner shows it while it runs, and a line shows its duration at the end.
pub struct Step {
    label: String,
    started: Instant,
    bar: ProgressBar,
    /// When the last line about the progress was written, if it goes to a file and not to a terminal.
    told: Option<Cell<Instant>>,
    ended: bool,
}

impl Step {
    /// Starts a step and shows its label.
    pub fn start(label: impl Into<String>) -> Self {
        let (label, started) = (label.into(), Instant::now());
        let (bar, told) = if stderr().is_terminal() {
            (BARS.add(ProgressBar::new_spinner()), None)
        } else {
            line(&format!("→ {label}"));
            (ProgressBar::hidden(), Some(Cell::new(started)))
        };
        bar.enable_steady_tick(Duration::from_millis(120));
        if let Ok(style) = ProgressStyle::with_template("{spinner:.cyan} {prefix} {msg:.dim} ({elapsed})") {
            bar.set_style(style);
        }
        bar.set_prefix(label.clone());
        Self { label, started, bar, told, ended: false }
    }

    /// Turns the spinner into a progress bar with `total` parts.
    pub fn count_to(&self, total: u64) {
        self.bar.set_length(total);
        if let Ok(style) = ProgressStyle::with_template(
            "{spinner:.cyan} {prefix} [{bar:24.cyan/dim}] {pos}/{len} {msg:.dim} ({elapsed})",
        ) {
            self.bar.set_style(style.progress_chars("━╸─"));
        }
    }

    /// Sets the position of the bar, and the text next to it. Without a terminal, a line tells both from time to time.
    pub fn at(&self, position: u64, what: &str) {
        self.bar.set_position(position);
        self.bar.set_message(what.to_owned());
        if let Some(told) = &self.told
            && told.get().elapsed() >= LINE_EVERY
        {
            told.set(Instant::now());
            let total = self.bar.length().map_or_else(String::new, |total| format!(" of {total}"));
            line(&format!("  {position}{total}: {what} ({})", seconds(self.started.elapsed())));
        }
    }

    /// Removes the progress bar, for a program that writes to the terminal itself.
    pub fn hide(&self) {
        self.bar.finish_and_clear();
    }

    /// Ends a successful step.
    pub fn done(self) {
        self.end("✓", "");
    }

    /// Ends a successful step. `detail` is its result.
    pub fn done_with(self, detail: &str) {
        self.end("✓", detail);
    }

    /// Ends a failed step. `detail` is the reason.
    pub fn failed(self, detail: &str) {
        self.end("✗", detail);
    }

    /// Ends a step that could not run. `detail` is the reason.
    pub fn skipped(self, detail: &str) {
        self.end("–", detail);
    }

    fn end(mut self, mark: &str, detail: &str) {
        self.ended = true;
        self.close(mark, detail);
    }

    fn close(&self, mark: &str, detail: &str) {
        self.bar.finish_and_clear();
        let separator = if detail.is_empty() { "" } else { ": " };
        line(&format!("{mark} {}{separator}{detail} ({})", self.label, seconds(self.started.elapsed())));
    }
}

impl Drop for Step {
    fn drop(&mut self) {
        if !self.ended {
            self.close("✗", "");
        }
    }
}

/// A readable duration, such as `0.4 s`, `12 s`, or `3 min 20 s`.
pub fn seconds(duration: Duration) -> String {
    match duration.as_secs() {
        0..10 => format!("{}.{} s", duration.as_secs(), duration.subsec_millis() / 100),
        whole @ 10..60 => format!("{whole} s"),
        whole => format!("{} min {} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_readable() {
        assert_eq!(seconds(Duration::from_millis(0)), "0.0 s");
        assert_eq!(seconds(Duration::from_millis(9_990)), "9.9 s");
        assert_eq!(seconds(Duration::from_secs(59)), "59 s");
        assert_eq!(seconds(Duration::from_secs(200)), "3 min 20 s");
    }
}
